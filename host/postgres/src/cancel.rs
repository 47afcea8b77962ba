//! Cancel keys: Grille mints its own, so that a caller never holds a key of the target's.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use grille_pg_codec::startup::Version;
use grille_policy::SessionId;
use parking_lot::Mutex;

/// The keys of the open sessions.
#[derive(Debug, Default)]
pub(crate) struct CancelKeys {
    by_pid: Mutex<HashMap<i32, (Secret, SessionId)>>,
}

/// What protocol 3.0 has room for. With the pid it is 63 random bits, so guessing needs no limit of its own.
const SHORT_BYTES: usize = 4;
/// What PostgreSQL 18 gives since 3.2.
const LONG_BYTES: usize = 32;
type Secret = Box<[u8]>;

impl CancelKeys {
    /// A fresh key for a session, as long as the caller's version takes it; it is forgotten when the answer is dropped.
    /// None if the machine has no randomness or two billion sessions are open.
    pub(crate) fn mint(self: &Arc<Self>, session: SessionId, version: Version) -> Option<CancelKey> {
        let length = if version >= Version::V3_2 { LONG_BYTES } else { SHORT_BYTES };
        let mut by_pid = self.by_pid.lock();
        // A collision is rare with far fewer sessions than pids; a few tries are plenty.
        for _ in 0..64 {
            let (mut pid, mut secret) = ([0; 4], vec![0; length].into_boxed_slice());
            aws_lc_rs::rand::fill(&mut pid).ok()?;
            aws_lc_rs::rand::fill(&mut secret).ok()?;
            let pid = i32::from_be_bytes(pid) & i32::MAX;
            if let std::collections::hash_map::Entry::Vacant(place) = by_pid.entry(pid) {
                place.insert((secret.clone(), session));
                return Some(CancelKey { keys: Arc::clone(self), pid, secret });
            }
        }
        None
    }

    /// The session whose key this is, compared in constant time.
    pub(crate) fn find(&self, pid: i32, secret: &[u8]) -> Option<SessionId> {
        let by_pid = self.by_pid.lock();
        let (expected, session) = by_pid.get(&pid)?;
        verify_slices_are_equal(expected, secret).is_ok().then_some(*session)
    }
}

/// One session's key.
pub(crate) struct CancelKey {
    keys: Arc<CancelKeys>,
    pub(crate) pid: i32,
    pub(crate) secret: Secret,
}

impl Drop for CancelKey {
    fn drop(&mut self) {
        self.keys.by_pid.lock().remove(&self.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_key_finds_the_session() {
        let keys = Arc::new(CancelKeys::default());
        let session = SessionId::mint(1, 1);
        for (minor, length) in [(0, 4), (1, 4), (2, 32)] {
            let key = keys.mint(session, Version { major: 3, minor }).expect("the machine has randomness");
            assert_eq!(key.secret.len(), length, "3.{minor}");
            assert_eq!(keys.find(key.pid, &key.secret), Some(session));
            let mut wrong = key.secret.clone();
            wrong[length - 1] ^= 1;
            assert_eq!(keys.find(key.pid, &wrong), None);
            assert_eq!(keys.find(key.pid, &key.secret[..length - 1]), None);
            assert_eq!(keys.find(key.pid, &[&key.secret[..], &[0]].concat()), None);
            assert_eq!(keys.find(key.pid ^ 1, &key.secret), None);
            let (pid, secret) = (key.pid, key.secret.clone());
            drop(key);
            assert_eq!(keys.find(pid, &secret), None);
        }
    }
}
