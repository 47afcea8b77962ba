mod replay;
mod search;
mod told;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use grille_admin::view::{Kept, Killed, Moment, OperationLine, Session, SessionDetail, Sessions};
use grille_ledger::Retention;

use super::table::{facts, harmless, line, now_ms, span, table, time};
use super::{Format, Outcome, answer, print_json, say};
use crate::client::{Client, NoAnswer, Reach};
use replay::Replay;
use told::{Cast, Csv};

/// A statement in a list is cut to this; `--format json` has all of it.
const TEXT_CHARACTERS: usize = 80;

/// Nobody wants to watch somebody think longer than this.
const PAUSE_SECONDS_MAX: f64 = 3.0;

/// One line of a recording holds a chunk of at most 256 KiB in base64, or a statement of 16 MiB with escapes.
const LINE_BYTES_MAX: usize = 128 << 20;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// List sessions, newest first
    List(List),
    /// Show one session and what it asked
    Show(Show),
    /// Find sessions by who, when, what was asked and what decided
    Search(search::Search),
    /// Show what its caller saw, as psql would
    Replay(ReplayArgs),
    /// End a live session
    Kill(Kill),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only live ones
    #[arg(long)]
    live: bool,
    /// Only those of this person
    #[arg(long)]
    person: Option<String>,
    /// Only those of this target
    #[arg(long)]
    target: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The session, or a unique beginning of its id
    id: String,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The session, or a unique beginning of its id
    id: String,
    /// So many times as fast as it was, 0 = at once; 1 on a terminal and in asciicasts
    #[arg(long, value_parser = speed)]
    speed: Option<f64>,
    /// Pauses last at most so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = speed, default_value_t = PAUSE_SECONDS_MAX)]
    max_wait: f64,
    /// Begin here: so long after the beginning, such as 90s or 1m30s, or a time such as 2026-07-01T08:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = when)]
    at: Option<When>,
    /// How to say it
    #[arg(long, value_enum, default_value = "text")]
    format: ReplayFormat,
    #[command(flatten)]
    reach: Reach,
}

/// How a recording is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ReplayFormat {
    /// As psql would have shown it
    Text,
    /// The recording's own JSON lines
    Json,
    /// One line per thing that happened
    Csv,
    /// A terminal session for players of asciicasts
    Asciicast,
}

/// A point in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// After the beginning, in milliseconds.
    After(u64),
    /// In Unix milliseconds.
    At(u64),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    /// The session, or a unique beginning of its id
    id: String,
    /// Why; it is recorded
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
            Action::Search(args) => search::search(args).await,
            Action::Replay(args) => replay(args).await,
            Action::Kill(args) => kill(args).await,
        }
    })
}

async fn list(args: &List) -> Result<(), NoAnswer> {
    let client = Client::new(&args.reach)?;
    let mut query = vec![("limit", args.limit.to_string())];
    if args.live {
        query.push(("live", "true".to_owned()));
    }
    query.extend(args.person.clone().map(|person| ("person", person)));
    query.extend(args.target.clone().map(|target| ("target", target)));
    let sessions: Sessions = client.read(&["v1", "sessions"], &query).await?;
    if args.format == Format::Json {
        return print_json(&sessions);
    }
    if sessions.sessions.is_empty() {
        say("no sessions\n");
        return Ok(());
    }
    let now_ms = now_ms();
    let row = |session: &Session| {
        vec![
            session.id.to_string(),
            who(session),
            line(&session.target, 20),
            line(&session.roles.join(", "), 30),
            time(session.opened_ms),
            span(session.opened_ms, session.closed_ms.unwrap_or(now_ms)),
            count(session.operations),
            count(session.refused),
            if session.is_live { "live".to_owned() } else { line(session.end.as_deref().unwrap_or("ended"), 20) },
        ]
    };
    let rows: Vec<Vec<String>> = sessions.sessions.iter().map(row).collect();
    say(&table(&["ID", "WHO", "TARGET", "ROLES", "BEGAN", "LASTED", "ASKED", "REFUSED", "STATE"], &rows));
    Ok(())
}

async fn show(args: &Show) -> Result<(), NoAnswer> {
    let client = Client::new(&args.reach)?;
    let detail: SessionDetail = client.read(&["v1", "sessions", &args.id], &[]).await?;
    if args.format == Format::Json {
        return print_json(&detail);
    }
    say(&describe(&detail));
    Ok(())
}

