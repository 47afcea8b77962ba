//! A relay between `psql` and the gateway that keeps what flows back: the bytes that the caller really received, not
//! only what `psql` chose to print.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// A loopback port in front of the gateway. Dropping it closes the port; open connections end with their peers.
#[derive(Debug)]
pub(super) struct Tap {
    address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
    closed: Arc<AtomicBool>,
}

impl Tap {
    pub(super) fn open(gateway: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a loopback port")?;
        let tap = Self {
            address: listener.local_addr().context("read the port")?,
            received: Arc::default(),
            closed: Arc::default(),
        };
        let (received, closed) = (Arc::clone(&tap.received), Arc::clone(&tap.closed));
        thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::Acquire) {
                    return;
                }
                // A gateway that refuses the connection shows as an end of file at the caller.
                if let Ok(upstream) = TcpStream::connect(gateway) {
                    relay(caller, upstream, &received);
                }
            }
        });
        Ok(tap)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything the caller received so far.
    pub(super) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes the thread that waits for a connection, so that it sees the flag.
        drop(TcpStream::connect(self.address));
    }
}

/// What a backend's bytes say, one field a line: in the stream itself a value may be followed by the letter that begins
/// the next message, and would look like part of a longer word.
pub(super) fn readable(mut wire: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(wire.len());
    while let Some((message, rest)) = message(wire) {
        let body = message.get(5..).unwrap_or_default();
        if message.first() == Some(&b'D') {
            cells(body, &mut text);
        } else {
            text.extend_from_slice(body);
        }
        text.push(b'\n');
        wire = rest;
    }
    // What is no whole message is searched as it is.
    text.extend_from_slice(wire);
    text
}

/// The first message, tag and length included, and what follows it.
fn message(wire: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = wire.get(1..5)?.first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length < 4 {
        return None;
    }
    wire.split_at_checked(length.checked_add(1)?)
}

fn cells(mut row: &[u8], text: &mut Vec<u8>) {
    row = row.get(2..).unwrap_or_default();
    while let Some((length, rest)) = row.split_first_chunk() {
        // -1 is NULL.
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let Some((cell, rest)) = rest.split_at_checked(length) else { break };
        text.extend_from_slice(cell);
        text.push(b'\n');
        row = rest;
    }
    text.extend_from_slice(row);
}

fn relay(caller: TcpStream, upstream: TcpStream, received: &Arc<Mutex<Vec<u8>>>) {
    let (Ok(caller_back), Ok(upstream_back)) = (caller.try_clone(), upstream.try_clone()) else { return };
    thread::spawn(move || copy(caller, upstream, |_| {}));
    let received = Arc::clone(received);
    thread::spawn(move || {
        // Kept before it is passed on: what the caller has seen is always in the book.
        copy(upstream_back, caller_back, |bytes| {
            received.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        });
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut keep: impl FnMut(&[u8])) {
    let mut buffer = [0u8; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let Some(bytes) = buffer.get(..count) else { break };
        keep(bytes);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    drop(to.shutdown(Shutdown::Write));
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn every_field_stands_on_a_line_of_its_own() {
        let row = b"D\0\0\0\x13\0\x02\0\0\0\x05clear\xff\xff\xff\xff";
        let twice = [row.as_slice(), row, b"C\0\0\0\x0dSELECT 2\0"].concat();
        let text = readable(&twice);
        assert_eq!(text, b"clear\n\n\nclear\n\n\nSELECT 2\0\n");
        for cut in 0..twice.len() {
            let text = readable(twice.get(..cut).expect("within"));
            assert!(cut < 16 || text.windows(5).any(|w| w == b"clear"), "cut at {cut}");
        }
        assert_eq!(readable(b"\0\0\0\0\0\0rest"), b"\0\0\0\0\0\0rest");
    }
}
