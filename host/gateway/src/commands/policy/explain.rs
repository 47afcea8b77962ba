use grille_admin::view::{DecisionDetail, ParameterDetail, PluginDetail, ReviewStep};
use grille_policy::{Decision, Digest, Finding, Mode, Opinion, Severity, TransactionState, Verdict};

use super::{mode, short};
use crate::client::{Client, NoAnswer, Reach};
use crate::commands::table::{facts, harmless, line, table, time};
use crate::commands::{Format, print_json, say};

/// A statement is cut to this; `--format json` has all of it.
const TEXT_CHARACTERS: usize = 600;
/// What a parameter, a question to the host or its answer is cut to.
const VALUE_CHARACTERS: usize = 60;
const SENTENCE_CHARACTERS: usize = 300;

#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The decision, such as d-06f3…-4: callers read it, `grille session show` lists them
    decision: String,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

pub(super) async fn explain(args: &Explain) -> Result<(), NoAnswer> {
    let client = Client::new(&args.reach)?;
    let detail: DecisionDetail = client.read(&["v1", "decisions", &args.decision], &[]).await?;
    if args.format == Format::Json {
        return print_json(&detail);
    }
    say(&describe(&detail));
    Ok(())
}

fn describe(detail: &DecisionDetail) -> String {
    let session = &detail.session;
    let subject = &session.subject;
    let actors: Vec<String> = subject.actors.iter().map(|actor| format!(", through {}", actor.sub)).collect();
    let masked = if detail.masked { ", masked" } else { "" };
    let request = detail.request.map(|request| {
        let steps: Vec<String> = detail.review.iter().map(step).collect();
        format!("{request} {}", steps.join(", then "))
    });
    let mut text = harmless(&facts(&[
        ("decision", detail.id.to_string()),
        ("when", time(detail.at_ms)),
        ("who", format!("{} ({} at {}){}", subject.name, subject.sub, subject.issuer, actors.concat())),
        ("roles", session.roles.join(", ")),
        ("session", format!("{} from {} {}{masked}", session.id, session.peer, session.client)),
        ("target", format!("{} ({})", session.target, session.protocol)),
        ("sql", line(&detail.text, TEXT_CHARACTERS)),
        ("parameters", parameters(&detail.parameters)),
        ("transaction", transaction(detail.transaction).to_owned()),
        ("verdict", verdict(&detail.decision.verdict)),
        ("caller read", detail.message.as_deref().unwrap_or_default().to_owned()),
        ("reason", detail.justification.as_deref().unwrap_or_default().to_owned()),
        ("request", request.unwrap_or_default()),
        ("outcome", outcome(detail)),
    ]));
    text.push_str(&format!("\npolicy epoch {}\n", detail.decision.epoch));
    text.push_str(&policies(detail));
    text
}

fn policies(detail: &DecisionDetail) -> String {
    let opinions = &detail.decision.opinions;
    if opinions.is_empty() {
        return "no policy was asked\n".to_owned();
    }
    let row = |opinion: &Opinion| {
        let made = detail.plugins.iter().find(|plugin| plugin.policy == opinion.policy);
        vec![
            line(&opinion.policy, 30),
            plugin(opinion, made),
            if is_own(opinion) { "-".to_owned() } else { short(&opinion.plugin) },
            mode(opinion.mode).to_owned(),
            opinion.verdict.name().to_owned(),
            part(opinion, &detail.decision).to_owned(),
            spent(opinion),
        ]
    };
    let rows: Vec<Vec<String>> = opinions.iter().map(row).collect();
    let mut text = table(&["POLICY", "PLUGIN", "DIGEST", "MODE", "VERDICT", "PART", "TOOK"], &rows);
    for opinion in opinions {
        for note in notes(opinion) {
            text.push_str(&format!("{}: {note}\n", line(&opinion.policy, 30)));
        }
        let made = detail.plugins.iter().find(|plugin| plugin.policy == opinion.policy);
        if let Some(problem) = made.and_then(|plugin| plugin.problem.as_deref()) {
            text.push_str(&format!("{}: {}\n", line(&opinion.policy, 30), harmless(problem)));
        }
    }
    text
}

/// What the gateway said by itself has no component.
fn is_own(opinion: &Opinion) -> bool {
    opinion.plugin == Digest([0; 32])
}

fn plugin(opinion: &Opinion, made: Option<&PluginDetail>) -> String {
    if is_own(opinion) {
        return "the gateway's rules".to_owned();
    }
    let name = made.and_then(|plugin| plugin.name.as_deref()).unwrap_or("(unnamed)");
    let version = made.and_then(|plugin| plugin.version.as_deref()).unwrap_or_default();
    line(&format!("{name} {version}"), 40)
}

