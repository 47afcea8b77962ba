use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grille_policy::{FailureKind, Opinion};
use parking_lot::Mutex;

/// What a policy has done since it came into force.
#[derive(Default)]
pub(crate) struct Stats {
    calls: AtomicU64,
    memoised: AtomicU64,
    verdicts: [AtomicU64; 3],
    failures: AtomicU64,
    /// By [`FailureKind`].
    kinds: [AtomicU64; 6],
    memory: AtomicU64,
    times: Times,
    last_error: Mutex<Option<Arc<str>>>,
}

impl Stats {
    /// Counts an answer, and the call it took unless it was remembered.
    pub(crate) fn count(&self, opinion: &Opinion, was_asked: bool) {
        let verdict = usize::from(opinion.verdict.strictness()).min(2);
        self.verdicts[verdict].fetch_add(1, Ordering::Relaxed);
        if was_asked {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.times.count(opinion.spent_ns);
        } else {
            self.memoised.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(failure) = &opinion.failure {
            self.kinds[failure.kind as usize].fetch_add(1, Ordering::Relaxed);
            self.failures.fetch_add(1, Ordering::Relaxed);
            // A pause is no news: what led to it is.
            if failure.kind != FailureKind::Breaker {
                *self.last_error.lock() = Some(Arc::clone(&failure.message));
            }
        }
    }

    pub(crate) fn last_error(&self) -> Option<Arc<str>> {
        self.last_error.lock().clone()
    }

    pub(crate) fn saw_memory(&self, bytes: u64) {
        self.memory.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            calls: read(&self.calls),
            memoised: read(&self.memoised),
            allowed: read(&self.verdicts[0]),
            reviewed: read(&self.verdicts[1]),
            blocked: read(&self.verdicts[2]),
            failures: read(&self.failures),
            kinds: KINDS.map(|kind| (kind, read(&self.kinds[kind as usize]))),
            p50: self.times.quantile(0.50),
            p99: self.times.quantile(0.99),
            memory: read(&self.memory),
            last_error: self.last_error.lock().clone(),
        }
    }
}

const KINDS: [FailureKind; 6] = [
    FailureKind::Trap,
    FailureKind::Timeout,
    FailureKind::Memory,
    FailureKind::Nonsense,
    FailureKind::Start,
    FailureKind::Breaker,
];

pub(crate) struct Snapshot {
    pub(crate) calls: u64,
    pub(crate) memoised: u64,
    pub(crate) allowed: u64,
    pub(crate) reviewed: u64,
    pub(crate) blocked: u64,
    pub(crate) failures: u64,
    pub(crate) kinds: [(FailureKind, u64); 6],
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) memory: u64,
    pub(crate) last_error: Option<Arc<str>>,
}

/// A histogram of nanoseconds with four buckets per power of two: an error of at most a fifth.
struct Times([AtomicU64; Self::BUCKETS]);

impl Default for Times {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Self::BUCKETS])
    }
}

impl Times {
    /// Up to 2^40 ns, eighteen minutes: longer than any limit.
    const BUCKETS: usize = 4 * 40;

    fn count(&self, ns: u64) {
        self.0[Self::bucket(ns)].fetch_add(1, Ordering::Relaxed);
    }

    fn bucket(ns: u64) -> usize {
        let ns = ns.max(4);
        let power = ns.ilog2();
        let quarter = (ns >> (power - 2)) & 3;
        (power as usize * 4 + quarter as usize).min(Self::BUCKETS - 1)
    }

    /// The upper end of the bucket in which the quantile lies; zero where nothing was counted.
    fn quantile(&self, share: f64) -> Duration {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let rank = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                let (power, quarter) = (bucket as u32 / 4, bucket as u64 % 4);
                return Duration::from_nanos((5 + quarter) << power.saturating_sub(2));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_fifth() {
        let times = Times::default();
        assert_eq!(times.quantile(0.5), Duration::ZERO);
        for ns in 1..=100_000u64 {
            times.count(ns);
        }
        times.count(u64::MAX);
        for (share, expected) in [(0.5, 50_000.0), (0.99, 99_000.0)] {
            let found = times.quantile(share).as_nanos() as f64;
            assert!((found / expected - 1.0).abs() < 0.25, "{share}: {found}");
        }
    }
}
