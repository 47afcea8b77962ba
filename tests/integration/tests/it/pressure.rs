//! Whoever does not read makes the other side wait, and the gateway stays small meanwhile; and nobody waits for ever.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use bytes::BytesMut;
use grille_pg_codec::{Format, encode, tag::backend as tag};
use grille_test_support::{Caller, OWNER, READER, Raw, Reply, World};

use crate::masked::masked;
use crate::scene::wait_until;
use crate::script::{Script, tags};
use crate::version::{LOGIN, greeted, key};

/// What is on its way in a test: many times what the sockets of the system hold.
const MUCH: usize = 96 << 20;
/// What the gateway may grow by: its buffers, and slack of the allocator.
const GROWTH_KIB: u64 = 24 << 10;
/// So often in a row, 50 ms apart, it must look the same before it counts as standing still.
const LOOKS: usize = 10;

/// Waits until nothing moves any more: the server waits for us to read or for a lock, and as much as before is written.
fn stands_still(world: &World, pid: i32, waits: &str, written: &AtomicUsize) {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND {waits}");
    let (mut direct, mut before, mut looks) = (world.direct(), usize::MAX, 0);
    wait_until("everything stands still", || {
        let now = written.load(Ordering::Relaxed);
        let is_same = direct.value(&sql).unwrap() == "1" && now == before;
        looks = if is_same { looks + 1 } else { 0 };
        before = now;
        looks == LOOKS
    });
}

const SENDS: &str = "wait_event = 'ClientWrite'";

/// Writes it all in a thread, and counts what was taken.
fn writing(session: &Raw, pieces: Vec<BytesMut>) -> (JoinHandle<()>, Arc<AtomicUsize>) {
    let (mut stream, written): (TcpStream, _) = (session.writer().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&written);
    let writer = thread::spawn(move || {
        for part in pieces.iter().flat_map(|piece| piece.chunks(64 << 10)) {
            stream.write_all(part).unwrap();
            count.fetch_add(part.len(), Ordering::Relaxed);
        }
    });
    (writer, written)
}

/// A session and the pid of its backend; the gateway has taken what it takes for a first statement.
fn warm(world: &World, role: &str, caller: Caller) -> (Raw, i32, u64) {
    let login = [("user", role), LOGIN[1]];
    let (mut session, greeting) = greeted(world.address, 0, &login, &world.token(caller));
    session.value("SELECT name FROM numbers").unwrap();
    (session, key(&greeting).0, world.gateway().resident_kib().unwrap())
}

fn stays_small(world: &World, before: u64, what: &str) {
    let now = world.gateway().resident_kib().unwrap();
    assert!(now <= before + GROWTH_KIB, "{what}: {before} KiB became {now} KiB");
}

#[test]
fn a_caller_that_does_not_read_makes_the_server_wait() {
    let world = masked("reader");
    let rows = MUCH / 1000;
    let many = format!("SELECT n, repeat('x', 1000) FROM generate_series(1, {rows}) n");
    let one = format!("SELECT repeat('x', {MUCH})");
    let treated = format!("SELECT repeat('x', 1000), name FROM numbers, generate_series(1, {})", rows / 1000);
    let script = Script::default;
    let cases = [
        ("many rows", "owner", OWNER, script().query(&many), rows),
        ("many rows, extended", "owner", OWNER, script().run(&many, &[]).sync(), rows),
        ("one row above every limit", "owner", OWNER, script().query(&one), 1),
        ("COPY", "owner", OWNER, script().query(&format!("COPY ({many}) TO STDOUT")), rows),
        ("COPY of one line", "owner", OWNER, script().query(&format!("COPY ({one}) TO STDOUT")), 1),
        ("treated rows", "reader", READER, script().query(&treated), rows / 1000 * 1000),
    ];
    let nothing = AtomicUsize::new(0);
    for (what, role, caller, asked, expected) in cases {
        let (mut session, pid, before) = warm(&world, role, caller);
        session.send(&asked.bytes).unwrap();
        stands_still(&world, pid, SENDS, &nothing);
        stays_small(&world, before, what);
        let (mut count, mut bytes) = (0, 0);
        loop {
            let reply = session.reply().unwrap().expect("the session goes on");
            match reply.tag {
                tag::DATA_ROW | tag::COPY_DATA => (count, bytes) = (count + 1, bytes + reply.body.len()),
                tag::ERROR_RESPONSE => panic!("{what}: {:?}", reply.text()),
                tag::READY_FOR_QUERY => break,
                _ => {}
            }
        }
        assert_eq!((count, bytes >= MUCH / 1000 * 1000), (expected, true), "{what}: {bytes} bytes");
        stays_small(&world, before, what);
        assert_eq!(session.value("SELECT 7").unwrap(), "7", "{what}");
    }
}

