use grille_admin::view::{FoundOperation, FoundSession, FoundSessions};

use super::{TEXT_CHARACTERS, who};
use crate::client::{Client, NoAnswer, Reach};
use crate::commands::table::{line, time};
use crate::commands::wanted::Wanted;
use crate::commands::{Format, print_json, say, waiting};

#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    #[command(flatten)]
    wanted: Wanted,
    /// That asked something with this in its text, whatever its case
    #[arg(long)]
    text: Option<String>,
    /// That asked something with this verdict
    #[arg(long, value_parser = ["allow", "review", "block"])]
    verdict: Option<String>,
    /// That asked something which this policy judged
    #[arg(long)]
    policy: Option<String>,
    /// That asked something which this component judged: its SHA-256 or the beginning of it
    #[arg(long, value_name = "DIGEST")]
    plugin: Option<String>,
    /// At most so many, newest first
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

pub(super) async fn search(args: &Search) -> Result<(), NoAnswer> {
    let mut query = args.wanted.query();
    let plugin = args.plugin.as_ref().map(|digest| digest.trim_start_matches("sha256:").to_lowercase());
    let more = [
        ("text", args.text.clone()),
        ("verdict", args.verdict.clone()),
        ("policy", args.policy.clone()),
        ("plugin", plugin),
        ("limit", Some(args.limit.to_string())),
    ];
    query.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let waiting = waiting("the gateway reads its log");
    let found: FoundSessions = Client::patient(&args.reach)?.read(&["v1", "sessions", "search"], &query).await?;
    waiting.finish_and_clear();
    if args.format == Format::Json {
        return print_json(&found);
    }
    if found.sessions.is_empty() {
        return Err(NoAnswer::No("no session matches".to_owned()));
    }
    say(&found.sessions.iter().map(describe).collect::<String>());
    Ok(())
}

/// The session in one line, and under it what made it match.
fn describe(found: &FoundSession) -> String {
    let session = &found.session;
    let (id, at, roles) = (session.id, time(session.opened_ms), line(&session.roles.join(", "), 30));
    let head = format!("{id}  {at}  {} on {} as {roles}\n", who(session), line(&session.target, 20));
    let operation = |one: &FoundOperation| {
        let (number, text) = (one.decision.number, line(&one.text, TEXT_CHARACTERS));
        format!("  {number:>5}  {}  {:<6}  {text}\n", time(one.at_ms), one.verdict)
    };
    let more = if found.more > 0 { format!("  … and {} more\n", found.more) } else { String::new() };
    format!("{head}{}{more}", found.matches.iter().map(operation).collect::<String>())
}
