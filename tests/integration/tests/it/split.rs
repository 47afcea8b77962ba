//! TCP promises bytes, not messages: wherever a session's bytes are cut, it is the same session.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use bytes::BytesMut;
use grille_pg_codec::{Format, encode, tag::backend as tag};
use grille_test_support::{OWNER, Raw, World};

use crate::script::{Script, conversation, essence};

/// A bit of everything.
fn script() -> Script {
    Script::default()
        .query("SELECT id, name FROM numbers WHERE id <= 2")
        .parse("s", "SELECT id, ratio FROM numbers WHERE id = $1::int")
        .bind("p", "s", &[Some("7")], Format::Binary)
        .describe_portal("p")
        .execute("p", 1)
        .close_portal("p")
        .sync()
        .parse("", "SELECT no_such_column")
        .execute("", 0)
        .sync()
        .query("CREATE TEMP TABLE t (a int, b text); COPY t FROM STDIN")
        .copy_data("1\tone\n2\t")
        .copy_data("two\n")
        .copy_done()
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

/// Sessions at once: each waits most of its time.
const WORKERS: usize = 6;