fn describe(detail: &SessionDetail) -> String {
    let session = &detail.session;
    let state = match (session.is_live, session.closed_ms) {
        (true, _) => "live".to_owned(),
        (false, Some(at_ms)) => format!("{} {}", session.end.as_deref().unwrap_or("ended"), time(at_ms)),
        (false, None) => "ended, and nothing says how".to_owned(),
    };
    let mut text = harmless(&facts(&[
        ("session", session.id.to_string()),
        ("who", format!("{} ({} at {})", who(session), session.person.sub, session.person.issuer)),
        ("target", format!("{} ({}) as {}", session.target, session.protocol, session.roles.join(", "))),
        ("from", format!("{} {}", session.peer, session.client)),
        ("masked", session.masked.map_or("", |masked| if masked { "yes" } else { "no" }).to_owned()),
        ("began", time(session.opened_ms)),
        ("state", state),
        ("kept", detail.kept.as_ref().map(|kept| kept_until(kept, session.closed_ms)).unwrap_or_default()),
    ]));
    let row = |line_: &OperationLine| {
        let (rows, ended) = line_.outcome.as_ref().map_or((String::new(), String::new()), |outcome| {
            (outcome.rows.to_string(), outcome.sqlstate.as_deref().unwrap_or("ok").to_owned())
        });
        vec![
            line_.decision.number.to_string(),
            time(line_.at_ms),
            line_.verdict.to_string(),
            ended,
            rows,
            line(&line_.text, TEXT_CHARACTERS),
        ]
    };
    if !detail.log.is_empty() {
        let rows: Vec<Vec<String>> = detail.log.iter().map(row).collect();
        text.push('\n');
        text.push_str(&table(&["NO", "AT", "VERDICT", "ENDED", "ROWS", "WHAT"], &rows));
    }
    for line in &detail.log {
        let number = line.decision.number;
        if let Some(reason) = &line.reason {
            text.push_str(&format!("{number}: {}\n", harmless(reason)));
        }
        for masked in line.outcome.iter().flat_map(|outcome| &outcome.masked) {
            text.push_str(&format!("{number}: masked {}\n", harmless(masked)));
        }
    }
    if detail.more > 0 {
        text.push_str(&format!("… and {} more; `grille session replay` has them all\n", detail.more));
    }
    text
}

/// How long, by what, and until when by the calendar.
fn kept_until(kept: &Kept, closed_ms: Option<u64>) -> String {
    let until = closed_ms.map_or_else(
        || "from its end on".to_owned(),
        |at_ms| format!("until {}", time(at_ms.saturating_add(kept.seconds.saturating_mul(1000)))),
    );
    let kept = Retention { class: kept.class.as_ref().into(), seconds: kept.seconds };
    format!("{}, {until}", harmless(&kept.to_string()))
}

async fn replay(args: &ReplayArgs) -> Result<(), NoAnswer> {
    match play(args).await {
        // Whoever stops reading, as `head` does, has what they wanted.
        Err(NoAnswer::Failed(error)) if is_broken_pipe(&error) => Ok(()),
        ended => ended,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

async fn play(args: &ReplayArgs) -> Result<(), NoAnswer> {
    let client = Client::new(&args.reach)?;
    let mut answer = client.stream(&["v1", "sessions", &args.id, "recording"]).await?;
    let mut out = std::io::stdout().lock();
    let mut teller = Teller::new(args);
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let chunk = answer.chunk().await.context("read the recording")?;
        let is_last = chunk.is_none();
        buffer.extend_from_slice(&chunk.unwrap_or_default());
        if buffer.len() > LINE_BYTES_MAX {
            return Err(anyhow::anyhow!("the recording has a line of more than {LINE_BYTES_MAX} bytes").into());
        }
        let end =
            if is_last { buffer.len() } else { buffer.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1) };
        let lines: Vec<u8> = buffer.drain(..end).collect();
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let moment: Moment = serde_json::from_slice(line).context("understand the recording")?;
            let told = teller.tell(&moment, line).await;
            out.write_all(&told).and_then(|()| out.flush()).context("write")?;
        }
        if is_last {
            out.write_all(teller.finish().as_bytes()).context("write")?;
            return Ok(());
        }
    }
}