/// Three sides, of which each could wait for the next one: the caller writes and does not read, the gateway may hold
/// only so much of either, and the server answers before it reads on.
#[test]
fn a_caller_that_only_writes_is_answered_when_it_reads() {
    const STATEMENTS: usize = 4000;
    let world = masked("reader");
    let pad = "y".repeat(5000);
    let mut pipeline = Script::default();
    for number in 0..STATEMENTS {
        let number = number.to_string();
        let parsed = pipeline.parse("", "SELECT $1::int, repeat('x', 10000), length($2)");
        pipeline = parsed.bind("", "", &[Some(&number), Some(&pad)], Format::Text).execute("", 0).sync();
    }
    for (role, caller) in [("owner", OWNER), ("reader", READER)] {
        let (mut session, pid, before) = warm(&world, role, caller);
        let (writer, written) = writing(&session, vec![pipeline.bytes.clone()]);
        stands_still(&world, pid, SENDS, &written);
        assert!(!writer.is_finished(), "{role}: somebody holds {} bytes", pipeline.bytes.len());
        stays_small(&world, before, role);
        for number in 0..STATEMENTS {
            let replies = session.until_ready().unwrap();
            assert_eq!(tags(&replies), "12DCZ", "{role}: {:?}", replies.iter().find_map(Reply::text));
            let first = number.to_string();
            let row = replies[2].body.get(6..6 + first.len());
            assert_eq!(row, Some(first.as_bytes()), "{role}: the answers are in order");
        }
        writer.join().unwrap();
        assert_eq!(session.value("SELECT 7").unwrap(), "7", "{role}");
    }
}

#[test]
fn data_that_the_server_does_not_take_waits_at_the_caller() {
    let world = World::shared();
    let made = "CREATE TABLE bulk (line text);
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END';
        CREATE TRIGGER wait BEFORE INSERT ON bulk EXECUTE FUNCTION wait()";
    world.session(OWNER).query(made).unwrap();
    let copy = "COPY bulk FROM STDIN";
    let line = format!("{}\n", "z".repeat(999));
    let lines = |count: usize| {
        let mut data = BytesMut::new();
        encode::copy_data(&mut data, line.repeat(count).as_bytes()).unwrap();
        data
    };
    let count = MUCH / line.len() / 8 * 8;
    let small: Vec<BytesMut> = (0..count / 8).map(|_| lines(8)).collect();
    // Before the server has asked for data, and when it has; in small messages and in a single one.
    let table = "BEGIN; LOCK TABLE bulk";
    let advisory = "BEGIN; SELECT pg_advisory_xact_lock(7)";
    for (what, lock, data) in [("a lock on the table", table, small), ("a slow trigger", advisory, vec![lines(count)])]
    {
        let (mut session, pid, before) = warm(&world, "owner", OWNER);
        let mut other = world.direct();
        other.query(lock).unwrap();
        session.send(&Script::default().query(copy).bytes).unwrap();
        let (writer, written) = writing(&session, data);
        stands_still(&world, pid, "wait_event_type = 'Lock'", &written);
        assert!(!writer.is_finished(), "{what}: somebody holds {MUCH} bytes");
        stays_small(&world, before, what);
        other.query("COMMIT").unwrap();
        writer.join().unwrap();
        session.send(&Script::default().copy_done().bytes).unwrap();
        let replies = session.until_ready().unwrap();
        assert_eq!(tags(&replies), "GCZ", "{what}: {:?}", replies.iter().find_map(Reply::text));
        let told = String::from_utf8_lossy(&replies[1].body).into_owned();
        assert_eq!(told.trim_end_matches('\0'), format!("COPY {count}"), "{what}");
        stays_small(&world, before, what);
        session.query("TRUNCATE bulk").unwrap();
    }
}
