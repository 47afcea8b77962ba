//! A recorded decision is run again: the same component, or another one, on the same inputs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use grille_admin::view::{DecisionDetail, PluginDetail};
use grille_gateway::views::Decisions;
use grille_ledger::SealKey;
use grille_plugin::{EngineConfig, Isolation, Limits, PluginHost, PolicySet, PolicySpec, Question, Rerun};
use grille_policy::{
    DecisionId, Digest, Failure, FailureKind, Finding, HostCall, Mode, NameList, Opinion, Parameter, Statement, Verdict,
};
use serde::Serialize;

use crate::client::{Client, NoAnswer, Reach};
use crate::commands::policy::explain::{finding, verdict};
use crate::commands::table::{harmless, line};
use crate::commands::{Format, Outcome, answer, print_json, say};

/// What was not stopped by its limits then is not to be stopped by them now, on a machine that may be slower.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Where recorded decisions are, and what of one is run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of --decision")]
pub(super) struct Records {
    /// Only this policy of those that were asked
    #[arg(long, requires = "decision")]
    policy: Option<String>,
    /// Read a ledger's directory instead of asking a gateway
    #[arg(long, value_name = "DIR", requires_all = ["seal_key", "decision"])]
    ledger: Option<PathBuf>,
    /// The key that opens its records
    #[arg(long, value_name = "FILE", requires = "ledger")]
    seal_key: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

/// A recorded decision, to be run again.
pub(super) struct Run<'a> {
    /// Such as `d-06f3…-4`.
    pub(super) decision: &'a str,
    /// Another component in the place of the recorded one.
    pub(super) plugin: Option<&'a Path>,
    pub(super) records: &'a Records,
    pub(super) format: Format,
}

/// What one policy said, then and now.
#[derive(Debug, Serialize)]
struct Comparison {
    policy: Arc<str>,
    /// The component that was recorded, and the one that ran.
    recorded: Digest,
    ran: Option<Digest>,
    is_same: bool,
    then: Said,
    now: Option<Said>,
    notes: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Said {
    verdict: Verdict,
    findings: Vec<Finding>,
    failure: Option<FailureKind>,
}

#[derive(Serialize)]
struct Report {
    decision: DecisionId,
    is_same: bool,
    policies: Vec<Comparison>,
}

/// Where records are.
enum Source {
    Gateway(Client),
    Ledger(Box<Decisions>),
}

pub(super) fn run(args: &Run<'_>) -> anyhow::Result<Outcome> {
    answer(async {
        let source = Source::new(args.records)?;
        let detail = source.decision(args.decision).await?;
        let wanted: Vec<&Opinion> = wanted(args, &detail)?;
        if wanted.is_empty() {
            say("no policy was asked, so there is nothing to run again\n");
            return Ok(());
        }
        let statement = statement(&detail)?;
        let mut policies = Vec::new();
        for opinion in wanted {
            policies.push(again(args, &source, &detail, &statement, opinion).await?);
        }
        let report = Report { decision: detail.id, is_same: policies.iter().all(|one| one.is_same), policies };
        match args.format {
            Format::Json => print_json(&report)?,
            Format::Text => say(&describe(&report, args.plugin.is_some())),
        }
        if report.is_same { Ok(()) } else { Err(NoAnswer::No(format!("{} does not come out the same", detail.id))) }
    })
}

impl Source {
    fn new(args: &Records) -> Result<Self, NoAnswer> {
        let (Some(ledger), Some(key)) = (&args.ledger, &args.seal_key) else {
            return Client::new(&args.reach).map(Self::Gateway);
        };
        let seal = SealKey::from_file(key).with_context(|| format!("read the key in {}", key.display()))?;
        Ok(Self::Ledger(Box::new(Decisions::new(ledger.clone(), seal))))
    }

    async fn decision(&self, id: &str) -> Result<DecisionDetail, NoAnswer> {
        match self {
            Self::Gateway(client) => client.read(&["v1", "decisions", id], &[]).await,
            Self::Ledger(decisions) => {
                let unknown = || NoAnswer::No(format!("no decision `{}` is recorded there", harmless(id)));
                let id: DecisionId = id.parse().map_err(|_| unknown())?;
                decisions.read(id).context("read the ledger")?.ok_or_else(unknown)
            }
        }
    }

