use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::{ResourceLimiter, UpdateDeadline};

use crate::artifact::WantedLimits;

/// What one instance of a policy may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, summed over all memories of an instance. At most [`Limits::MEMORY_MAX`].
    pub memory: u64,
    /// Time that the guest itself computes in one call; a backstop of twenty times as much on the wall clock.
    pub time: Duration,
}

impl Limits {
    /// The slots of the pool are this big.
    pub const MEMORY_MAX: u64 = 256 << 20;
    /// Two ticks of the engine's clock: below, a call could end before it began.
    pub const TIME_MIN: Duration = Duration::from_millis(4);
    /// What validating or configuring may take at least: the first call into an interpreter is slow.
    pub(crate) const START_MIN: Duration = Duration::from_secs(1);
}

impl Limits {
    /// What a plugin's metadata ask for, such as `64MiB` and `50ms`; the host's own where they say nothing.
    pub(crate) fn read(wanted: &WantedLimits) -> Result<Self, String> {
        let host = Self::default();
        let memory = match &wanted.memory {
            None => host.memory,
            Some(text) => number(text, "MiB")
                .and_then(|number| number.checked_mul(1 << 20))
                .ok_or_else(|| format!("its limits.memory is `{text}`, which is no size such as 64MiB"))?,
        };
        let time = match &wanted.time {
            None => host.time,
            Some(text) => number(text, "ms")
                .map(Duration::from_millis)
                .ok_or_else(|| format!("its limits.time is `{text}`, which is no time such as 50ms"))?,
        };
        Ok(Self { memory, time })
    }

    /// Why the host cannot keep them.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.memory > Self::MEMORY_MAX {
            problems.push(format!("limits.memory: at most {} MiB", Self::MEMORY_MAX >> 20));
        }
        if self.time < Self::TIME_MIN {
            problems.push(format!("limits.time: at least {} ms", Self::TIME_MIN.as_millis()));
        }
        problems
    }
}

fn number(text: &str, unit: &str) -> Option<u64> {
    text.strip_suffix(unit)?.trim().parse().ok()
}

impl Default for Limits {
    /// 64 MiB start every language runtime that was measured; 50 ms are far more than a verdict takes.
    fn default() -> Self {
        Self { memory: 64 << 20, time: Duration::from_millis(50) }
    }
}

/// The memory of all guests together.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    used: AtomicU64,
    limit: u64,
}

impl MemoryBudget {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    fn take(&self, bytes: u64) -> bool {
        let added = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= self.limit)
        });
        added.is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Counts the memory of one store against the policy's limit and the host's.
pub(crate) struct Limiter {
    used: u64,
    limit: u64,
    /// Whether growth was refused in the current call: a guest that dies then died of this.
    refused: bool,
    budget: Arc<MemoryBudget>,
}

impl Limiter {
    pub(crate) const fn new(limit: u64, budget: Arc<MemoryBudget>) -> Self {
        Self { used: 0, limit, refused: false, budget }
    }

    pub(crate) const fn used(&self) -> u64 {
        self.used
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) const fn has_refused(&self) -> bool {
        self.refused
    }

    const fn begin_call(&mut self) {
        self.refused = false;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let fits = self.used.checked_add(more).is_some_and(|used| used <= self.limit);
        if !fits || !self.budget.take(more) {
            self.refused = true;
            return Ok(false);
        }
        self.used += more;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.budget.give_back(self.used);
    }
}

/// The biggest runtime that was measured (Python) has 38.
pub(crate) const CORE_INSTANCES_MAX: usize = 64;
/// One per core instance at most.
pub(crate) const TABLES_MAX: usize = 64;
/// Components share one memory, and a few have another for an adapter.
pub(crate) const MEMORIES_MAX: usize = 8;
/// Function pointers of a language runtime: tens of thousands at most.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 65_536;

/// One tick of the engine's clock. A limit is overrun by at most one tick and what the scheduler adds; a shorter tick
/// costs wake-ups all day.
pub(crate) const TICK: Duration = Duration::from_millis(2);
/// How much longer than its own time a call may take on the wall clock, when the machine is busy.
const WALL_FACTOR: u32 = 20;

/// Counts the time that the guest computes, tick by tick.
pub(crate) struct Stopwatch {
    ticks: u32,
    ticks_max: u32,
    began: Instant,
    wall_max: Duration,
    exceeded: bool,
}

impl Stopwatch {
    pub(crate) fn new() -> Self {
        Self { ticks: 0, ticks_max: 0, began: Instant::now(), wall_max: Duration::ZERO, exceeded: false }
    }

    /// The time that the call under way may compute, in whole ticks.
    pub(crate) fn limit(&self) -> Duration {
        TICK.saturating_mul(self.ticks_max)
    }

    pub(crate) const fn has_exceeded(&self) -> bool {
        self.exceeded
    }

    /// The guest waited for the host for so long.
    pub(crate) fn stand_still(&mut self, time: Duration) {
        self.wall_max = self.wall_max.saturating_add(time);
    }

    /// A tick has passed while the guest ran: it yields to the other tasks of the thread, or is stopped.
    pub(crate) fn tick(&mut self) -> UpdateDeadline {
        self.ticks += 1;
        if self.ticks > self.ticks_max || self.began.elapsed() > self.wall_max {
            self.exceeded = true;
            return UpdateDeadline::Interrupt;
        }
        UpdateDeadline::Yield(1)
    }
}

/// Both limits, ready for a new call.
pub(crate) fn begin_call(limiter: &mut Limiter, stopwatch: &mut Stopwatch, time: Duration) {
    limiter.begin_call();
    let ticks = time.as_millis().div_ceil(TICK.as_millis());
    *stopwatch = Stopwatch {
        ticks: 0,
        ticks_max: u32::try_from(ticks).unwrap_or(u32::MAX),
        began: Instant::now(),
        wall_max: time.saturating_mul(WALL_FACTOR),
        exceeded: false,
    };
}