/// What an opinion did for the verdict: the most restrictive ones decide, of several blocks the severest.
fn part(opinion: &Opinion, decision: &Decision) -> &'static str {
    if opinion.mode == Mode::Monitor {
        return "only watched";
    }
    match (&opinion.verdict, &decision.verdict) {
        (Verdict::Allow, Verdict::Allow) => "agreed",
        (Verdict::Block(said), Verdict::Block(named)) if said == named => "decided",
        (Verdict::Block(_), Verdict::Block(_)) => "agreed, another finding was severer",
        (Verdict::Review(_), Verdict::Review(_)) => "decided",
        _ => "lost",
    }
}

fn notes(opinion: &Opinion) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(failure) = &opinion.failure {
        let limit = failure.limit.map_or_else(String::new, |limit| format!(", limit {limit}"));
        notes.push(format!("failed, {} ({}{limit})", failure.kind.describe(), harmless(&failure.message)));
    }
    match &opinion.verdict {
        Verdict::Block(named) if !opinion.findings.contains(named) => notes.push(finding(named)),
        Verdict::Review(terms) => notes.push(format!("review {}", line(&terms.reason, SENTENCE_CHARACTERS))),
        Verdict::Allow | Verdict::Block(_) => {}
    }
    notes.extend(opinion.findings.iter().map(finding));
    notes.extend(opinion.calls.iter().map(|call| {
        let when = if call.at_opening { ", when it was told of the session" } else { "" };
        format!(
            "asked {}{} and got {}{when}",
            call.function,
            line(&call.asked, VALUE_CHARACTERS),
            line(&call.answered, VALUE_CHARACTERS)
        )
    }));
    notes
}

pub(crate) fn finding(finding: &Finding) -> String {
    let mut text = format!(
        "{} {}: {}",
        severity(finding.severity),
        line(&finding.rule, VALUE_CHARACTERS),
        line(&finding.message, SENTENCE_CHARACTERS)
    );
    let attributes: Vec<String> =
        finding.attributes.iter().map(|(name, value)| format!("{} {}", line(name, 60), line(value, 60))).collect();
    if !attributes.is_empty() {
        text.push_str(&format!(" ({})", attributes.join(", ")));
    }
    text
}

pub(crate) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow => "allow".to_owned(),
        Verdict::Block(named) => format!("block, {}", finding(named)),
        Verdict::Review(terms) => format!("review, {}", line(&terms.reason, SENTENCE_CHARACTERS)),
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

const fn transaction(state: TransactionState) -> &'static str {
    match state {
        TransactionState::Idle => "none",
        TransactionState::Open => "open",
        TransactionState::Failed => "failed",
    }
}

fn spent(opinion: &Opinion) -> String {
    match opinion.spent_ns {
        0 if is_own(opinion) => String::new(),
        0 => "remembered".to_owned(),
        spent => format!("{:.1} µs", spent as f64 / 1000.0),
    }
}

fn parameters(parameters: &[ParameterDetail]) -> String {
    let shown = |(index, parameter): (usize, &ParameterDetail)| {
        let value = match (&parameter.missing, parameter.bytes()) {
            (Some(why), _) => format!("({why})"),
            (None, None) => "NULL".to_owned(),
            (None, Some(bytes)) => match std::str::from_utf8(&bytes) {
                Ok(text) if !parameter.is_binary => line(text, VALUE_CHARACTERS),
                _ => format!("({} bytes)", bytes.len()),
            },
        };
        format!("${} = {value}", index + 1)
    };
    parameters.iter().enumerate().map(shown).collect::<Vec<_>>().join(", ")
}

fn step(step: &ReviewStep) -> String {
    let by = step.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    let reason = step.reason.as_deref().filter(|reason| !reason.is_empty());
    let reason = reason.map_or_else(String::new, |reason| format!(" ({})", line(reason, SENTENCE_CHARACTERS)));
    format!("{}{by} {}{reason}", step.event, time(step.at_ms))
}

