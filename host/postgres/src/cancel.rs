//! Cancel keys: Grille mints its own, so that a caller never holds a key of the target's.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use grille_policy::SessionId;
use parking_lot::Mutex;

/// The keys of the open sessions.
#[derive(Debug, Default)]
pub(crate) struct CancelKeys {
    by_pid: Mutex<HashMap<i32, (Secret, SessionId)>>,
}

/// The length of a key in protocol 3.0.
pub(crate) const SECRET_BYTES: usize = 4;
type Secret = [u8; SECRET_BYTES];

impl CancelKeys {
    /// A fresh key for a session; it is forgotten when the answer is dropped. None if the machine has no randomness
    /// or two billion sessions are open.
    pub(crate) fn mint(self: &Arc<Self>, session: SessionId) -> Option<CancelKey> {
        let mut by_pid = self.by_pid.lock();
        // A collision is rare with far fewer sessions than pids; a few tries are plenty.
        for _ in 0..64 {
            let mut random = [0; 8];
            aws_lc_rs::rand::fill(&mut random).ok()?;
            let [p0, p1, p2, p3, secret @ ..] = random;
            let pid = i32::from_be_bytes([p0 & 0x7f, p1, p2, p3]);
            if let std::collections::hash_map::Entry::Vacant(place) = by_pid.entry(pid) {
                place.insert((secret, session));
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
        let key = keys.mint(session).expect("the machine has randomness");
        assert_eq!(keys.find(key.pid, &key.secret), Some(session));
        let mut wrong = key.secret;
        wrong[3] ^= 1;
        assert_eq!(keys.find(key.pid, &wrong), None);
        assert_eq!(keys.find(key.pid, &key.secret[..3]), None);
        assert_eq!(keys.find(key.pid ^ 1, &key.secret), None);
        let (pid, secret) = (key.pid, key.secret);
        drop(key);
        assert_eq!(keys.find(pid, &secret), None);
    }
}
