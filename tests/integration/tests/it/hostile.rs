//! Bytes that no PostgreSQL client sends. Whatever they are, the gateway serves on, gives sockets back and stays small.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use bytes::BytesMut;
use grille_pg_codec::{encode, tag::frontend as tag};
use grille_test_support::{Chance, OWNER, Raw, Reply, World};

use crate::cancel::{cancel, cancelled};
use crate::script::tags;
use crate::version::{LOGIN, greeted, key};

/// Connections of random bytes, and the seed that repeats them.
const CONNECTIONS: u64 = 3000;
const SEED: u64 = 0x6772_696c_6c65;
const WORKERS: usize = 8;
/// What the gateway may keep after thousands of strangers: allocator slack, not their bytes.
const GROWTH_KIB: u64 = 48 << 10;

fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(rest.len() + 8).unwrap();
    [&length.to_be_bytes(), &code.to_be_bytes(), rest].concat()
}

const STARTUP: u32 = 0x0003_0000;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;

/// Sends, says that nothing more comes, and returns what came back until the close.
fn answer_to(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut raw = Raw::connect(world.address).unwrap();
    // The gateway may close before it has read everything; then sending fails, which is an answer too.
    raw.send(bytes).ok();
    raw.finish();
    raw.until_closed().unwrap_or_else(|error| panic!("{error:#} after {}", bytes.escape_ascii()))
}

/// Waits until the gateway holds no more descriptors than `before` (and a few for its own work).
fn sockets_come_back(world: &World, before: usize) {
    for _ in 0..600 {
        if world.gateway().descriptors().unwrap() <= before + 4 {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let open = world.gateway().descriptors().unwrap();
    panic!("{open} descriptors are open, {before} were");
}

#[test]
fn strangers_are_turned_away() {
    let world = World::shared();
    world.serves();
    let user = b"user\0anybody\0database\0work\0\0";
    let first_packets: &[(&str, Vec<u8>, &str)] = &[
        ("nothing", vec![], ""),
        ("one byte", vec![0], ""),
        ("a length alone", vec![0, 0, 0, 60], ""),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: db\r\n\r\n".to_vec(), "E"),
        ("a length of zero", vec![0; 64], "E"),
        ("a length of 4 GiB", vec![0xff; 64], "E"),
        ("one byte too many", [&10_001_u32.to_be_bytes()[..], &vec![0; 9_997]].concat(), "E"),
        ("protocol 2.0", packet(0x0002_0000, user), "E"),
        ("an unknown request", packet(80_877_199, &[]), "E"),
        ("no terminator", packet(STARTUP, b"user\0anybody\0"), "E"),
        ("bytes behind the terminator", packet(STARTUP, b"user\0anybody\0\0\0"), "E"),
        ("a parameter twice", packet(STARTUP, b"user\0a\0user\0b\0\0"), "E"),
        ("no UTF-8", packet(STARTUP, b"user\0\xff\xfe\0\0"), "E"),
        ("a cancel without a key", packet(CANCEL, &[0, 0, 0, 1]), "E"),
        ("a cancel of nobody", packet(CANCEL, &[0, 0, 0, 1, 1, 2, 3, 4]), ""),
        ("a startup and silence", packet(STARTUP, user), "R"),
        ("a startup and garbage", [packet(STARTUP, user), vec![0xaa; 64]].concat(), "RE"),
        ("a startup and a query", [packet(STARTUP, user), b"Q\0\0\0\x0dselect 1\0".to_vec()].concat(), "RE"),
        ("a startup and an empty password", [packet(STARTUP, user), b"p\0\0\0\x05\0".to_vec()].concat(), "RE"),
        ("a startup and a huge password", [packet(STARTUP, user), b"p\x3f\0\0\0x".to_vec()].concat(), "RE"),
    ];
    for (name, bytes, expected) in first_packets {
        let answer = answer_to(&world, bytes);
        let replies = crate::script::conversation_with_login(&answer);
        // Words are optional: what is no PostgreSQL client cannot read them.
        let (said, without_words) = (tags(&replies), expected.trim_end_matches('E'));
        assert!(said == *expected || said == without_words, "{name}: {}", answer.escape_ascii());
        for reply in &replies {
            assert!(!reply.body.windows(6).any(|window| window == b"work_a"), "{name} learns our login");
        }
    }
    world.serves();
}

#[test]
fn nothing_is_read_as_if_it_came_through_tls() {
    let world = World::shared();
    for (name, code) in [("SSLRequest", SSL), ("GSSENCRequest", GSSENC)] {
        let mut alone = Raw::connect(world.address).unwrap();
        alone.send(&packet(code, &[])).unwrap();
        assert_eq!(alone.byte().unwrap(), Some(b'N'), "{name} alone");
        let stuffed = [packet(code, &[]), packet(STARTUP, b"user\0anybody\0\0")].concat();
        let answer = answer_to(&world, &stuffed);
        assert!(!answer.contains(&b'R'), "{name} with bytes behind it got {}", answer.escape_ascii());
    }
    for (codes, answers) in [
        (&[SSL, GSSENC, STARTUP][..], "NNR"),
        (&[GSSENC, SSL, STARTUP], "NNR"),
        (&[SSL, SSL], "N"),
        (&[GSSENC, GSSENC], "N"),
        (&[SSL, GSSENC, SSL], "NN"),
    ] {
        let mut raw = Raw::connect(world.address).unwrap();
        let mut said = String::new();
        for code in codes {
            let rest: &[u8] = if *code == STARTUP { b"user\0anybody\0\0" } else { b"" };
            raw.send(&packet(*code, rest)).unwrap();
            said.extend(raw.byte().unwrap().map(char::from));
        }
        assert_eq!(said, answers, "each once, in either order: {codes:?}");
    }
    let hello = b"\x16\x03\x01\0\xc8\x01\0\0\xc4\x03\x03".iter().chain(&[7; 189]).copied().collect::<Vec<_>>();
    let answer = answer_to(&world, &hello);
    assert!(!answer.contains(&b'R'), "a ClientHello got {}", answer.escape_ascii());
    world.serves();
}

#[test]
fn every_beginning_of_a_login_may_be_its_end() {
    let world = World::shared();
    // The first session opens what the gateway keeps open.
    world.serves();
    let hello = world.hello(OWNER);
    let before = world.gateway().descriptors().unwrap();
    for end in (0..hello.len()).filter(|end| *end < 60 || end % 16 == 0) {
        let answer = answer_to(&world, &hello[..end]);
        let replies = crate::script::conversation_with_login(&answer);
        assert!(
            matches!(tags(&replies).as_str(), "" | "R" | "RE" | "E"),
            "after {end} bytes: {}",
            answer.escape_ascii()
        );
    }
    sockets_come_back(&world, before);
    world.serves();
}

#[test]
fn thousands_of_strangers_leave_nothing_behind() {
    let world = World::shared();
    let valid = world.hello(OWNER);
    // The allocator and the runtime take what they take for the first crowd.
    crowd(&world, &valid, SEED ^ 1, CONNECTIONS / 4);
    world.serves();
    let before = world.gateway().resident_kib().unwrap();
    let descriptors = world.gateway().descriptors().unwrap();
    crowd(&world, &valid, SEED, CONNECTIONS);
    sockets_come_back(&world, descriptors);
    world.serves();
    let after = world.gateway().resident_kib().unwrap();
    assert!(after <= before + GROWTH_KIB, "{before} KiB became {after} KiB");
    assert!(world.gateway().is_alive());
}

fn crowd(world: &World, valid: &[u8], seed: u64, connections: u64) {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= connections {
                        return;
                    }
                    let mut chance = Chance::seeded(seed.wrapping_add(number));
                    answer_to(world, &strange(&mut chance, valid));
                }
            });
        }
    });
}

