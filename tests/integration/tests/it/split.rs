//! TCP promises bytes, not messages: wherever a session's bytes are cut, it is the same session.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use bytes::BytesMut;
use grille_pg_codec::{Format, encode, tag::backend as tag};
use grille_test_support::{CLERK, OWNER, READER, Raw, World};

use crate::masked::masked;
use crate::script::{Script, conversation, essence};

/// A bit of everything.
fn script() -> Script {
    Script::default()
        .query("SELECT id, name FROM numbers WHERE id <= 2")
        .parse("s", "SELECT id, ratio FROM numbers WHERE id = $1::int")
        .describe_statement("s")
        .bind("p", "s", &[Some("7")], Format::Binary)
        .flush()
        .describe_portal("p")
        .execute("p", 1)
        .close_portal("p")
        .parse("", "BEGIN")
        .describe_statement("")
        .sync()
        .parse("", "SELECT no_such_column")
        .execute("", 0)
        .sync()
        .query("CREATE TEMP TABLE t (a int, b text); COPY t FROM STDIN")
        .copy_data("1\tone\n2\t")
        .copy_data("two\n")
        .copy_done()
        .query("COPY t FROM STDIN")
        .copy_data("3\tthree\n")
        .copy_fail("no more")
        .query("DROP TABLE IF EXISTS pg_temp.no_such")
        .query("BEGIN; SELECT 1/0")
        .query("ROLLBACK; SELECT a + 0, b || '!' FROM t; COPY t TO STDOUT")
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let world = World::shared();
    let script = script();
    let expected = script.play(&mut world.direct()).unwrap();
    let mut session = world.session(OWNER);
    for byte in &script.bytes {
        session.send(&[*byte]).unwrap();
    }
    assert_eq!(essence(&script.answers(&mut session).unwrap()), essence(&expected));
}

#[test]
fn a_session_may_be_cut_anywhere() {
    let world = World::shared();
    let script = script();
    let expected = essence(&script.play(&mut world.direct()).unwrap());

    let hello = world.hello(OWNER);
    let bytes = [hello.as_slice(), &script.bytes].concat();
    // Inside the token one place is like another; everywhere else each place counts.
    let token = 60..hello.len().saturating_sub(10);
    let cuts: Vec<usize> = (1..bytes.len()).filter(|cut| !token.contains(cut) || cut % 64 == 0).collect();
    let next = AtomicUsize::new(0);
    let play = |cut: usize| {
        let mut raw = Raw::connect(world.address).unwrap();
        let (first, second) = bytes.split_at(cut);
        raw.send(first).unwrap();
        // Long enough that the two parts are two reads on most tries; the result may not depend on it.
        thread::sleep(Duration::from_millis(2));
        raw.send(second).unwrap();
        let greeting = raw.until_ready().unwrap();
        assert_eq!(greeting.last().map(|reply| reply.tag), Some(tag::READY_FOR_QUERY), "cut after {cut}: {greeting:?}");
        essence(&script.answers(&mut raw).unwrap())
    };
    assert_eq!(play(bytes.len()), expected, "uncut");
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(cut) = cuts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    assert_eq!(play(*cut), expected, "cut after {cut} of {} bytes", bytes.len());
                }
            });
        }
    });
}

#[test]
fn what_was_asked_before_goodbye_is_answered() {
    let world = World::shared();
    let script = script();
    let expected = essence(&script.play(&mut world.direct()).unwrap());
    let mut terminate = BytesMut::new();
    encode::terminate(&mut terminate);
    for (name, goodbye) in [("Terminate", &terminate[..]), ("the end of the stream", b"")] {
        let mut session = world.session(OWNER);
        session.send(&[&script.bytes[..], goodbye].concat()).unwrap();
        session.finish();
        assert_eq!(essence(&conversation(&session.until_closed().unwrap())), expected, "{name}");
    }
}

