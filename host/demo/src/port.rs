//! Ports for programs that have to be told theirs.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Context as _, Result};

/// Below what systems give to outgoing connections (from 32,768 on Linux, from 49,152 elsewhere): one of those would
/// take a port between our look and the moment when the program listens.
const PORTS: Range<u16> = 10_000..32_000;
const TRIES: usize = 100;

/// A loopback port that is free, held until the listener is dropped.
///
/// # Errors
/// The system has none.
pub fn held() -> Result<TcpListener> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    for _ in 0..TRIES {
        // Programs that look at once look in different places.
        let random = RandomState::new().hash_one(std::process::id());
        let offset = u16::try_from(random % u64::from(PORTS.end - PORTS.start)).unwrap_or_default();
        if let Ok(listener) = bind(PORTS.start + offset) {
            return Ok(listener);
        }
    }
    bind(0).context("find a free loopback port")
}

/// A loopback port that was free a moment ago.
///
/// # Errors
/// The system has none.
pub fn free() -> Result<u16> {
    Ok(held()?.local_addr().context("read the port")?.port())
}