/// Random bytes, a random length in front of them, or a valid login with a few bytes changed.
fn strange(chance: &mut Chance, valid: &[u8]) -> Vec<u8> {
    let size = chance.below(600);
    let mut bytes = chance.bytes(size);
    match chance.below(4) {
        0 => bytes,
        1 => packet([STARTUP, SSL, GSSENC, CANCEL][chance.below(4)], &bytes),
        2 => {
            let mut startup = packet(STARTUP, b"user\0anybody\0database\0work\0\0");
            startup.append(&mut bytes);
            startup
        }
        _ => {
            let mut mutated = valid.to_vec();
            for _ in 0..=chance.below(6) {
                let at = chance.below(mutated.len());
                mutated[at] = chance.number().to_le_bytes()[0];
            }
            // Half of the changes belong where the structure is.
            let at = chance.below(60);
            mutated[at] = chance.number().to_le_bytes()[0];
            mutated
        }
    }
}

#[test]
fn garbage_inside_a_session_ends_that_session_alone() {
    let world = World::shared();
    let mut other = world.session(OWNER);
    let mut chance = Chance::seeded(SEED);
    for round in 0..120 {
        let mut session = world.session(OWNER);
        let bytes = match round % 4 {
            0 => {
                let size = 1 + chance.below(400);
                chance.bytes(size)
            }
            1 => {
                let size = chance.below(200);
                let body = chance.bytes(size);
                let letter = tag::ALL[chance.below(tag::ALL.len())];
                let length = u32::try_from(body.len() + 4).unwrap();
                [&[letter][..], &length.to_be_bytes(), &body].concat()
            }
            2 => b"Q\0\0\0\x1aselect 1\0drop table t\0".to_vec(),
            _ => {
                let mut out = BytesMut::new();
                encode::query(&mut out, b"SELECT 1").unwrap();
                let at = chance.below(out.len());
                out[at] = chance.number().to_le_bytes()[0];
                out.to_vec()
            }
        };
        session.send(&bytes).ok();
        session.finish();
        session.until_closed().unwrap();
        assert_eq!(other.value("SELECT 1").unwrap(), "1", "after {}", bytes.escape_ascii());
    }
    assert_eq!(other.value("SELECT count(*) FROM numbers").unwrap(), "1000");
    world.serves();
}

