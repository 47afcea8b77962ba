use grille_admin::view::{Reason, Reviews};
use grille_review::{Review, State};

use super::table::{facts, harmless, line, now_ms, span, table, time};
use super::{Format, Outcome, answer, print_json, say};
use crate::client::{Client, NoAnswer, Reach};

/// A statement in a list is cut to this; `show` has all of it.
const TEXT_CHARACTERS: usize = 60;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// List the requests that wait for people
    List(List),
    /// Show one request: who asks, what would run, what it needs
    Show(Show),
    /// Say yes: it may run once
    Approve(Decide),
    /// Say no
    Deny(Decide),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Those that stand here instead: granted, denied, consumed …
    #[arg(long, value_parser = state, conflicts_with = "all")]
    state: Option<State>,
    /// All that the gateway remembers
    #[arg(long)]
    all: bool,
    /// Only those on this target
    #[arg(long)]
    target: Option<String>,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The request, or a unique beginning of its id
    id: String,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Decide {
    /// The request, or a unique beginning of its id
    id: String,
    /// Why; it is signed and recorded with the decision
    #[arg(long, default_value = "")]
    reason: String,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(action: &Action) -> anyhow::Result<Outcome> {
    answer(async {
        match action {
            Action::List(args) => list(args).await,
            Action::Show(args) => show(args).await,
            Action::Approve(args) => decide(args, "approve").await,
            Action::Deny(args) => decide(args, "deny").await,
        }
    })
}

async fn list(args: &List) -> Result<(), NoAnswer> {
    let client = Client::new(&args.reach)?;
    let mut query = Vec::new();
    if !args.all {
        query.push(("state", args.state.unwrap_or(State::Pending).name().to_owned()));
    }
    query.extend(args.target.clone().map(|target| ("target", target)));
    let Reviews { reviews } = client.read(&["v1", "reviews"], &query).await?;
    if args.format == Format::Json {
        return print_json(&Reviews { reviews });
    }
    if reviews.is_empty() {
        say(if args.all { "no requests\n" } else { "no such requests; --all lists those that are decided too\n" });
        return Ok(());
    }
    say(&table(&["ID", "STATE", "WHO", "TARGET", "ENDS IN", "NEEDS", "WHAT"], &rows(&reviews, now_ms())));
    Ok(())
}

fn rows(reviews: &[Review], now_ms: u64) -> Vec<Vec<String>> {
    let row = |review: &Review| {
        let ends = if review.state.is_open() { span(now_ms, review.expires_ms) } else { "-".to_owned() };
        let needs = if review.state == State::Pending { review.missing.to_string() } else { "-".to_owned() };
        vec![
            review.id.to_string(),
            review.state.to_string(),
            who(review),
            line(&review.target, 20),
            ends,
            needs,
            line(&review.content.text, TEXT_CHARACTERS),
        ]
    };
    reviews.iter().map(row).collect()
}

async fn show(args: &Show) -> Result<(), NoAnswer> {
    let client = Client::new(&args.reach)?;
    let review: Review = client.read(&["v1", "reviews", &args.id], &[]).await?;
    if args.format == Format::Json {
        return print_json(&review);
    }
    say(&describe(&review));
    Ok(())
}

fn describe(review: &Review) -> String {
    let requester = &review.requester;
    let needs: Vec<String> = review
        .needs
        .iter()
        .map(|need| {
            format!("{} of {}", need.people, need.groups.iter().map(|group| &**group).collect::<Vec<_>>().join(", "))
        })
        .collect();
    let findings: Vec<String> =
        review.findings.iter().map(|finding| format!("{}: {}", finding.rule, finding.message)).collect();
    let votes: Vec<String> = review
        .votes
        .iter()
        .map(|vote| {
            let said = if vote.approved { "approved" } else { "refused" };
            let because = if vote.reason.is_empty() { String::new() } else { format!(": {}", vote.reason) };
            format!("{} {said} {}{because}", vote.by.name, time(vote.at_ms))
        })
        .collect();
    let parameters: Vec<String> = review
        .content
        .parameters
        .iter()
        .enumerate()
        .map(|(i, one)| {
            format!(
                "${} = {}",
                i + 1,
                one.value.as_deref().map_or_else(|| "NULL".to_owned(), |value| format!("{value:?}"))
            )
        })
        .collect();
    let is_open = review.state.is_open();
    harmless(&facts(&[
        ("request", review.id.to_string()),
        ("state", review.state.to_string()),
        ("who", format!("{} ({} at {})", who(review), requester.person.sub, requester.person.issuer)),
        ("from", format!("{} {}", requester.peer, requester.client)),
        ("session", requester.session.to_string()),
        ("target", format!("{} as {}", review.target, requester.roles.join(", "))),
        ("why asked", review.reason.to_string()),
        ("found", findings.join("\n")),
        ("their reason", review.justification.as_deref().unwrap_or_default().to_owned()),
        ("asked", format!("{}{}", time(review.asked_ms), if review.held { ", waits at the prompt" } else { "" })),
        (if is_open { "ends" } else { "ended by" }, time(review.expires_ms)),
        ("needs", needs.join("\n")),
        ("missing", if review.state == State::Pending { review.missing.to_string() } else { String::new() }),
        ("said", votes.join("\n")),
        ("sha256", review.content.sha256.to_string()),
        ("parameters", parameters.join("\n")),
        ("would run", review.content.text.to_string()),
    ]))
}

async fn decide(args: &Decide, what: &str) -> Result<(), NoAnswer> {
    let client = Client::new(&args.reach)?;
    let body = Reason { reason: args.reason.clone() };
    let review: Review = client.post(&["v1", "reviews", &args.id, what], &body).await?;
    if args.format == Format::Json {
        return print_json(&review);
    }
    let text = match review.state {
        State::Granted => format!("{} is granted: it may run once until {}\n", review.id, time(review.expires_ms)),
        State::Pending => format!("{} is approved by you and needs {} more\n", review.id, review.missing),
        state => format!("{} is {state}\n", review.id),
    };
    say(&text);
    Ok(())
}

/// The name for people, with who acts for them.
fn who(review: &Review) -> String {
    let requester = &review.requester;
    match requester.actors.first() {
        None => line(&requester.person.name, 30),
        Some(actor) => format!("{} for {}", line(&actor.sub, 20), line(&requester.person.name, 30)),
    }
}

fn state(text: &str) -> Result<State, String> {
    let names = State::ALL.map(State::name).join(", ");
    State::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| format!("one of {names}"))
}

