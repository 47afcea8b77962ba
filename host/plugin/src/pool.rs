//! Instances between calls: warm ones that wait for a session, those that a session keeps, and those that sessions share.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::instance::Instance;

/// Configured instances that wait for a session, per policy: openings come one after the other, and making another
/// takes less than a login.
pub(crate) const WARM: usize = 2;
/// Shared instances that wait for a call, per policy. More than there are cores never run at once.
const SHARED_MAX: usize = 16;
/// An instance that its session has not needed for so long is given back; the next call takes a warm one.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How often somebody looks.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The place of one session's instance of one policy. Empty while a call is under way.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<(Instance, Instant)>>);

impl Slot {
    pub(crate) fn take(&self) -> Option<Instance> {
        self.0.lock().take().map(|(instance, _)| instance)
    }

    pub(crate) fn put(&self, instance: Instance, now: Instant) {
        *self.0.lock() = Some((instance, now));
    }

    /// The instance, if it was not needed for so long.
    fn take_idle(&self, idle: Duration) -> Option<Instance> {
        let mut kept = self.0.try_lock()?;
        if kept.as_ref()?.1.elapsed() < idle {
            return None;
        }
        kept.take().map(|(instance, _)| instance)
    }
}

/// All sessions' slots, so that idle instances can be given back.
#[derive(Default)]
pub(crate) struct Slots(Mutex<Vec<Weak<Slot>>>);

impl Slots {
    pub(crate) fn register(&self, slot: &Arc<Slot>) {
        self.0.lock().push(Arc::downgrade(slot));
    }

    /// Drops what is idle for so long, and forgets sessions that are gone. Answers how many instances that freed.
    pub(crate) fn sweep(&self, idle: Duration) -> usize {
        let slots: Vec<Arc<Slot>> = {
            let mut slots = self.0.lock();
            slots.retain(|slot| slot.strong_count() > 0);
            slots.iter().filter_map(Weak::upgrade).collect()
        };
        slots.iter().filter_map(|slot| slot.take_idle(idle)).count()
    }
}

/// Sweeps until the owner is gone, on a thread of its own: giving an instance back unmaps memory.
pub(crate) fn start_sweeper<T: Send + Sync + 'static>(owner: Weak<T>, slots: fn(&T) -> &Slots) -> std::io::Result<()> {
    let sweeper = move || {
        loop {
            std::thread::sleep(SWEEP_EVERY);
            let Some(owner) = owner.upgrade() else { return };
            slots(&owner).sweep(IDLE_MAX);
        }
    };
    std::thread::Builder::new().name("grille-sweeper".into()).spawn(sweeper).map(drop)
}

/// Instances of one policy that no session has.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<Vec<Instance>>);

impl Shelf {
    pub(crate) fn take(&self) -> Option<Instance> {
        self.0.lock().pop()
    }

    pub(crate) fn put(&self, instance: Instance) {
        let mut instances = self.0.lock();
        if instances.len() < SHARED_MAX {
            instances.push(instance);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub(crate) fn clear(&self) {
        let instances = std::mem::take(&mut *self.0.lock());
        drop(instances);
    }
}
