//! The report for people: who, what, authorised by whom, what was masked.

use std::collections::BTreeMap;

use super::pages::{Cell, Page, at, id, span, text, time};
use super::sheet::{OperationSheet, SessionSheet, Sheet};
use super::to_standard;
use crate::Checkpoint;

/// Operations that a person may want to turn pages for; report.csv has all of them.
const LINES_MAX: usize = 5_000;

pub(super) fn page(sheet: &Sheet, checkpoint: &Checkpoint) -> String {
    let mut page = Page::begin("Evidence of access");
    what(&mut page, sheet, checkpoint);
    who(&mut page, sheet);
    asked(&mut page, sheet);
    authorised(&mut page, sheet);
    masked(&mut page, sheet);
    refused(&mut page, sheet);
    looked(&mut page, sheet);
    limits(&mut page, sheet);
    page.finish()
}

fn what(page: &mut Page, sheet: &Sheet, checkpoint: &Checkpoint) {
    let answer = format!(
        "{} and {}, from a log that cannot be altered unnoticed.",
        count(sheet.sessions.len(), "whole session"),
        count(sheet.operations.len(), "operation")
    );
    page.question("What is this?", &answer);
    page.facts(&[
        ("log", checkpoint.origin.clone()),
        ("checkpoint", format!("over {} records, root {}", checkpoint.size, to_standard(&checkpoint.root))),
        ("asked for", sheet.query.clone()),
        ("exported by", sheet.by.clone()),
        ("exported at", format!("{} (UTC)", time(sheet.at))),
        ("contents", if sheet.with_contents { "can be opened with keys/contents.json" } else { "sealed" }.to_owned()),
    ]);
    page.paragraph(
        "This page is a reading aid. The evidence is the records beside it: verify.py checks each of them against the \
         log's signed checkpoint. Run it with the log's key from somebody whom you trust, not with the one in here:",
    );
    page.facts(&[("", "python3 verify.py BUNDLE.tar --key LOG.vkey".to_owned())]);
}

fn who(page: &mut Page, sheet: &Sheet) {
    let mut people: Vec<&str> =
        sheet.sessions.values().filter_map(|one| Some(&*one.facts.as_ref()?.subject.sub)).collect();
    people.sort_unstable();
    people.dedup();
    page.question(
        "Who connected?",
        &format!("{} in {}.", count_people(people.len()), count(sheet.sessions.len(), "session")),
    );
    let rows = sheet.sessions.iter().map(|(sid, session)| {
        vec![
            id(sid),
            text(session.who()),
            text(session.agents()),
            text(
                session
                    .facts
                    .as_ref()
                    .map(|facts| format!("{}\n{}", facts.target, facts.roles.join(", ")))
                    .unwrap_or_default(),
            ),
            text(session.facts.as_ref().map(|facts| format!("{}\n{}", facts.peer, facts.client)).unwrap_or_default()),
            span(session.first, session.last),
            text(session.end.clone()),
            text(if session.masked { "yes" } else { "no" }),
            text(session.kept.clone().unwrap_or_default()),
        ]
    });
    page.table(
        &["session", "person", "software acting", "target, roles", "peer", "from, to (UTC)", "how", "masked", "kept"],
        rows,
    );
    if !sheet.keys.is_empty() {
        page.paragraph("Their tokens were checked by these keys of the issuers, by RFC 7638:");
        let rows = sheet.keys.iter().map(|one| {
            vec![text(one.issuer.clone()), at(one.time), text(one.keys.join("\n")), Cell::Number(one.index)]
        });
        page.table(&["issuer", "in use from (UTC)", "key", "record"], rows);
    }
}

fn asked(page: &mut Page, sheet: &Sheet) {
    let of = |verdict: &str| sheet.operations.iter().filter(|one| one.verdict == verdict).count();
    let answer = format!("{} allowed, {} held for people, {} refused.", of("allow"), of("review"), of("block"));
    page.question("What was asked, and what was decided?", &answer);
    let rows = sheet.operations.iter().take(LINES_MAX).map(|one| {
        let outcome = one.outcome.as_ref();
        vec![
            id(one.id),
            at(one.time),
            text(sheet.name(one)),
            Cell::Verdict(one.verdict),
            Cell::Code(one.text.clone()),
            Cell::Number(outcome.map_or(0, |outcome| outcome.rows)),
            text(
                outcome.map(|outcome| outcome.sqlstate.clone().unwrap_or_else(|| "ok".to_owned())).unwrap_or_default(),
            ),
            Cell::Number(one.index),
        ]
    });
    page.table(&["decision", "at (UTC)", "person", "verdict", "statement", "rows", "ended", "record"], rows);
    if sheet.operations.len() > LINES_MAX {
        page.paragraph(&format!("{} more are in report.csv.", sheet.operations.len() - LINES_MAX));
    }
}

