//! What a step can do: ask as somebody, look behind the gateway, call `grille`, and write down what it saw.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use grille_policy::{DecisionId, RequestId, SessionId};
use tokio::time::Instant;

use super::clear::Clear;
use super::psql::{Psql, Said, Session};
use crate::clinic::DATABASE;
use crate::world::World;

/// The stage of one tour.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) world: &'a World,
    pub(super) clear: Clear,
    /// Every byte that a caller received in this tour, for the last question: did a secret travel?
    received: Mutex<Vec<u8>>,
}

/// What a call of `grille` answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl<'a> Scene<'a> {
    /// Puts the tables that the tour changes back to where it starts.
    pub(super) fn set(world: &'a World) -> Result<Self> {
        let reset = "SET client_min_messages = warning; \
            DROP TABLE IF EXISTS public.referrals; \
            CREATE TABLE IF NOT EXISTS public.intake_drafts (id integer PRIMARY KEY, desk text NOT NULL, \
                received_on date NOT NULL, state text NOT NULL); \
            ALTER TABLE public.intake_drafts OWNER TO grille_app; \
            TRUNCATE public.intake_drafts; \
            INSERT INTO public.intake_drafts SELECT n, 'desk ' || n % 7, date '2026-01-05' + n, \
                CASE WHEN n % 3 = 0 THEN 'open' ELSE 'filed' END FROM generate_series(1, 300) AS n; \
            UPDATE public.patients SET reminder_opt_in = false WHERE reminder_opt_in";
        world.cluster.sql(DATABASE, reset).context("set the scene")?;
        Ok(Self { world, clear: Clear::read(&world.cluster)?, received: Mutex::default() })
    }

    /// `psql` with a fresh token of the account.
    pub(super) fn psql(&self, account: &str) -> Result<Psql> {
        Ok(self.psql_with(account, self.world.issuer.token(account)?))
    }

    /// `psql` with this token.
    pub(super) fn psql_with(&self, user: &str, token: String) -> Psql {
        Psql {
            program: self.world.cluster.binaries().psql().to_owned(),
            gateway: self.world.listener,
            user: user.to_owned(),
            token,
        }
    }

    /// One text as the account, written down.
    pub(super) fn ask(&self, account: &str, text: &str, script: &mut Script) -> Result<Said> {
        script.asked(account, text);
        let said = self.psql(account)?.run(text)?;
        self.heard(&said, script);
        Ok(said)
    }

    /// One text in an open session, written down.
    pub(super) fn ask_in(&self, session: &mut Session, who: &str, text: &str, script: &mut Script) -> Result<Said> {
        script.asked(who, text);
        let said = session.ask(text)?;
        self.heard(&said, script);
        Ok(said)
    }

    /// Writes down what came back, and keeps it for the question about secrets.
    pub(super) fn heard(&self, said: &Said, script: &mut Script) {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&said.wire);
        script.said(&said.stdout);
        script.said(&said.stderr);
    }

    /// Everything that any caller received so far.
    pub(super) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The truth, asked straight at the database.
    pub(super) fn truth(&self, text: &str) -> Result<String> {
        self.world.cluster.sql(DATABASE, text)
    }

    /// A `grille` command with the identity of an account.
    pub(super) fn grille(&self, account: &str, words: &[&str], script: &mut Script) -> Result<Answered> {
        script.asked(account, &format!("grille {}", words.join(" ")));
        let output = Command::new(&self.world.grille)
            .args(words)
            .env("GRILLE_TOKEN", self.world.issuer.token(account)?)
            .env("GRILLE_ADMIN", format!("http://{}", self.world.admin))
            .env("GRILLE_CONFIG", self.world.layout.config())
            .stdin(Stdio::null())
            .output()
            .context("run grille")?;
        let answered = Answered {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        script.said(&answered.stdout);
        script.said(&answered.stderr);
        Ok(answered)
    }

    /// How much the gateway has said so far.
    pub(super) fn log_length(&self) -> Result<usize> {
        Ok(self.log()?.len())
    }

    /// What the gateway said since.
    pub(super) fn log_since(&self, length: usize) -> Result<String> {
        Ok(self.log()?.get(length..).unwrap_or_default().to_owned())
    }

    fn log(&self) -> Result<String> {
        let bytes = fs::read(self.world.layout.log()).context("read the gateway's log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Asks again until the answer is there; never sleeps for a state that is reached already.
pub(super) fn until<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{what}: not within {} s", patience.as_secs());
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// The lines of one step in the transcript.
#[derive(Debug, Default)]
pub(super) struct Script {
    lines: Vec<String>,
}

/// So much of an answer is shown; the rest is counted.
const LINES_SHOWN: usize = 3;
const LINE_WIDTH: usize = 150;

impl Script {
    pub(super) fn asked(&mut self, who: &str, text: &str) {
        self.lines.push(clip(&format!("{who}> {}", text.split_whitespace().collect::<Vec<_>>().join(" "))));
    }

    pub(super) fn said(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("LOCATION:") && !line.is_empty()).collect();
        self.lines.extend(lines.iter().take(LINES_SHOWN).map(|line| clip(line)));
        if lines.len() > LINES_SHOWN {
            self.lines.push(format!("… {} lines more", lines.len() - LINES_SHOWN));
        }
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.lines.push(text.into());
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }
}

fn clip(line: &str) -> String {
    if line.chars().count() <= LINE_WIDTH {
        return line.to_owned();
    }
    line.chars().take(LINE_WIDTH - 1).chain(['…']).collect()
}

/// The first decision id in a text.
pub(super) fn decision_in(text: &str) -> Option<DecisionId> {
    words(text).find_map(|word| word.parse().ok())
}

/// The first request id in a text.
pub(super) fn request_in(text: &str) -> Option<RequestId> {
    words(text).find_map(|word| word.parse().ok())
}

/// The session of the first decision id, or the first session id.
pub(super) fn session_in(text: &str) -> Option<SessionId> {
    words(text).find_map(|word| word.parse().ok()).or_else(|| decision_in(text).map(|decision| decision.session))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
}
