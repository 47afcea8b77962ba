//! Cancel keys: Grille mints its own secrets, so that a caller never holds a key of the target's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use grille_pg_codec::startup::Version;
use grille_policy::SessionId;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The keys of the open sessions.
#[derive(Debug, Default)]
pub(crate) struct CancelKeys {
    /// Servers number their backends apart, so several sessions may have one pid.
    by_pid: Mutex<HashMap<i32, OfPid>>,
}

#[derive(Debug, Default)]
struct OfPid {
    keys: Vec<(Secret, SessionId)>,
    /// When the first of the last wrong secrets came, and how many there were since.
    wrong: Option<(Instant, u32)>,
}

/// Wrong secrets within [`GUESSING`] after which none is compared any more until that time is over: a short secret
/// would take 14 years to be found, and nobody has to send the right one twice.
const GUESSES_MAX: u32 = 10;
const GUESSING: Duration = Duration::from_secs(1);

/// What protocol 3.0 has room for: as hard to guess as PostgreSQL's own, and all that it opens is a cancel.
const SHORT_BYTES: usize = 4;
/// What PostgreSQL 18 gives since 3.2.
const LONG_BYTES: usize = 32;
type Secret = Box<[u8]>;

impl CancelKeys {
    /// A fresh key for a session, as long as the caller's version takes it; it is forgotten when the answer is dropped.
    /// Its pid is the backend's, which `pg_backend_pid()` and notifications show as well: clients compare them, and some
    /// end each other by it. None if the machine has no randomness.
    pub(crate) fn mint(self: &Arc<Self>, session: SessionId, version: Version, pid: i32) -> Option<CancelKey> {
        let length = if version >= Version::V3_2 { LONG_BYTES } else { SHORT_BYTES };
        let mut secret = vec![0; length].into_boxed_slice();
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        self.by_pid.lock().entry(pid).or_default().keys.push((secret.clone(), session));
        Some(CancelKey { keys: Arc::clone(self), session, pid, secret })
    }

    /// The session whose key this is, compared in constant time; none while somebody guesses.
    pub(crate) fn find(&self, pid: i32, secret: &[u8], now: Instant) -> Option<SessionId> {
        let mut by_pid = self.by_pid.lock();
        let OfPid { keys, wrong } = by_pid.get_mut(&pid)?;
        let (since, guesses) = wrong.filter(|(since, _)| *since + GUESSING > now).unwrap_or((now, 0));
        if guesses >= GUESSES_MAX {
            return None;
        }
        let is_it = |expected: &Secret| verify_slices_are_equal(expected, secret).is_ok();
        let found = keys.iter().find_map(|(expected, session)| is_it(expected).then_some(*session));
        if found.is_none() {
            *wrong = Some((since, guesses + 1));
        }
        found
    }
}

/// One session's key.
pub(crate) struct CancelKey {
    keys: Arc<CancelKeys>,
    session: SessionId,
    pub(crate) pid: i32,
    pub(crate) secret: Secret,
}

impl Drop for CancelKey {
    fn drop(&mut self) {
        let mut by_pid = self.keys.by_pid.lock();
        if let Some(of_pid) = by_pid.get_mut(&self.pid) {
            of_pid.keys.retain(|(_, session)| *session != self.session);
            if of_pid.keys.is_empty() {
                by_pid.remove(&self.pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_key_finds_the_session() {
        let keys = Arc::new(CancelKeys::default());
        let find = |pid, secret: &[u8]| keys.find(pid, secret, Instant::now());
        let session = SessionId::mint(1, 1);
        for (minor, length) in [(0, 4), (1, 4), (2, 32)] {
            let key = keys.mint(session, Version { major: 3, minor }, 4711).expect("the machine has randomness");
            assert_eq!(key.secret.len(), length, "3.{minor}");
            assert_eq!(find(key.pid, &key.secret), Some(session));
            let mut wrong = key.secret.clone();
            wrong[length - 1] ^= 1;
            assert_eq!(find(key.pid, &wrong), None);
            assert_eq!(find(key.pid, &key.secret[..length - 1]), None);
            assert_eq!(find(key.pid, &[&key.secret[..], &[0]].concat()), None);
            assert_eq!(find(key.pid ^ 1, &key.secret), None);
            let other = keys.mint(SessionId::mint(2, 2), Version { major: 3, minor }, 4711).expect("randomness");
            assert_eq!(find(4711, &other.secret), Some(SessionId::mint(2, 2)), "another server has this pid, too");
            let secret = key.secret.clone();
            drop(key);
            assert_eq!(find(4711, &secret), None);
            assert_eq!(find(4711, &other.secret), Some(SessionId::mint(2, 2)));
            drop(other);
            assert!(keys.by_pid.lock().is_empty());
        }
    }

    #[test]
    fn guessing_finds_nothing() {
        let keys = Arc::new(CancelKeys::default());
        let session = SessionId::mint(1, 1);
        let key = keys.mint(session, Version::V3_0, 7).expect("the machine has randomness");
        let mut wrong = key.secret.clone();
        wrong[0] ^= 1;
        let now = Instant::now();
        for _ in 0..GUESSES_MAX {
            assert_eq!(keys.find(7, &key.secret, now), Some(session));
            assert_eq!(keys.find(7, &wrong, now), None);
        }
        assert_eq!(keys.find(7, &key.secret, now), None, "too many guesses");
        assert_eq!(keys.find(7, &key.secret, now + GUESSING), Some(session));
    }
}
