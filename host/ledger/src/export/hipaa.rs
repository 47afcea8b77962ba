//! Evidence by citation: what one period of the log can show for each paragraph of the HIPAA Security Rule, with counts,
//! samples that the bundle proves, and what is missing. It says what was recorded; whether that suffices, people judge.

mod classes;
mod map;
mod tally;

use std::collections::BTreeSet;

use grille_policy::SessionId;
use serde::Serialize;

use super::csv::cell;
use super::pages::{Cell, Page, at, id, text, time};
use crate::{Checkpoint, ReadError, Reader};
use map::{Citation, MAP};
pub(super) use tally::Tally;

/// What stands above everything.
const CAUTION: &str = "This is what the records of one gateway show, paragraph by paragraph. It is no certification and \
                       no statement of compliance: each paragraph asks for more than records of a gateway can show, \
                       and the gaps below say what has to come from elsewhere.";

/// A stretch of time that evidence is gathered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// As people call it: `2026-Q3`.
    pub name: String,
    /// Its first moment, in Unix microseconds.
    pub from: u64,
    /// The first moment behind it.
    pub to: u64,
}

/// The evidence of one period, as it goes into a bundle.
#[derive(Serialize)]
pub(super) struct Evidence<'a> {
    period: &'a str,
    from: String,
    to: String,
    log: &'a str,
    log_begins: Option<String>,
    log_ends: Option<String>,
    caution: &'static str,
    gaps: Vec<String>,
    citations: Vec<Citation>,
}

impl Tally {
    /// Counts a period of the log.
    pub(super) fn of(reader: &Reader, period: Period, size: u64) -> Result<Self, ReadError> {
        let mut tally = Self::begin(period);
        let mut entries = reader.records()?;
        while let Some((leaf, sealed)) = entries.next_leaf()? {
            if entries.index() >= size {
                break;
            }
            if tally.wants(&leaf) || tally.may_hold(&leaf) {
                let record = entries.open_record(&leaf, &sealed)?;
                tally.take(entries.index(), &leaf, record.as_ref());
            }
        }
        Ok(tally)
    }

    pub(super) fn period(&self) -> &str {
        &self.period.name
    }

    /// The sessions, and the records of the node, that the samples stand in.
    pub(super) fn samples(&self) -> (Vec<SessionId>, BTreeSet<u64>) {
        let all = || self.samples.values().flatten();
        let sessions: BTreeSet<SessionId> = all().filter(|one| !one.is_node).map(|one| one.session).collect();
        (sessions.into_iter().collect(), all().filter(|one| one.is_node).map(|one| one.record).collect())
    }

    pub(super) fn evidence<'a>(&'a self, checkpoint: &'a Checkpoint, now: u64) -> Evidence<'a> {
        let Period { name, from, to } = &self.period;
        let mut gaps = Vec::new();
        match (self.log_begins, self.log_ends) {
            (Some(begins), Some(_)) if begins > *from => {
                gaps.push(format!(
                    "the log begins at {}, after the period did: what was before is not in it",
                    time(begins)
                ));
            }
            (Some(_), Some(_)) => {}
            _ => gaps.push("the log holds nothing of this period".to_owned()),
        }
        if now < *to {
            gaps.push(format!("the period is not over: this counts until {}", time(now)));
        }
        Evidence {
            period: name,
            from: time(*from),
            to: time(*to),
            log: &checkpoint.origin,
            log_begins: self.log_begins.map(time),
            log_ends: self.log_ends.map(time),
            caution: CAUTION,
            gaps,
            citations: MAP.iter().map(|row| row.cite(self)).collect(),
        }
    }
}

impl Evidence<'_> {
    pub(super) fn page(&self) -> String {
        let mut page = Page::begin(&format!("HIPAA evidence by citation, {}", self.period));
        page.question("What is this?", CAUTION);
        page.facts(&[
            ("period", format!("{}: from {} until before {}", self.period, self.from, self.to)),
            ("log", self.log.to_owned()),
            (
                "the log covers",
                format!(
                    "{} to {}",
                    self.log_begins.as_deref().unwrap_or("none"),
                    self.log_ends.as_deref().unwrap_or("none")
                ),
            ),
            ("gaps", self.gaps.join("\n")),
        ]);
        page.paragraph(
            "Each sample is a record of this bundle: report.html tells its session, and verify.py proves it under the \
             log's signed checkpoint. Counts are of the whole period; R is required, A addressable.",
        );
        let overview = self.citations.iter().map(|one| {
            let shown = one.artefacts.iter().filter(|artefact| artefact.count > 0).count();
            let shown = format!("{shown} of {}", one.artefacts.len());
            vec![
                text(one.citation),
                text(one.standard),
                text(one.kind),
                text(shown),
                Cell::Number(one.gaps.len() as u64),
            ]
        });
        page.table(&["citation", "standard", "", "shown", "gaps"], overview);
        for one in &self.citations {
            page.question(&format!("{} {}{}", one.citation, one.standard, one.mark()), one.asks);
            let artefacts =
                one.artefacts.iter().map(|artefact| vec![text(artefact.what.clone()), Cell::Number(artefact.count)]);
            page.table(&["what the log shows", "count"], artefacts);
            let samples = one.samples.iter().map(|sample| {
                vec![at(sample.at), id(sample.session), text(sample.what.clone()), Cell::Number(sample.record)]
            });
            page.table(&["sample, at (UTC)", "session", "what", "record"], samples);
            page.list("Gaps: what this does not show", &one.gaps);
        }
        page.finish()
    }

    /// One line per count, sample and gap (RFC 4180).
    pub(super) fn table(&self) -> String {
        let mut table = "citation,standard,kind,sort,what,count,record,time,session\r\n".to_owned();
        for one in &self.citations {
            let head = [one.citation, one.standard, one.kind].map(cell).join(",");
            let mut line = |cells: [&str; 6]| table += &format!("{head},{}\r\n", cells.map(cell).join(","));
            for artefact in &one.artefacts {
                line(["count", &artefact.what, &artefact.count.to_string(), "", "", ""]);
            }
            for sample in &one.samples {
                let (record, session) = (sample.record.to_string(), sample.session.to_string());
                line(["sample", &sample.what, "", &record, &sample.time, &session]);
            }
            for gap in &one.gaps {
                line(["gap", gap, "", "", "", ""]);
            }
        }
        table
    }
}