/// Tells moments in the wanted form, from the wanted point on.
struct Teller {
    format: ReplayFormat,
    player: Replay,
    csv: Csv,
    cast: Cast,
    speed: f64,
    max_wait: Duration,
    last_ms: Option<u64>,
    at: Option<When>,
    opened_ms: u64,
}

impl Teller {
    fn new(args: &ReplayArgs) -> Self {
        let is_watched = std::io::stdout().is_terminal() && args.format == ReplayFormat::Text;
        let speed = args.speed.unwrap_or(if is_watched { 1.0 } else { 0.0 });
        let max_wait = Duration::try_from_secs_f64(args.max_wait).unwrap_or(Duration::MAX);
        Self {
            format: args.format,
            player: Replay::default(),
            csv: Csv::default(),
            cast: Cast::new(args.speed.unwrap_or(1.0), max_wait),
            speed,
            max_wait,
            last_ms: None,
            at: args.at,
            opened_ms: 0,
        }
    }

    async fn tell(&mut self, moment: &Moment, line: &[u8]) -> Vec<u8> {
        if let Moment::Opened { session } = moment {
            self.opened_ms = session.opened_ms;
        }
        if self.is_before(moment) {
            // The shape of a result, and whether a transaction is open, are known from what came before.
            match self.format {
                ReplayFormat::Text => drop(self.player.play(moment)),
                ReplayFormat::Asciicast => self.cast.skip(moment),
                ReplayFormat::Json | ReplayFormat::Csv => {}
            }
            return Vec::new();
        }
        match self.format {
            ReplayFormat::Json => [line, b"\n"].concat(),
            ReplayFormat::Csv => self.csv.play(moment).into_bytes(),
            ReplayFormat::Asciicast => self.cast.play(moment).into_bytes(),
            ReplayFormat::Text => {
                if let Some(at_ms) = replay::at_ms(moment)
                    && let Some(last_ms) = self.last_ms.replace(at_ms)
                    && self.speed > 0.0
                {
                    let real_ms = at_ms.saturating_sub(last_ms);
                    tokio::time::sleep(told::pause(real_ms, self.speed, self.max_wait)).await;
                }
                self.player.play(moment).into_bytes()
            }
        }
    }

    /// Whether it was before the point to begin at. How it began is always told.
    fn is_before(&self, moment: &Moment) -> bool {
        let Some(at_ms) = replay::at_ms(moment) else { return false };
        match self.at {
            None => false,
            Some(When::After(after_ms)) => at_ms < self.opened_ms.saturating_add(after_ms),
            Some(When::At(begin_ms)) => at_ms < begin_ms,
        }
    }

    fn finish(&mut self) -> String {
        match self.format {
            ReplayFormat::Text => self.player.finish(),
            ReplayFormat::Asciicast => self.cast.finish(),
            ReplayFormat::Json | ReplayFormat::Csv => String::new(),
        }
    }
}

async fn kill(args: &Kill) -> Result<(), NoAnswer> {
    let client = Client::new(&args.reach)?;
    let killed: Killed = client.delete(&["v1", "sessions", &args.id], &[("reason", args.reason.clone())]).await?;
    if args.format == Format::Json {
        return print_json(&killed);
    }
    say(&format!("session {} is being ended\n", killed.id));
    Ok(())
}

/// The name for people, with who acts for them.
fn who(session: &Session) -> String {
    match session.actors.first() {
        None => line(&session.person.name, 30),
        Some(actor) => format!("{} for {}", line(&actor.sub, 20), line(&session.person.name, 30)),
    }
}

fn count(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed >= 0.0 => Ok(speed),
        _ => Err("a number from 0".to_owned()),
    }
}

fn when(text: &str) -> Result<When, String> {
    if let Ok(at_us) = super::wanted::time(text) {
        return Ok(When::At(at_us / 1000));
    }
    let span: Option<jiff::SignedDuration> = text.parse().ok();
    let after_ms = span.and_then(|span| u64::try_from(span.as_millis()).ok());
    after_ms
        .map(When::After)
        .ok_or_else(|| "neither a span such as 1m30s nor a time such as 2026-07-01T08:00:00Z".to_owned())
}