fn outcome(detail: &DecisionDetail) -> String {
    let Some(outcome) = &detail.outcome else { return "none yet".to_owned() };
    let ended = match &outcome.sqlstate {
        Some(sqlstate) => format!("failed with {sqlstate}, "),
        None => String::new(),
    };
    let took = outcome.duration_us as f64 / 1000.0;
    let mut text = format!("{ended}{} rows, {} bytes, {took:.1} ms", outcome.rows, outcome.bytes);
    for masked in &outcome.masked {
        text.push_str(&format!("\nmasked {masked}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use grille_admin::view::OutcomeLine;
    use grille_policy::{Actor, DecisionId, Epoch, Failure, FailureKind, HostCall, RequestId, Terms, testing};

    use super::*;

    fn opinion(policy: &str, mode: Mode, verdict: Verdict) -> Opinion {
        let plugin = Digest([if policy == "grille" { 0 } else { 0xab }; 32]);
        Opinion { policy: policy.into(), plugin, mode, spent_ns: 12_345, ..testing::opinion(verdict) }
    }

    fn detail() -> DecisionDetail {
        let severe = Finding::new("drop", Severity::Critical, "DROP is not allowed here");
        let mild = Finding::new("odd", Severity::Low, "odd\u{1b}[2J");
        let call = HostCall {
            function: "clock.now-ms".into(),
            asked: "[]".into(),
            answered: "{\"ok\":5}".into(),
            at_opening: true,
        };
        let failure =
            Failure { kind: FailureKind::Memory, message: "it asked for more".into(), limit: Some(16_777_216) };
        let opinions = vec![
            Opinion {
                findings: vec![severe.clone(), mild.clone()],
                ..opinion("a", Mode::Enforce, Verdict::Block(severe))
            },
            Opinion { calls: vec![call], ..opinion("b", Mode::Enforce, Verdict::Block(mild.clone())) },
            opinion("c", Mode::Enforce, Verdict::Review(Terms::standard("a bulk update"))),
            Opinion { spent_ns: 0, ..opinion("d", Mode::Enforce, Verdict::Allow) },
            Opinion { failure: Some(failure), ..opinion("e", Mode::Monitor, Verdict::Block(mild)) },
            Opinion { spent_ns: 0, ..opinion("grille", Mode::Enforce, Verdict::Allow) },
        ];
        let mut session = testing::session();
        let subject = Arc::make_mut(&mut session.subject);
        subject.actors.push(Actor { issuer: "https://id.example.org".into(), sub: "report-agent".into() });
        let made = |policy: &str| PluginDetail {
            policy: policy.into(),
            name: (policy == "a").then(|| "sql-guard".into()),
            version: (policy == "a").then(|| "0.1.0".into()),
            settings: None,
            problem: (policy == "b").then(|| "its settings are gone".into()),
        };
        let parameter = |value: Option<&str>, missing: Option<&str>| ParameterDetail {
            type_oid: 25,
            is_binary: false,
            value: value.map(Into::into),
            missing: missing.map(Into::into),
        };
        DecisionDetail {
            id: DecisionId { session: session.id, number: 4 },
            at_ms: 1_795_000_000_000,
            session,
            masked: true,
            text: "DROP TABLE\n patients".into(),
            parameters: vec![parameter(Some("YQ=="), None), parameter(None, None), parameter(None, Some("too long"))],
            transaction: TransactionState::Open,
            facts: None,
            decision: Decision::new(Epoch(3), opinions),
            opening: None,
            plugins: ["a", "b", "c", "d", "e"].map(made).into(),
            request: Some(RequestId::mint(1, 1)),
            review: vec![ReviewStep {
                at_ms: 1_795_000_001_000,
                event: "denied".into(),
                by: Some("rita".into()),
                reason: Some("no".into()),
            }],
            justification: Some("ticket 4711".into()),
            outcome: Some(OutcomeLine {
                rows: 2,
                bytes: 30,
                duration_us: 1_500,
                sqlstate: Some("42501".into()),
                masked: vec!["ssn: redact × 2".into()],
            }),
            message: Some("DROP is not allowed here".into()),
        }
    }

    #[test]
    fn who_decided_and_who_lost() {
        let detail = detail();
        let (id, session) = (detail.id, detail.session.id);
        let request = RequestId::mint(1, 1);
        let expected = format!(
            "\
decision     {id}
when         2026-11-18T11:06:40Z
who          Ann (u-1 at https://id.example.org), through report-agent
roles        analyst
session      {session} from 127.0.0.1:5555 psql, masked
target       clinic (postgres)
sql          DROP TABLE patients
parameters   $1 = a, $2 = NULL, $3 = (too long)
transaction  open
verdict      block, critical drop: DROP is not allowed here
caller read  DROP is not allowed here
reason       ticket 4711
request      {request} denied by rita 2026-11-18T11:06:41Z (no)
outcome      failed with 42501, 2 rows, 30 bytes, 1.5 ms
             masked ssn: redact × 2

policy epoch 3
POLICY  PLUGIN               DIGEST        MODE     VERDICT  PART                                 TOOK
a       sql-guard 0.1.0      abababababab  enforce  block    decided                              12.3 µs
b       (unnamed)            abababababab  enforce  block    agreed, another finding was severer  12.3 µs
c       (unnamed)            abababababab  enforce  review   lost                                 12.3 µs
d       (unnamed)            abababababab  enforce  allow    lost                                 remembered
e       (unnamed)            abababababab  monitor  block    only watched                         12.3 µs
grille  the gateway's rules  -             enforce  allow    lost
a: critical drop: DROP is not allowed here
a: low odd: odd\\u001b[2J
b: low odd: odd\\u001b[2J
b: asked clock.now-ms[] and got {{\"ok\":5}}, when it was told of the session
b: its settings are gone
c: review a bulk update
e: failed, it exceeded its memory limit (it asked for more, limit 16777216)
e: low odd: odd\\u001b[2J
"
        );
        assert_eq!(describe(&detail), expected);
    }
}
