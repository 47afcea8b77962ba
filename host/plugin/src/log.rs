use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::bindings::grille::policy::log::Level;
use crate::cases::Stage;

/// Enough to follow a decision, too little to fill a disk.
const LINES_PER_CALL: u32 = 32;
const LINES_PER_SECOND: u32 = 100;
/// A line is for people.
const BYTES_PER_LINE: usize = 1024;

/// The lines of one policy, over all its instances.
pub(crate) struct LogQuota {
    policy: Arc<str>,
    window: Mutex<Window>,
    /// Who listens instead of the operator.
    stage: Option<Arc<Stage>>,
}

struct Window {
    began: Instant,
    lines: u32,
    dropped: u32,
}

impl LogQuota {
    pub(crate) fn new(policy: Arc<str>, stage: Option<Arc<Stage>>) -> Self {
        Self { policy, window: Mutex::new(Window { began: Instant::now(), lines: 0, dropped: 0 }), stage }
    }

    /// Writes the `nth` line of a call, unless there were too many.
    pub(crate) fn write(&self, level: Level, message: &str, nth: u32) {
        let Some(dropped_before) = self.admit(nth) else { return };
        let policy = &*self.policy;
        if let Some(stage) = &self.stage {
            stage.wrote(format!("{} {}", level_name(level), clean(message, BYTES_PER_LINE)));
            return;
        }
        if dropped_before > 0 {
            tracing::warn!(policy, lines = dropped_before, "lines of the policy were dropped: it writes too many");
        }
        let line = clean(message, BYTES_PER_LINE);
        match level {
            Level::Debug => tracing::debug!(policy, "{line}"),
            Level::Info => tracing::info!(policy, "{line}"),
            Level::Warn => tracing::warn!(policy, "{line}"),
            Level::Error => tracing::error!(policy, "{line}"),
        }
    }

    /// Whether there is room for a line; if so, how many were dropped in the second before this one.
    fn admit(&self, nth: u32) -> Option<u32> {
        let mut window = self.window.lock();
        let mut dropped_before = 0;
        if window.began.elapsed() >= Duration::from_secs(1) {
            dropped_before = window.dropped;
            *window = Window { began: Instant::now(), lines: 0, dropped: 0 };
        }
        if nth > LINES_PER_CALL || window.lines >= LINES_PER_SECOND {
            window.dropped = window.dropped.saturating_add(1);
            return None;
        }
        window.lines += 1;
        Some(dropped_before)
    }
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// A text of a guest as one line: cut, and without control characters that could forge a line or steer a terminal.
pub(crate) fn clean(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    kept.chars().map(|letter| if letter.is_control() || is_bidi(letter) { ' ' } else { letter }).collect()
}

/// Marks that turn the reading direction make a line read as another.
const fn is_bidi(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_are_counted_per_call_and_per_second() {
        let quota = LogQuota::new("noisy".into(), None);
        let admitted = |calls: u32| (0..calls).flat_map(|_| 1..=100).filter_map(|nth| quota.admit(nth)).count();
        assert_eq!(admitted(1), 32);
        assert_eq!(admitted(10), 68, "a hundred in all");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(quota.admit(1), Some(1_000), "those dropped are told");
        assert_eq!(admitted(1), 32);
    }

    #[test]
    fn a_line_stays_one_line() {
        for (text, bytes_max, expected) in [
            ("plain", 9, "plain"),
            ("a\nforged", 9, "a forged"),
            ("\u{1b}[2J", 9, " [2J"),
            ("a\u{202e}b", 9, "a b"),
            ("ééé", 5, "éé"),
        ] {
            assert_eq!(clean(text, bytes_max), expected, "{text:?}");
        }
    }
}
