use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

/// Failures in a row after which a policy is left alone. Fewer would punish one odd operation, more would burn time.
const FAILURES_MAX: u32 = 5;
/// How long at first; each time the trial fails, twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A trial that takes longer was given up: the caller went away.
const TRIAL_MAX: Duration = Duration::from_secs(5);

/// Stops calls into a policy that fails again and again. Operations are refused meanwhile as by any failure, only faster.
/// One session has one for itself, so that what a caller provokes pauses the policy for that caller; the policy has
/// another, which opens if failures in a row come from several sessions.
#[derive(Default)]
pub(crate) struct Breaker {
    /// So that a policy that works costs one load.
    has_failed: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    failures: u32,
    /// Of those in a row: the last one to count, and whether there was another.
    source: Option<u64>,
    is_from_several: bool,
    pause: Duration,
    until: Option<Instant>,
    /// The end of the trial under way: one that is given up says nothing.
    trying_until: Option<Instant>,
}

/// Whether a breaker lets calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    Free,
    /// One call, to see whether it works again.
    Trial,
    /// Not before this time is over.
    Paused(Duration),
}

impl Breaker {
    pub(crate) fn pass(&self, now: Instant) -> Passage {
        if !self.has_failed.load(Ordering::Relaxed) {
            return Passage::Free;
        }
        let mut inner = self.inner.lock();
        let Some(until) = inner.until else { return Passage::Free };
        let until = until.max(inner.trying_until.unwrap_or(until));
        if until > now {
            return Passage::Paused(until - now);
        }
        inner.trying_until = Some(now + TRIAL_MAX);
        Passage::Trial
    }

    pub(crate) fn succeeded(&self) {
        if self.has_failed.swap(false, Ordering::Relaxed) {
            *self.inner.lock() = Inner::default();
        }
    }

    /// Counts a failure; `needs_several` if those of a single source do not open it. Answers the pause if it opened.
    pub(crate) fn failed(&self, source: u64, needs_several: bool, now: Instant) -> Option<Duration> {
        let mut inner = self.inner.lock();
        self.has_failed.store(true, Ordering::Relaxed);
        inner.failures = inner.failures.saturating_add(1);
        inner.is_from_several |= inner.source.replace(source).is_some_and(|before| before != source);
        let was_trying = inner.trying_until.take().is_some();
        let is_open = was_trying || (inner.failures >= FAILURES_MAX && (inner.is_from_several || !needs_several));
        if !is_open {
            return None;
        }
        inner.pause = (inner.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        inner.until = Some(now + inner.pause);
        Some(inner.pause)
    }

    /// How long it is still open; none while it is closed.
    pub(crate) fn open_for(&self, now: Instant) -> Option<Duration> {
        self.inner.lock().until.map(|until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_opens_after_failures_in_a_row_and_waits_longer_each_time() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        (0..4).for_each(|_| assert_eq!(breaker.failed(1, false, start), None));
        breaker.succeeded();
        (0..4).for_each(|_| assert_eq!(breaker.failed(1, false, start), None));
        assert_eq!(breaker.pass(start), Passage::Free);
        assert_eq!(breaker.failed(1, false, start), Some(SECOND));
        let mut now = start;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(breaker.pass(now), Passage::Paused(SECOND * pause));
            now += SECOND * pause;
            assert_eq!(breaker.pass(now), Passage::Trial);
            assert!(matches!(breaker.pass(now), Passage::Paused(_)), "one at a time");
            assert_eq!(breaker.failed(1, false, now), Some(SECOND * (pause * 2).min(60)));
        }
        now += SECOND * 60;
        assert_eq!(breaker.pass(now), Passage::Trial);
        now += TRIAL_MAX;
        assert_eq!(breaker.pass(now), Passage::Trial, "that one was given up");
        breaker.succeeded();
        assert_eq!((breaker.pass(now), breaker.open_for(now)), (Passage::Free, None));
    }

    #[test]
    fn one_source_does_not_open_what_others_use() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        (0..100).for_each(|_| assert_eq!(breaker.failed(1, true, now), None));
        assert_eq!(breaker.failed(2, true, now), Some(SECOND));
    }
}