    async fn component(&self, digest: Digest) -> Result<Vec<u8>, NoAnswer> {
        match self {
            Self::Gateway(client) => {
                let answer = client.stream(&["v1", "plugins", &digest.to_string()]).await?;
                Ok(answer.bytes().await.context("fetch the component")?.to_vec())
            }
            Self::Ledger(decisions) => {
                let found = decisions.read_component(digest).context("read the component")?;
                found.ok_or_else(|| NoAnswer::No(format!("no plugin with sha256 {digest} was in force there")))
            }
        }
    }
}

/// The opinions that a component gave and that are meant.
fn wanted<'a>(args: &Run<'_>, detail: &'a DecisionDetail) -> Result<Vec<&'a Opinion>, NoAnswer> {
    let names: Vec<&str> = detail.plugins.iter().map(|plugin| &*plugin.policy).collect();
    let asked = detail.decision.opinions.iter().filter(|opinion| names.contains(&&*opinion.policy));
    let Some(policy) = &args.records.policy else { return Ok(asked.collect()) };
    let found: Vec<&Opinion> = asked.filter(|opinion| *opinion.policy == **policy).collect();
    if found.is_empty() {
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(NoAnswer::No(format!("policy \"{}\" was not asked; asked were: {names}", harmless(policy))));
    }
    Ok(found)
}

/// What was judged, exactly as it was.
fn statement(detail: &DecisionDetail) -> Result<Statement, NoAnswer> {
    let facts = detail.facts.clone().ok_or_else(|| {
        anyhow!("{} names no facts of its statement: it was recorded by a version that did not keep them", detail.id)
    })?;
    let mut parameters = Vec::new();
    for (index, parameter) in detail.parameters.iter().enumerate() {
        if let Some(why) = &parameter.missing {
            return Err(
                anyhow!("parameter ${} is not in the record, so it cannot be run again: {why}", index + 1).into()
            );
        }
        let value = parameter.bytes().map(Arc::from);
        parameters.push(Parameter { type_oid: parameter.type_oid, is_binary: parameter.is_binary, value });
    }
    Ok(Statement {
        text: Arc::clone(&detail.text),
        facts: Arc::new(facts),
        parameters: parameters.into(),
        transaction: detail.transaction,
    })
}

/// Asks one policy again.
async fn again(
    args: &Run<'_>,
    source: &Source,
    detail: &DecisionDetail,
    statement: &Statement,
    then: &Opinion,
) -> Result<Comparison, NoAnswer> {
    let failed = then.failure.as_ref().map(|failure| failure.kind);
    let mut compared = Comparison {
        policy: Arc::clone(&then.policy),
        recorded: then.plugin,
        ran: None,
        is_same: false,
        then: Said { verdict: then.verdict.clone(), findings: then.findings.clone(), failure: failed },
        now: None,
        notes: Vec::new(),
    };
    if let Some(FailureKind::Breaker | FailureKind::Start) = failed {
        let kind = failed.map_or("", FailureKind::describe);
        compared
            .notes
            .push(format!("it gave no verdict of its own then ({kind}), so there is nothing to compare with"));
        return Ok(compared);
    }
    let made = detail.plugins.iter().find(|plugin| plugin.policy == then.policy);
    let host = host()?;
    let set = load(args, source, &host, then, made).await?;
    compared.ran = set.describe().first().map(|policy| policy.digest);
    let calls = calls(detail, then);
    let question = Question { session: Arc::new(detail.session.clone()), statement: statement.clone(), calls };
    let Some(Rerun { opinion: now, strayed, unasked }) = host.rerun(&set, &then.policy, &question).await else {
        return Err(anyhow!("the component has no `sql` hook: it judges no statements").into());
    };
    let failure = now.failure.as_ref().map(|failure| failure.kind);
    compared.notes.extend(now.failure.as_ref().filter(|_| strayed.is_none()).map(why));
    compared.now = Some(Said { verdict: now.verdict, findings: now.findings, failure });
    compared.is_same = strayed.is_none() && compared.now.as_ref() == Some(&compared.then);
    compared.notes.extend(strayed);
    if unasked > 0 && compared.is_same {
        compared.notes.push(format!("{unasked} recorded answers of the host were not asked for"));
    }
    Ok(compared)
}

/// What the host answered then. An answer that was remembered has none of its own: its instance was told of the session
/// when that was opened.
fn calls(detail: &DecisionDetail, then: &Opinion) -> Vec<HostCall> {
    if then.spent_ns > 0 || !then.calls.is_empty() {
        return then.calls.clone();
    }
    let opened = detail.opening.iter().flat_map(|opening| &opening.opinions);
    let same = opened.filter(|opinion| {
        opinion.policy == then.policy && opinion.plugin == then.plugin && opinion.settings == then.settings
    });
    same.flat_map(|opinion| &opinion.calls).map(|call| HostCall { at_opening: true, ..call.clone() }).collect()
}

fn why(failure: &Failure) -> String {
    format!("it failed: {} ({})", failure.kind.describe(), failure.message)
}

/// An engine of its own, which reaches nothing.
fn host() -> Result<PluginHost, NoAnswer> {
    let config = EngineConfig { instances: 4, ..EngineConfig::default() };
    Ok(PluginHost::new(config).context("start the plugin engine")?)
}

/// The one policy, as it was when it was asked.
async fn load(
    args: &Run<'_>,
    source: &Source,
    host: &PluginHost,
    then: &Opinion,
    made: Option<&PluginDetail>,
) -> Result<PolicySet, NoAnswer> {
    let settings = made.and_then(|plugin| plugin.settings.as_deref()).ok_or_else(|| {
        let why = made.and_then(|plugin| plugin.problem.as_deref()).unwrap_or("they were not kept");
        anyhow!("the settings of policy \"{}\" are not to be had: {why}", then.policy)
    })?;
    let settings = serde_json::from_str(settings).context("understand the recorded settings")?;
    let place = tempfile::tempdir().context("make a temporary directory")?;
    let file: &Path = match args.plugin {
        Some(file) => file,
        None => &place.path().join("plugin.wasm"),
    };
    if args.plugin.is_none() {
        std::fs::write(file, source.component(then.plugin).await?)
            .with_context(|| format!("write {}", file.display()))?;
    }
    let (memory, time) = limits(then.failure.as_ref());
    let spec = PolicySpec {
        name: Arc::clone(&then.policy),
        plugin: file.to_owned(),
        pin: args.plugin.is_none().then_some(then.plugin),
        targets: NameList::new(["*"]),
        roles: NameList::new(["*"]),
        mode: Mode::Enforce,
        on_failure_allow: then.failure.is_some() && then.verdict == Verdict::Allow,
        memory: Some(memory),
        time: Some(time),
        isolation: Isolation::Session,
        grants: Vec::new(),
        settings,
    };
    let set = host.load(vec![spec]).await.map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!("the component cannot be loaded with the recorded settings: {}", lines.join("; "))
    })?;
    let is_as_recorded = set.describe().iter().all(|policy| policy.settings_digest == then.settings);
    if !is_as_recorded {
        return Err(anyhow!("the settings of policy \"{}\" are not those that were recorded", then.policy).into());
    }
    Ok(set)
}

