//! `grille plugin run`: one question, and all that the plugin does about it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use grille_plugin::{Answer, Case, CaseFile, CaseResult, CaseSession, StatementCase};
use grille_policy::{Finding, Verdict};

use super::super::table::{facts, harmless};
use super::decision::{self, Records, Run};
use super::test::read_cases;
use super::{Wrong, host, micros, show, size, stage, wait};
use crate::commands::{Format, Outcome};

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["sql", "case", "decision"])))]
pub(crate) struct Args {
    /// The component; with --decision, one in the place of the recorded one
    #[arg(required_unless_present = "decision")]
    file: Option<PathBuf>,
    /// Ask about this statement
    #[arg(long, value_name = "TEXT")]
    sql: Option<String>,
    /// Ask what a case beside the plugin asks: its name, or its number from 1
    #[arg(long, value_name = "NAME", conflicts_with_all = ["settings", "role", "group", "schema"])]
    case: Option<String>,
    /// Ask what was asked for a recorded decision, such as d-06f3…-4, with the answers that the host gave then
    #[arg(long, value_name = "ID", conflicts_with_all = ["settings", "role", "group", "schema"])]
    decision: Option<String>,
    /// The settings, as a JSON object
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
    /// A role that the session holds; may be repeated
    #[arg(long, value_name = "R")]
    role: Vec<String>,
    /// A group of the caller; may be repeated
    #[arg(long, value_name = "G")]
    group: Vec<String>,
    /// The tables that the statement finds, as a JSON file: {"public.patients": ["id int8", "ssn text"]}
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    records: Records,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Wrong> {
    if let Some(decision) = &args.decision {
        let plugin = args.file.as_deref();
        return Ok(decision::run(&Run { decision, plugin, records: &args.records, format: args.format })?);
    }
    let component = args.file.as_deref().context("there is no component to ask")?;
    let (file, case) = match (&args.sql, &args.case) {
        (Some(sql), _) => (CaseFile::default(), statement(args, sql)?),
        (None, Some(named)) => {
            let file = read_cases(component)?;
            let case = find(&file, named)?.clone();
            (file, case)
        }
        (None, None) => return Err(Wrong::No("there is nothing to ask; give --sql or --case".to_owned())),
    };
    let host = host()?;
    let staged = stage(&host, component)?;
    let result = wait(staged.play(&file, &case))?;
    let Some(answer) = &result.answer else {
        let why = result.mismatches.first().map_or_else(String::new, |mismatch| mismatch.got.clone());
        return Err(Wrong::No(format!("{}: {why}", component.display())));
    };
    let is_no = match &args.case {
        Some(_) => !result.holds(),
        None => !matches!(answer.verdict, Verdict::Allow),
    };
    // Nothing is expected of a statement that was typed.
    let shown = CaseResult {
        mismatches: if args.case.is_some() { result.mismatches.clone() } else { Vec::new() },
        ..result.clone()
    };
    show(args.format, &shown, || harmless(&text(&shown, answer)))?;
    Ok(if is_no { Outcome::No } else { Outcome::Done })
}

fn statement(args: &Args, sql: &str) -> Result<Case, Wrong> {
    let schema: Option<BTreeMap<String, Vec<String>>> = match &args.schema {
        None => None,
        Some(path) => {
            let place = path.display();
            let text = std::fs::read_to_string(path).with_context(|| format!("read {place}"))?;
            let read = serde_json::from_str(&text);
            Some(read.map_err(|error| Wrong::No(format!("{place}: it is no list of tables: {error}")))?)
        }
    };
    let settings = args.settings.as_deref().map(serde_json::from_str).transpose();
    let settings = settings.map_err(|error| Wrong::No(format!("--settings: it is no JSON: {error}")))?;
    let roles = (!args.role.is_empty()).then(|| args.role.clone());
    Ok(Case {
        name: "run".to_owned(),
        settings,
        session: Some(CaseSession { roles, groups: args.group.clone(), ..CaseSession::default() }),
        statement: Some(StatementCase { sql: sql.to_owned(), schema, ..StatementCase::default() }),
        ..Case::default()
    })
}

fn find<'a>(file: &'a CaseFile, named: &str) -> Result<&'a Case, Wrong> {
    let number = named.parse::<usize>().ok().and_then(|number| file.cases.get(number.checked_sub(1)?));
    let by_name = file.cases.iter().find(|case| case.name == named);
    by_name.or(number).ok_or_else(|| {
        let names: Vec<String> = file.cases.iter().map(|case| format!("\"{}\"", case.name)).collect();
        Wrong::No(format!("there is no case \"{named}\"; there are {}", names.join(", ")))
    })
}

fn text(result: &CaseResult, answer: &Answer) -> String {
    let finding = |finding: &Finding| format!("{}: {}", finding.rule, finding.message);
    let verdict = match &answer.verdict {
        Verdict::Allow => "allow".to_owned(),
        Verdict::Review(terms) => format!("review: {}", terms.reason),
        Verdict::Block(found) => format!("block by {}", finding(found)),
    };
    let failure = answer.failure.as_ref().map(|failure| format!("{} ({})", failure.kind.describe(), failure.message));
    let call = |call: &grille_policy::HostCall| format!("{}{} → {}", call.function, call.asked, call.answered);
    let pair = |(place, how): (&String, &String)| format!("{place}: {how}");
    let values = answer.values.as_ref().map(|values| {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
        values.iter().map(shown).collect::<Vec<_>>().join("\n")
    });
    facts(&[
        ("hook", result.hook.to_owned()),
        ("verdict", verdict),
        ("failure", failure.unwrap_or_default()),
        ("findings", answer.findings.iter().map(finding).collect::<Vec<_>>().join("\n")),
        ("treatments", answer.treatments.as_ref().map(|list| list.join("\n")).unwrap_or_default()),
        (
            "places",
            answer.places.as_ref().map(|all| all.iter().map(pair).collect::<Vec<_>>().join("\n")).unwrap_or_default(),
        ),
        ("values", values.unwrap_or_default()),
        ("read", answer.read.join("\n")),
        ("asked", answer.calls.iter().map(call).collect::<Vec<_>>().join("\n")),
        ("log", answer.log.join("\n")),
        ("time", format!("{}, instance included", micros(answer.spent_ns))),
        ("memory", if answer.memory == 0 { String::new() } else { size(answer.memory) }),
        ("wrong", result.mismatches.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    ])
}