#[test]
fn who_leaves_before_the_data_of_a_copy_is_not_waited_for() {
    let world = World::shared();
    let mut session = world.session(OWNER);
    let slow = Script::default().query("SELECT pg_sleep(0.3)").query("CREATE TEMP TABLE left_early (a int)");
    session.send(&slow.query("COPY left_early FROM STDIN").bytes).unwrap();
    session.finish();
    // The end arrives while the server is still at the first statement, and asks for data later.
    session.until_closed().unwrap();
}

/// Sessions at once: each waits most of its time.
const WORKERS: usize = 6;

/// Every second place between two bytes of the server's: with one server the even ones, with the other the odd ones.
const STRIDE: usize = 2;

/// A way to the server on which the answers of the `n`th connection are cut after `n` strides; those of the first come
/// one byte at a time.
fn cutting(server: SocketAddr, connections: &Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::clone(connections);
    let is_second_server = std::env::var_os("GRILLE_POSTGRES_MAJOR").is_some();
    thread::spawn(move || {
        for near in listener.incoming() {
            let (mut near, mut far) = (near.unwrap(), TcpStream::connect(server).unwrap());
            let (mut said, mut heard) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            near.set_nodelay(true).unwrap();
            let cut = STRIDE * connections.fetch_add(1, Ordering::Relaxed);
            let cut = cut.saturating_sub(usize::from(is_second_server));
            thread::spawn(move || io::copy(&mut said, &mut far));
            // Whichever side ends first ends both.
            thread::spawn(move || pass(&mut heard, &mut near, cut));
        }
    });
    address
}

fn pass(from: &mut TcpStream, to: &mut TcpStream, cut: usize) -> io::Result<()> {
    let (mut buffer, mut passed) = ([0; 4096], 0);
    loop {
        let read = from.read(&mut buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if read == 0 {
            return to.shutdown(std::net::Shutdown::Both);
        }
        if cut == 0 {
            bytes.iter().try_for_each(|byte| to.write_all(&[*byte]))?;
        } else if (passed + 1..passed + read).contains(&cut) {
            let (first, second) = bytes.split_at(cut - passed);
            to.write_all(first)?;
            thread::sleep(Duration::from_millis(2));
            to.write_all(second)?;
        } else {
            to.write_all(bytes)?;
        }
        passed += read;
    }
}

#[test]
fn what_the_server_says_may_be_cut_anywhere() {
    let world = masked("reader");
    let reads = "SELECT id, name, payload FROM numbers WHERE id <= 3";
    let reading = Script::default()
        .query(reads)
        .run(reads, &[])
        .sync()
        .query("COPY (SELECT name FROM numbers LIMIT 3) TO STDOUT");
    for (caller, script) in [(OWNER, script()), (READER, reading)] {
        let expected = essence(&script.play(&mut world.session(caller)).unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let (server, relay) = (world.cluster.address(), cutting(world.cluster.address(), &connections));
        world.edit(|text| text.replace(&server.to_string(), &relay.to_string()));
        let reaches_relay = || {
            drop(world.session(CLERK));
            connections.load(Ordering::Relaxed) > 0
        };
        while !reaches_relay() {
            thread::sleep(Duration::from_millis(20));
        }
        connections.store(0, Ordering::Relaxed);
        // What the server says at login is some 600 bytes more than what the caller reads of it afterwards.
        let last = (expected.iter().map(|(_, body)| body.len() + 5).sum::<usize>() + 600) / STRIDE;
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while connections.load(Ordering::Relaxed) < last {
                        let answers = script.play(&mut world.session(caller)).unwrap();
                        let at = connections.load(Ordering::Relaxed);
                        assert_eq!(essence(&answers), expected, "cut near {at} of {last} bytes");
                    }
                });
            }
        });
        world.edit(|text| text.replace(&relay.to_string(), &server.to_string()));
        while {
            let before = connections.load(Ordering::Relaxed);
            drop(world.session(CLERK));
            connections.load(Ordering::Relaxed) > before
        } {
            thread::sleep(Duration::from_millis(20));
        }
    }
}
