use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

/// Keys of one policy at once, and the bytes of keys and values together.
const KEYS_MAX: usize = 10_000;
const BYTES_MAX: usize = 4 << 20;

/// What one policy keeps.
#[derive(Default)]
pub(crate) struct Values {
    values: HashMap<String, Value>,
    bytes: usize,
}

/// No room, even without what is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

struct Value {
    bytes: Arc<[u8]>,
    ends: Option<Instant>,
}

impl Values {
    /// The value, unless its time is over.
    pub(crate) fn get(&self, key: &str, now: Instant) -> Option<Arc<[u8]>> {
        let value = self.values.get(key).filter(|value| value.ends.is_none_or(|ends| ends > now))?;
        Some(Arc::clone(&value.bytes))
    }

    /// Keeps a value.
    pub(crate) fn set(&mut self, key: String, value: &[u8], ttl: Option<Duration>, now: Instant) -> Result<(), Full> {
        self.delete(&key);
        let added = key.len() + value.len();
        if !self.has_room(added) {
            self.forget_over(now);
            if !self.has_room(added) {
                return Err(Full);
            }
        }
        // A time beyond what an instant can say is as good as none.
        let ends = ttl.and_then(|ttl| now.checked_add(ttl));
        self.bytes += added;
        self.values.insert(key, Value { bytes: value.into(), ends });
        Ok(())
    }

    /// Forgets a value.
    pub(crate) fn delete(&mut self, key: &str) {
        if let Some(value) = self.values.remove(key) {
            self.bytes -= key.len() + value.bytes.len();
        }
    }

    fn has_room(&self, added: usize) -> bool {
        self.values.len() < KEYS_MAX && self.bytes + added <= BYTES_MAX
    }

    fn forget_over(&mut self, now: Instant) {
        let mut bytes = 0;
        self.values.retain(|key, value| {
            let stays = value.ends.is_none_or(|ends| ends > now);
            bytes += if stays { key.len() + value.bytes.len() } else { 0 };
            stays
        });
        self.bytes = bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn values_end_and_are_replaced() {
        let (mut values, start) = (Values::default(), Instant::now());
        assert_eq!(values.set("a".into(), b"one", Some(SECOND), start), Ok(()));
        assert_eq!(values.get("a", start).as_deref(), Some(b"one".as_slice()));
        assert_eq!(values.get("a", start + SECOND), None);
        assert_eq!(values.set("a".into(), b"two", Some(Duration::MAX), start), Ok(()));
        assert_eq!(values.get("a", start + SECOND * 1_000_000).as_deref(), Some(b"two".as_slice()));
        values.delete("a");
        assert_eq!((values.get("a", start), values.bytes), (None, 0));
    }

    #[test]
    fn room_is_bounded_and_what_is_over_makes_some() {
        let (mut values, start) = (Values::default(), Instant::now());
        let big = vec![0; 64 << 10];
        let mut kept = 0;
        while values.set(format!("{kept:03}"), &big, Some(SECOND), start).is_ok() {
            kept += 1;
        }
        assert_eq!(kept, BYTES_MAX / (big.len() + 3));
        assert_eq!(values.set("000".into(), &big, None, start), Ok(()), "replacing takes no more room");
        assert_eq!(values.set("more".into(), &big, None, start), Err(Full));
        assert_eq!(values.set("more".into(), &big, None, start + SECOND), Ok(()));
        assert_eq!(values.values.len(), 2);
    }
}