fn authorised(page: &mut Page, sheet: &Sheet) {
    let signed = sheet.reviews.iter().filter(|review| review.is_signed).count();
    let answer =
        format!("Roles and {} decided; {}.", count(sheet.policies.len(), "policy set"), count(signed, "signed review"));
    page.question("Who authorised it?", &answer);
    let sets = sheet.policies.iter().flat_map(|set| {
        set.policies.iter().map(move |(name, policy)| {
            vec![
                Cell::Number(set.epoch.0),
                at(set.time),
                text(format!(
                    "{}{}",
                    set.by,
                    set.weakening.iter().map(|line| format!("\nweaker: {line}")).collect::<String>()
                )),
                text(name.clone()),
                text(format!("{:?}", policy.mode).to_lowercase()),
                Cell::Code(policy.plugin.to_string()),
                Cell::Number(set.index),
            ]
        })
    });
    page.table(
        &["set", "in force from (UTC)", "put in force by", "policy", "mode", "plugin (SHA-256)", "record"],
        sets,
    );
    let reviews = sheet.reviews.iter().map(|review| {
        vec![
            id(review.request),
            at(review.time),
            text(format!("{}{}", review.event, if review.is_signed { ", signed" } else { "" })),
            text(review.by.clone().unwrap_or_default()),
            text(review.reason.clone().unwrap_or_default()),
            Cell::Number(review.index),
        ]
    });
    page.table(&["request", "at (UTC)", "what", "by", "words", "record"], reviews);
    let justified = sheet.operations.iter().filter_map(|one| {
        let words = one.justification.clone()?;
        Some(vec![
            id(one.id),
            text(sheet.name(one)),
            text(words),
            text(one.request.map(|id| id.to_string()).unwrap_or_default()),
        ])
    });
    page.table(&["decision", "person", "the caller's own reason", "request"], justified);
}

fn masked(page: &mut Page, sheet: &Sheet) {
    let mut columns: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for one in sheet.operations.iter().filter_map(|one| one.outcome.as_ref()).flat_map(|outcome| &outcome.masked) {
        let sum = columns.entry((one.column.to_string(), one.treatment.to_string())).or_default();
        *sum = (sum.0 + 1, sum.1 + one.count);
    }
    let values: u64 = columns.values().map(|(_, values)| values).sum();
    page.question("What was masked?", &format!("{values} values in {}.", count(columns.len(), "column")));
    let rows = columns.iter().map(|((column, treatment), (results, values))| {
        vec![text(column.clone()), text(treatment.clone()), Cell::Number(*results), Cell::Number(*values)]
    });
    page.table(&["column as the caller saw it", "treatment", "results", "values"], rows);
    let open = sheet.sessions.iter().filter(|(_, session)| session.facts.is_some() && !session.masked);
    let open: Vec<_> = open.map(|(sid, session)| vec![id(sid), text(session.who())]).collect();
    if !open.is_empty() {
        page.paragraph("In these sessions no policy protected columns:");
        page.table(&["session", "person"], open.into_iter());
    }
}

fn refused(page: &mut Page, sheet: &Sheet) {
    let refused: Vec<&OperationSheet> = sheet.operations.iter().filter(|one| one.verdict != "allow").collect();
    page.question("What did not simply pass?", &format!("{}.", count(refused.len(), "operation")));
    let rows = refused.into_iter().take(LINES_MAX).map(|one| {
        vec![
            id(one.id),
            text(sheet.name(one)),
            Cell::Verdict(one.verdict),
            text(one.reason.as_deref().unwrap_or_default()),
            text(one.policies.join("\n")),
            Cell::Code(one.text.clone()),
            text(one.request.map(|request| sheet.approvers(request).join("\n")).unwrap_or_default()),
        ]
    });
    page.table(&["decision", "person", "verdict", "why", "policies", "statement", "approved by"], rows);
}

fn looked(page: &mut Page, sheet: &Sheet) {
    page.question(
        "Who has looked at these records?",
        &format!("{}, this export among them.", count(sheet.looks.len(), "look")),
    );
    let rows = sheet.looks.iter().map(|look| {
        vec![
            at(look.time),
            text(look.by.clone()),
            text(look.action.clone()),
            text(look.of.clone()),
            Cell::Number(look.index),
        ]
    });
    page.table(&["at (UTC)", "who", "what", "of", "record"], rows);
}

fn limits(page: &mut Page, sheet: &Sheet) {
    page.question("What does this not show?", "What follows is outside of what these records prove.");
    page.paragraph(
        "Only what went through this gateway. Who a person was rests on the issuer of the token; what the target did \
         rests on the target's own answers. The times are the gateway's clock.",
    );
    page.paragraph(
        "A record that carries recorded bytes is proven as sealed bytes; its text here is as the exporter signed it, \
         unless the sessions' keys go along.",
    );
    let rows = sheet.sessions.iter().filter(|(_, one)| one.elided > 0 || one.facts.is_none() || !one.is_closed());
    let rows = rows.map(|(sid, one)| {
        let mut why = Vec::new();
        if let Some(destroyed) = &one.destroyed {
            why.push(destroyed.clone());
        } else if one.facts.is_none() {
            why.push("its key was destroyed or is not the exporter's: only that it happened is shown".to_owned());
        }
        if !one.is_closed() {
            why.push(format!("it has no close of its own ({})", one.end));
        }
        if one.elided > 0 {
            why.push(format!("{} rows were shown and not kept", one.elided));
        }
        vec![id(sid), text(why.join("\n"))]
    });
    page.table(&["session", "what is missing"], rows);
}

impl SessionSheet {
    fn who(&self) -> String {
        self.facts.as_ref().map_or_else(|| "(sealed)".to_owned(), |facts| super::sheet::person(&facts.subject))
    }

    fn agents(&self) -> String {
        let actors = self.facts.iter().flat_map(|facts| &facts.subject.actors);
        actors.map(|actor| actor.sub.to_string()).collect::<Vec<_>>().join(", ")
    }

    fn is_closed(&self) -> bool {
        !matches!(self.end.as_str(), "still open" | "its node stopped before it")
    }
}

impl Sheet {
    fn name(&self, operation: &OperationSheet) -> String {
        let session = self.sessions.get(&operation.id.session).and_then(|session| session.facts.as_ref());
        session.map(|facts| facts.subject.name.to_string()).unwrap_or_default()
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn count_people(number: usize) -> String {
    if number == 1 { "One person".to_owned() } else { format!("{number} people") }
}
