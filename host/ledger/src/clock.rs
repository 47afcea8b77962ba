//! The log's clock: the wall clock as it stood when the node started, moved on by the monotonic clock. Where somebody
//! sets the machine's clock the log does not silently go along: it writes `clock.step` and follows from there on, so
//! that wall and monotonic time of all other records agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The clocks may differ by this much, in microseconds: what slewing and leap seconds do is no step.
pub(crate) const STEP_MIN: u64 = 1_000_000;

/// Wall clock and monotonic clock. Clones are one clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    start: tokio::time::Instant,
    /// The wall clock at the start, in Unix microseconds.
    base: Arc<AtomicU64>,
    #[cfg(test)]
    pub(crate) set_by: Arc<std::sync::atomic::AtomicI64>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let clock = Self {
            start: tokio::time::Instant::now(),
            base: Arc::default(),
            #[cfg(test)]
            set_by: Arc::default(),
        };
        clock.follow();
        clock
    }

    /// The log's time in Unix microseconds, and microseconds since the node started.
    pub(crate) fn now(&self) -> (u64, u64) {
        let mono = self.mono();
        (self.base.load(Ordering::Acquire).saturating_add(mono), mono)
    }

    pub(crate) fn mono(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The log's time and the machine's, where they are further apart than they may be.
    pub(crate) fn step(&self) -> Option<(u64, u64)> {
        let (log, machine) = (self.now().0, self.machine());
        (log.abs_diff(machine) > STEP_MIN).then_some((log, machine))
    }

    /// Takes over the machine's time. Returns what [`go_back`](Self::go_back) takes.
    pub(crate) fn follow(&self) -> u64 {
        let base = self.machine().saturating_sub(self.mono());
        self.base.swap(base, Ordering::AcqRel)
    }

    pub(crate) fn go_back(&self, base: u64) {
        self.base.store(base, Ordering::Release);
    }

    /// Somebody sets the machine's clock, so far from what it is.
    #[cfg(test)]
    pub(crate) fn set_by(&self, micros: i64) {
        self.set_by.store(micros, Ordering::Release);
    }

    fn machine(&self) -> u64 {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let wall = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        #[cfg(test)]
        let wall = wall.saturating_add_signed(self.set_by.load(Ordering::Acquire));
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AdminAction, Ledger, LedgerConfig, Reader, Record, SealKey, SessionOpen, SigningKey, VerifyOptions,
        VerifyReport, verify,
    };
    use grille_policy::{SessionFacts, SessionId, Subject};

    fn subject() -> Subject {
        Subject {
            provider: "corp".into(),
            issuer: "https://id.example.org".into(),
            sub: "ada".into(),
            name: "Ada".into(),
            groups: Vec::new(),
            actors: Vec::new(),
            expires_at: u64::MAX,
            claims: "{}".into(),
        }
    }

    fn facts() -> SessionFacts {
        SessionFacts {
            id: SessionId::mint(1_795_000_000_000, 1),
            subject: Arc::new(subject()),
            target: "clinic".into(),
            protocol: "postgres".into(),
            roles: Vec::new(),
            listener: "pg".into(),
            peer: "127.0.0.1:1".into(),
            client: "psql".into(),
            tls: None,
        }
    }

    #[tokio::test]
    async fn a_clock_that_was_set_is_written_down_before_it_is_followed() {
        const HOUR: i64 = 3_600_000_000;
        let dir = tempfile::tempdir().unwrap();
        let (signing, seal) = (SigningKey::generate().unwrap(), SealKey::generate().unwrap());
        let ledger = Ledger::open(LedgerConfig::new(dir.path().to_owned(), signing, seal.clone())).unwrap();
        let (facts, subject) = (facts(), subject());
        let mut log = ledger.session(SessionOpen::new(&facts)).unwrap();
        let act = || {
            let by = std::borrow::Cow::Borrowed(&subject);
            Record::Admin(AdminAction { by, action: "x".into(), object: "y".into(), reason: None })
        };
        let set = |by: i64| ledger.shared().clock.set_by(by);
        set(-HOUR);
        log.append(&Record::Recording {}).unwrap();
        ledger.admin(&act()).unwrap();
        set(HOUR);
        ledger.admin(&act()).unwrap();
        set(HOUR + 400_000);
        ledger.admin(&act()).unwrap();
        log.close("terminate").unwrap();
        ledger.shutdown().await.unwrap();

        let mut steps = Vec::new();
        let mut kinds = Vec::new();
        for entry in Reader::open(dir.path(), Some(seal)).unwrap().records().unwrap() {
            let entry = entry.unwrap();
            if let Some(Record::ClockStep(step)) = entry.record() {
                steps.push((step.to.cast_signed() - step.from.cast_signed()) / 60_000_000);
                assert!(entry.leaf.log_time.abs_diff(step.to) < STEP_MIN);
            }
            kinds.push(entry.leaf.kind);
        }
        let expected =
            ["node.start", "session.open", "clock.step", "recording", "admin", "clock.step", "admin", "admin"];
        assert_eq!(kinds[..8], expected);
        // A step of an hour back and one of two forth; half a second is none.
        assert!(steps.len() == 2 && (-61..-58).contains(&steps[0]) && (119..121).contains(&steps[1]), "{steps:?}");
        let report = verify(dir.path(), &mut VerifyOptions::default()).unwrap();
        let VerifyReport::Ok(sound) = report else { panic!("{report:?}") };
        assert_eq!(sound.clock_steps, 2);
    }
}