/// The limit that it ran into then; else more than it can have needed.
fn limits(failure: Option<&Failure>) -> (u64, Duration) {
    let limit = failure.and_then(|failure| Some((failure.kind, failure.limit?)));
    match limit {
        Some((FailureKind::Memory, bytes)) => (bytes, TIME_MAX),
        Some((FailureKind::Timeout, micros)) => (Limits::MEMORY_MAX, Duration::from_micros(micros)),
        _ => (Limits::MEMORY_MAX, TIME_MAX),
    }
}

fn describe(report: &Report, is_other: bool) -> String {
    let mut text = String::new();
    for one in &report.policies {
        let head = match (&one.now, one.is_same) {
            (None, _) => "not run",
            (Some(_), true) => "the same verdict",
            (Some(_), false) => "another verdict",
        };
        let ran = one.ran.map_or_else(String::new, |digest| format!(", {:.12}", digest.to_string()));
        text.push_str(&format!("{}{ran}: {head}\n", line(&one.policy, 60)));
        let shown = |text: &mut String, when: &str, said: &Said| {
            text.push_str(&format!("  {when}  {}\n", verdict(&said.verdict)));
            let named = |known: &&Finding| !matches!(&said.verdict, Verdict::Block(named) if named == *known);
            said.findings
                .iter()
                .filter(named)
                .for_each(|known| text.push_str(&format!("        {}\n", finding(known))));
        };
        if is_other || !one.is_same {
            shown(&mut text, "then", &one.then);
            one.now.iter().for_each(|now| shown(&mut text, "now ", now));
        } else {
            text.push_str(&format!("  {}\n", verdict(&one.then.verdict)));
        }
        one.notes.iter().for_each(|note| text.push_str(&format!("  {}\n", harmless(note))));
    }
    text
}