#[cfg(test)]
mod tests {
    use grille_policy::{Actor, Digest, Epoch, Finding, RequestId, SessionId, Severity, TransactionState};
    use grille_review::{Content, Need, Person, Requester, ShownParameter, Vote};

    use super::*;

    fn review() -> Review {
        let person = |name: &str| Person { issuer: "https://id".into(), sub: name.into(), name: name.into() };
        Review {
            id: RequestId::mint(1_795_000_000_123, 7),
            state: State::Pending,
            requester: Requester {
                person: person("ann"),
                actors: vec![Actor { issuer: "https://id".into(), sub: "bot".into() }],
                session: SessionId::mint(1_795_000_000_000, 7),
                roles: vec!["analyst".into()],
                peer: "127.0.0.1:5".into(),
                client: "psql".into(),
            },
            target: "clinic".into(),
            content: Content {
                text: "update visits\nset ward = $1 \u{1b}[8mwhere true".into(),
                sha256: Digest([0xab; 32]),
                parameters: vec![
                    ShownParameter { type_oid: 25, value: Some("B'\n".into()) },
                    ShownParameter { type_oid: 25, value: None },
                ],
                parameters_commit: Digest([0; 32]),
                transaction: TransactionState::Idle,
            },
            reason: "a bulk update".into(),
            justification: Some("ticket 4711".into()),
            findings: vec![Finding::new("update-without-where", Severity::High, "UPDATE changes all rows")],
            epoch: Epoch(3),
            policies: Digest([1; 32]),
            held: true,
            asked_ms: 1_795_000_000_000,
            expires_ms: 1_795_000_120_000,
            needs: vec![Need { groups: vec!["reviewers".into(), "leads".into()], people: 2 }],
            missing: 1,
            votes: vec![Vote { by: person("rita"), approved: true, reason: "agreed".into(), at_ms: 1_795_000_060_000 }],
        }
    }

    #[test]
    fn a_list() {
        let rows = rows(&[review()], 1_795_000_030_000);
        let expected = "\
ID                  STATE    WHO          TARGET  ENDS IN  NEEDS  WHAT
r-0d3w5hhc3v000007  pending  bot for ann  clinic  1m 30s   1      update visits set ward = $1 \\u001b[8mwhere true
";
        let text = table(&["ID", "STATE", "WHO", "TARGET", "ENDS IN", "NEEDS", "WHAT"], &rows);
        assert_eq!(text.replace(&review().id.to_string(), "r-0d3w5hhc3v000007"), expected);
    }

    #[test]
    fn all_that_a_reviewer_decides_on() {
        let expected = format!(
            "\
request       {}
state         pending
who           bot for ann (ann at https://id)
from          127.0.0.1:5 psql
session       {}
target        clinic as analyst
why asked     a bulk update
found         update-without-where: UPDATE changes all rows
their reason  ticket 4711
asked         2026-11-18T11:06:40Z, waits at the prompt
ends          2026-11-18T11:08:40Z
needs         2 of reviewers, leads
missing       1
said          rita approved 2026-11-18T11:07:40Z: agreed
sha256        {}
parameters    $1 = \"B'\\n\"
              $2 = NULL
would run     update visits
              set ward = $1 \\u001b[8mwhere true
",
            review().id,
            review().requester.session,
            "ab".repeat(32),
        );
        assert_eq!(describe(&review()), expected);
    }
}
