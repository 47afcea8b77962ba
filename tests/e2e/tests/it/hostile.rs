use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use grille_e2e::{Demo, NEW_KEY, runs, unexpected};

/// Callers that never mean to log in, many at a time.
const ROUNDS: u32 = 250;

/// The protocol's version 3.0 and its request codes.
const VERSION: u32 = 196_608;
const SSL_REQUEST: u32 = 80_877_103;
const CANCEL_REQUEST: u32 = 80_877_102;

fn packet(length: u32, code: u32, rest: &[u8]) -> Vec<u8> {
    [length.to_be_bytes().as_slice(), code.to_be_bytes().as_slice(), rest].concat()
}

/// The same noise on every run.
fn noise(seed: u32, count: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(count).collect()
}

fn hostile(round: u32) -> Vec<u8> {
    let user = b"user\0analyst\0database\0clinic\0\0";
    match round % 12 {
        0 => Vec::new(),
        1 => vec![0],
        2 => packet(8, VERSION, &[]),
        3 => packet(9, VERSION, &[0]),
        4 => packet(u32::MAX, VERSION, user),
        5 => packet(0, 0, &[]),
        6 => packet(1_000_000, VERSION, &noise(round, 4096)),
        7 => noise(round, 1 + round as usize % 3000),
        8 => packet(8, SSL_REQUEST, &packet(8, SSL_REQUEST, &packet(8, SSL_REQUEST, b"\x16\x03\x01"))),
        9 => packet(16, CANCEL_REQUEST, &noise(round, 8)),
        10 => {
            packet(8 + user.len() as u32, VERSION, &[user.as_slice(), b"p\0\0\0\x07ab\0", &noise(round, 64)].concat())
        }
        _ => packet(8 + user.len() as u32, VERSION, &[user.as_slice(), b"Q\0\0\0\x0dSELECT 1\0"].concat()),
    }
}

fn attack(address: SocketAddr, round: u32) {
    let mut socket = TcpStream::connect(address).expect("the listener accepts");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("sets a timeout");
    // The gateway may hang up while we still write: that is its right.
    drop(socket.write_all(&hostile(round)));
    if !round.is_multiple_of(3) {
        drop(socket.shutdown(Shutdown::Write));
    }
    if round.is_multiple_of(2) {
        let mut answer = [0u8; 512];
        drop(socket.read(&mut answer));
    }
}

#[test]
fn thousands_of_hostile_callers_and_the_gateway_serves_on() {
    let demo = Demo::start().expect("starts");
    let address = demo.card.listeners.pg;
    std::thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || (0..ROUNDS).for_each(|round| attack(address, worker * ROUNDS + round)));
        }
    });
    // Silence: connections that say nothing stay open beside the one that works.
    let silent: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).expect("the listener accepts")).collect();

    let output = std::process::Command::new("psql")
        .args(["-X", "-A", "-t", "-h", "127.0.0.1", "-p", &address.port().to_string(), "-U", "analyst", "-d", "clinic"])
        .args(["-c", "SELECT count(*) FROM patients"])
        .env("PGPASSWORD", demo.token("analyst").expect("a token"))
        .output()
        .expect("psql runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "20000\n", "{}", String::from_utf8_lossy(&output.stderr));
    drop(silent);
    assert!(runs(demo.card.pids.gateway));
    let log = demo.log().expect("a log");
    let warnings = unexpected(&log, &[NEW_KEY]);
    assert!(warnings.is_empty(), "{} lines, such as {:?}", warnings.len(), warnings.first());
}
