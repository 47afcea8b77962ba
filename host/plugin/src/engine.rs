use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use grille_mask::detect::Detector;
use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::cases::Analyst;
use crate::limits::{CORE_INSTANCES_MAX, Limits, MEMORIES_MAX, MemoryBudget, TABLE_ELEMENTS_MAX, TABLES_MAX, TICK};
use crate::pool::Slots;
use crate::services::{Lookups, NoLookups, States};

/// How the engine is set up.
#[derive(Clone)]
pub struct EngineConfig {
    /// Where compiled components are kept. The directory is made private; without one, each start compiles anew.
    pub cache_dir: Option<PathBuf>,
    /// How many instances there may be at once: about sessions times policies.
    pub instances: u32,
    /// Bytes of memory of all guests together.
    pub memory: u64,
    /// The services that policies may ask by name; none without.
    pub lookups: Option<Arc<dyn Lookups>>,
    /// Who reads the SQL of test cases. Without one the cases beside plugins are not run: the gateway always has one.
    pub analyst: Option<Arc<dyn Analyst>>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { cache_dir: None, instances: 4_096, memory: 4 << 30, lookups: None, analyst: None }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// wasmtime does not take this machine or this configuration.
    #[error("set up the WebAssembly engine: {0}")]
    Engine(String),
    /// A thread could not be started.
    #[error("start the engine's clock and the thread that gives back idle instances")]
    Thread(#[source] std::io::Error),
}

/// The engine and what all guests share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) cache: Option<Cache>,
    /// One permit per slot of the pool, so that a full pool is waited for and not an error.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) memory: Arc<MemoryBudget>,
    /// Built with the first plugin that imports `detect`: it takes tens of milliseconds.
    pub(crate) detector: OnceLock<Arc<Detector>>,
    pub(crate) lookups: Arc<dyn Lookups>,
    pub(crate) analyst: Option<Arc<dyn Analyst>>,
    /// What policies keep, by their names.
    pub(crate) states: States,
    /// The instances that sessions keep between calls.
    pub(crate) kept: Slots,
    /// How many there may be.
    instances: usize,
    /// The next session's number, for breakers.
    sessions: AtomicU64,
}

impl Shared {
    pub(crate) fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let engine = engine(config.instances)?;
        start_ticker(&engine).map_err(EngineError::Thread)?;
        let cache = config.cache_dir.and_then(|directory| Cache::open(directory, &engine));
        Ok(Self {
            engine,
            cache,
            slots: Arc::new(Semaphore::new(config.instances as usize)),
            memory: Arc::new(MemoryBudget::new(config.memory)),
            detector: OnceLock::new(),
            lookups: config.lookups.unwrap_or_else(|| Arc::new(NoLookups)),
            analyst: config.analyst,
            states: States::default(),
            kept: Slots::default(),
            instances: config.instances as usize,
            sessions: AtomicU64::new(0),
        })
    }

    /// Whether there is room for instances that nobody waits for.
    pub(crate) fn has_room(&self) -> bool {
        self.slots.available_permits() > self.instances / 4
    }

    pub(crate) fn number_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Builds the detectors, unless they are there.
    pub(crate) fn prepare_detector(&self) -> Result<(), grille_mask::detect::BuildError> {
        if self.detector.get().is_none() {
            let detector = Arc::new(Detector::new()?);
            self.detector.get_or_init(|| detector);
        }
        Ok(())
    }
}

/// With a pool where the address space allows it, else without.
fn engine(instances: u32) -> Result<Engine, EngineError> {
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    Engine::new(&config).or_else(|error| {
        tracing::warn!(error = %one_line(&error), "no room for a pool of instances; each is allocated by itself");
        Engine::new(&base()).map_err(|error| EngineError::Engine(one_line(&error)))
    })
}

fn base() -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // The same bytes must come to the same verdict on every machine.
        .cranelift_nan_canonicalization(true)
        // Compilation stays on the one low-priority thread that asks for it.
        .parallel_compilation(false)
        // Deep recursion ends here, well within the fibre's stack.
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20);
    config
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let scans = PoolingAllocationConfig::is_pagemap_scan_available();
    // Most components are one module and two small ones of glue; Python has 38. The number alone costs nothing, and
    // tables cost address space: half a MiB each.
    let core_instances = instances.saturating_mul(40).max(CORE_INSTANCES_MAX as u32);
    let tables = instances.saturating_mul(4).max(TABLES_MAX as u32);
    pool.total_component_instances(instances)
        .total_core_instances(core_instances)
        .total_memories(instances)
        .total_tables(tables)
        // A store keeps the stack of its last call.
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_MAX as u32)
        .max_memories_per_component(MEMORIES_MAX as u32)
        .max_tables_per_component(TABLES_MAX as u32)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_memory_size(Limits::MEMORY_MAX as usize)
        // Without the scan, keeping pages costs more than giving them back: all of them would be zeroed.
        .pagemap_scan(if scans { Enabled::Yes } else { Enabled::No })
        .linear_memory_keep_resident(if scans { 16 << 20 } else { 0 });
    pool
}

/// The engine's clock on a thread of its own, so that no busy executor holds it up. Ends with the engine.
fn start_ticker(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let ticker = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new().name("grille-ticker".into()).spawn(ticker).map(drop)
}

/// The causes of an error in one line, without backtraces.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let first = text.lines().next().unwrap_or_default().trim();
        let is_backtrace = first.starts_with("error while executing at wasm backtrace");
        if !is_backtrace && !first.is_empty() && !causes.iter().any(|known| known == first) {
            causes.push(first.to_owned());
        }
    }
    causes.join(": ")
}
