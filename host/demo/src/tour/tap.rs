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
