//! A result of any length passes through, masked, and leaves no trace in the gateway's memory.
//!
//! Fewer or more rows: `GRILLE_STREAM_ROWS=400000 cargo nextest run --workspace -E 'test(streams::)' --no-capture`.
#![allow(clippy::print_stdout, reason = "the figures are what people want of it")]
#![allow(clippy::disallowed_methods, reason = "a test reads its own settings")]

use bytes::BytesMut;
use grille_e2e::Demo;
use grille_pg_codec::{encode, tag::backend as tag};
use grille_test_support::{Raw, resident_kib};
use tokio::time::Instant;

/// A dev build masks them in some ten seconds.
const ROWS: u64 = 5_000_000;
const PATIENTS: u64 = 20_000;
/// How much the gateway may grow over what it needs for a session that has read nothing yet.
const GROWTH_KIB_MAX: u64 = 16 << 10;
/// Rows between two looks at the gateway's memory.
const LOOK: u64 = 10_000;

/// Reads a result as it comes, and returns its rows, its bytes, and the most memory that the gateway was seen with.
fn read(session: &mut Raw, copies: u64, gateway: u32) -> (u64, usize, u64) {
    let sql = format!(
        "SELECT p.id, p.ssn, p.last_name, p.birth_date, p.phone, p.state FROM patients p, generate_series(1, {copies})"
    );
    let mut query = BytesMut::new();
    encode::query(&mut query, sql.as_bytes()).expect("no zero byte");
    session.send(&query).expect("sends");
    let (mut rows, mut bytes, mut most) = (0, 0, 0);
    loop {
        let reply = session.reply().expect("an answer").expect("the session goes on");
        match reply.tag {
            tag::DATA_ROW => {
                assert!(reply.body.windows(10).any(|part| part == b"[redacted]"), "{reply:?}");
                rows += 1;
                bytes += reply.body.len();
                if rows % LOOK == 0 {
                    most = most.max(resident_kib(gateway).expect("its memory"));
                }
            }
            tag::ERROR_RESPONSE => panic!("{:?}", reply.text()),
            tag::READY_FOR_QUERY => return (rows, bytes, most),
            _ => {}
        }
    }
}

#[test]
fn memory_does_not_grow_with_a_masked_result() {
    let wished = std::env::var("GRILLE_STREAM_ROWS").map_or(ROWS, |rows| rows.parse().expect("a number of rows"));
    let demo = Demo::start().expect("starts");
    let (address, gateway) = (demo.card.listeners.pg, demo.card.pids.gateway);
    let token = demo.token("analyst").expect("a token");
    let mut session = Raw::login(address, "analyst", "clinic", &token).expect("a session");
    session.value("SELECT ssn FROM patients LIMIT 1").expect("an answer");
    let before = resident_kib(gateway).expect("its memory");
    let began = Instant::now();
    let (rows, bytes, most) = read(&mut session, wished / PATIENTS, gateway);
    println!(
        "{rows} rows, {} MiB, in {:.1?}; the gateway's memory: {before} KiB before, at most {most} KiB since",
        bytes >> 20,
        began.elapsed(),
    );
    assert_eq!(rows, wished / PATIENTS * PATIENTS);
    assert!(most <= before + GROWTH_KIB_MAX, "{before} KiB, then {most} KiB");
}