/// Nothing of them reaches the server: it would have answered otherwise, and gone on.
#[test]
fn what_belongs_nowhere_is_the_last_that_is_read() {
    let world = World::shared();
    world.session(OWNER).query("CREATE TABLE IF NOT EXISTS untouched (a int)").unwrap();
    let message = |tag: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    };
    let insert = message(b'Q', b"INSERT INTO untouched VALUES (1)\0");
    let cases = [
        ("an unknown type", None, message(b'!', b"")),
        ("a type of the server's", None, message(b'Z', b"I")),
        ("a password", None, message(b'p', b"secret\0")),
        ("a query within COPY", Some("COPY untouched FROM STDIN"), insert.clone()),
        ("a Parse within COPY", Some("COPY untouched FROM STDIN"), message(b'P', b"\0SELECT 1\0\0\0")),
        ("a body too long", None, message(b'S', b"x")),
        ("a body too short", None, message(b'B', b"\0\0\0")),
    ];
    for (what, before, strange) in cases {
        let mut session = world.session(OWNER);
        if let Some(sql) = before {
            session.send(&message(b'Q', format!("{sql}\0").as_bytes())).unwrap();
            assert_eq!(session.reply().unwrap().map(|reply| reply.tag), Some(b'G'), "{what}");
            session.send(&message(b'd', b"1\n")).unwrap();
        }
        session.send(&[&strange[..], &insert].concat()).unwrap();
        let last = session.reply().unwrap().expect("a last word");
        assert_eq!(last.sqlstate().as_deref(), Some("08P01"), "{what}: {:?}", last.text());
        assert_eq!(session.reply().unwrap(), None, "{what}");
    }
    assert_eq!(world.cluster.sql("work", "SELECT count(*) FROM untouched").unwrap(), "0");
    world.serves();
}

#[test]
fn two_statements_never_hide_in_one_frame() {
    let world = World::shared();
    let mut session = world.session(OWNER);
    let smuggled = b"CREATE TABLE smuggled (a int)\0CREATE TABLE smuggled_too (a int)\0";
    let length = u32::try_from(smuggled.len() + 4).unwrap();
    session.send(&[&[tag::QUERY][..], &length.to_be_bytes(), smuggled].concat()).unwrap();
    let replies = session.until_ready().unwrap();
    assert_eq!(replies.iter().find_map(|reply| reply.sqlstate()).as_deref(), Some("08P01"));
    let tables = world.cluster.sql("work", "SELECT count(*) FROM pg_class WHERE relname LIKE 'smuggled%'").unwrap();
    assert_eq!(tables, "0");
}

#[test]
fn the_silent_do_not_stay_and_do_not_block_others() {
    let world = World::shared();
    world.serves();
    let before = world.gateway().descriptors().unwrap();
    let silent: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(world.address).unwrap()).collect();
    world.serves();
    for mut stream in silent {
        stream.set_read_timeout(Some(LOGIN_DEADLINE)).unwrap();
        let mut said = Vec::new();
        // A reset ends it as well as an end of the stream; a timeout is an error of another kind.
        match stream.read_to_end(&mut said) {
            Ok(_) => assert!(said.is_empty() || said.first() == Some(&b'E'), "{}", said.escape_ascii()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    sockets_come_back(&world, before);
    world.serves();
}

#[test]
fn a_full_listener_says_so_and_still_takes_cancels() {
    let narrow = grille_test_support::free_address().unwrap();
    let world = World::with(&format!(
        "[listeners.narrow]\nprotocol = \"postgres\"\naddress = \"{narrow}\"\nmax_connections = 1\n"
    ));
    let (mut first, greeting) = greeted(narrow, 2, LOGIN, &world.token(OWNER));
    let (pid, key) = key(&greeting);
    let error = Raw::login(narrow, "owner", "work", "nothing that is looked at").unwrap_err().to_string();
    assert!(error.contains("too many connections"), "{error}");
    let replies = cancelled(&mut first, "SELECT pg_sleep(600)", || cancel(narrow, pid, &key));
    assert_eq!(replies.iter().find_map(Reply::sqlstate).as_deref(), Some("57014"));
    first.finish();
    first.until_closed().unwrap();
    let deadline = tokio::time::Instant::now() + LOGIN_DEADLINE;
    while Raw::login(narrow, "owner", "work", &world.token(OWNER)).is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the place comes back");
    }
}

#[test]
fn a_token_of_64_kib_is_read_and_nobody_writes_it_down() {
    let world = World::shared();
    let token = "grille-secret.".repeat(65_534 / 14);
    let mut raw = Raw::connect(world.address).unwrap();
    raw.send(&Raw::hello("owner", "work", &token).unwrap()).unwrap();
    let replies = raw.until_ready().unwrap();
    let error = replies.last().unwrap();
    assert_eq!(error.sqlstate().as_deref(), Some("28P01"), "it was read as a token: {error:?}");
    assert!(!format!("{error:?}").contains("grille-secret") && !world.said().contains("grille-secret"));
    world.serves();
}

/// The gateway gives a login 60 s, as PostgreSQL does.
const LOGIN_DEADLINE: Duration = Duration::from_secs(80);
