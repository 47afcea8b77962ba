//! A recording for other programs: a table of what happened, or a terminal session that players of asciicasts show.

use std::time::Duration;

use grille_admin::view::Moment;
use serde_json::json;

use super::replay::{Replay, at_ms};
use crate::commands::table::{harmless, time};

/// What psql's tables fit into most of the time; players scroll what does not.
const COLUMNS: u32 = 160;
const LINES: u32 = 45;

/// One line per thing that happened (RFC 4180).
#[derive(Default)]
pub(super) struct Csv {
    is_begun: bool,
}

impl Csv {
    pub(super) fn play(&mut self, moment: &Moment) -> String {
        let mut line = Line { at: at_ms(moment).map(time).unwrap_or_default(), ..Line::default() };
        match moment {
            Moment::Opened { session } => {
                line.event = "opened";
                line.at = time(session.opened_ms);
                line.text = format!("{} as {}", session.person.name, session.roles.join(", "));
            }
            Moment::Asked { decision, text, verdict, .. } => {
                line.event = "asked";
                (line.decision, line.verdict) = (decision.to_string(), verdict.to_string());
                line.text = text.to_string();
            }
            Moment::Ended { decision, outcome, .. } => {
                line.event = "ended";
                line.decision = decision.to_string();
                (line.rows, line.bytes) = (outcome.rows.to_string(), outcome.bytes.to_string());
                line.duration_us = outcome.duration_us.to_string();
                line.sqlstate = outcome.sqlstate.as_deref().unwrap_or("ok").to_owned();
                line.masked = outcome.masked.join("; ");
            }
            Moment::Elided { rows, bytes, .. } => {
                line.event = "elided";
                (line.rows, line.bytes) = (rows.to_string(), bytes.to_string());
            }
            Moment::Closed { reason, .. } => (line.event, line.text) = ("closed", reason.to_string()),
            Moment::Broken { reason } => (line.event, line.text) = ("broken", reason.to_string()),
            Moment::Sent { .. } | Moment::Shown { .. } => return String::new(),
        }
        let headings = if self.is_begun { "" } else { HEADINGS };
        self.is_begun = true;
        format!("{headings}{}\r\n", line.cells().map(cell).join(","))
    }
}

/// What happened, column by column.
#[derive(Default)]
struct Line {
    at: String,
    event: &'static str,
    decision: String,
    verdict: String,
    text: String,
    rows: String,
    bytes: String,
    duration_us: String,
    sqlstate: String,
    masked: String,
}

impl Line {
    fn cells(&self) -> [&str; 10] {
        let Self { at, event, decision, verdict, text, rows, bytes, duration_us, sqlstate, masked } = self;
        [at, event, decision, verdict, text, rows, bytes, duration_us, sqlstate, masked]
    }
}

const HEADINGS: &str = "at,event,decision,verdict,text,rows,bytes,duration_us,sqlstate,masked\r\n";

/// A value that no spreadsheet takes for a formula, and no terminal for a command.
fn cell(value: &str) -> String {
    let value = harmless(value);
    let value = if value.starts_with(['=', '+', '-', '@', '\t']) { format!("'{value}") } else { value };
    if value.contains([',', '"', '\n']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

/// An asciicast (version 2) of the session as psql would have shown it.
pub(super) struct Cast {
    player: Replay,
    speed: f64,
    max_wait: Duration,
    /// When the last event was, then; and in the cast.
    last_ms: Option<u64>,
    clock: Duration,
    is_begun: bool,
}

impl Cast {
    /// Plays so many times as fast as it was, with pauses of at most `max_wait`; at speed 0 without any.
    pub(super) fn new(speed: f64, max_wait: Duration) -> Self {
        let player = Replay::default();
        Self { player, speed, max_wait, last_ms: None, clock: Duration::ZERO, is_begun: false }
    }

    /// What comes before the part that is wanted: the player has to know it, the cast does not show it.
    pub(super) fn skip(&mut self, moment: &Moment) {
        drop(self.player.play(moment));
    }

    pub(super) fn play(&mut self, moment: &Moment) -> String {
        let mut lines = String::new();
        if !self.is_begun {
            self.is_begun = true;
            let mut head = json!({ "version": 2, "width": COLUMNS, "height": LINES });
            if let Moment::Opened { session } = moment {
                head["timestamp"] = (session.opened_ms / 1000).into();
                head["title"] = harmless(&format!("{} on {}", session.id, session.target)).into();
            }
            lines = format!("{head}\n");
        }
        if let Some(at_ms) = at_ms(moment)
            && let Some(last_ms) = self.last_ms.replace(at_ms)
        {
            self.clock += pause(at_ms.saturating_sub(last_ms), self.speed, self.max_wait);
        }
        let shown = self.player.play(moment);
        lines + &self.event(&shown)
    }

    pub(super) fn finish(&mut self) -> String {
        let shown = self.player.finish();
        self.event(&shown)
    }

    fn event(&self, shown: &str) -> String {
        if shown.is_empty() {
            return String::new();
        }
        let seconds = format!("{}.{:06}", self.clock.as_secs(), self.clock.subsec_micros());
        format!("[{seconds}, \"o\", {}]\n", json!(shown.replace('\n', "\r\n")))
    }
}

/// How long to wait where it took so long then.
pub(super) fn pause(real_ms: u64, speed: f64, max_wait: Duration) -> Duration {
    if speed <= 0.0 {
        return Duration::ZERO;
    }
    let real = Duration::from_millis(real_ms).as_secs_f64();
    Duration::try_from_secs_f64(real / speed).unwrap_or(max_wait).min(max_wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_speed_and_have_an_end() {
        let max = Duration::from_secs(3);
        for (real_ms, speed, expected_ms) in
            [(1000, 1.0, 1000), (1000, 4.0, 250), (1000, 0.0, 0), (9000, 1.0, 3000), (1000, 0.001, 3000), (0, 1.0, 0)]
        {
            assert_eq!(pause(real_ms, speed, max), Duration::from_millis(expected_ms), "{real_ms} {speed}");
        }
    }

    #[test]
    fn a_table_is_values_and_a_cast_is_json() {
        let asked = |at_ms| Moment::Asked {
            at_ms,
            decision: "d-0123456789abcdef-0".parse().unwrap(),
            text: "select \"a\",\u{1b}[2J 1".into(),
            verdict: "allow".into(),
        };
        let mut csv = Csv::default();
        let text = csv.play(&asked(1000)) + &csv.play(&asked(2000));
        assert_eq!(text.matches("at,event").count(), 1);
        assert!(text.ends_with("d-0123456789abcdef-0,allow,\"select \"\"a\"\",\\u001b[2J 1\",,,,,\r\n"), "{text}");
        let mut cast = Cast::new(2.0, Duration::from_secs(3));
        let text = cast.play(&asked(1000)) + &cast.play(&asked(2000)) + &cast.finish();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["version"], lines.len()), (&2.into(), 3));
        assert_eq!((&lines[1][0], &lines[2][0], &lines[2][1]), (&json!(0.0), &json!(0.5), &"o".into()));
        assert!(lines[2][2].as_str().unwrap().ends_with(";\r\n"), "{text}");
    }
}
