//! Versions of the protocol, and what hangs on them: the negotiation's answer and the length of cancel keys.

use bytes::BytesMut;
use grille_pg_codec::backend::Message;
use grille_pg_codec::encode;
use grille_pg_codec::startup::Version;
use grille_pg_codec::tag::backend as tag;
use grille_test_support::{OWNER, Raw, Reply, World};

/// A session that asked for this version and these options, and what it was greeted with.
fn greeted(world: &World, minor: u16, options: &[(&str, &str)]) -> (Raw, Vec<Reply>) {
    let mut out = BytesMut::new();
    let parameters = [("user", "owner"), ("database", "work")].into_iter().chain(options.iter().copied());
    encode::startup(&mut out, Version { major: 3, minor }, parameters).unwrap();
    encode::password(&mut out, world.token(OWNER).as_bytes()).unwrap();
    let mut raw = Raw::connect(world.address).unwrap();
    raw.send(&out).unwrap();
    let greeting = raw.until_ready().unwrap();
    (raw, greeting)
}

/// The version that the gateway answered by, with the options that it does not know; none if it said nothing.
fn negotiated(greeting: &[Reply]) -> Option<(u32, Vec<String>)> {
    greeting.iter().find(|reply| reply.tag == tag::NEGOTIATE_PROTOCOL_VERSION).map(|reply| {
        let (version, rest) = reply.body.split_first_chunk::<4>().unwrap();
        let (count, names) = rest.split_first_chunk::<4>().unwrap();
        let names: Vec<String> =
            names.split(|byte| *byte == 0).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let (last, names) = names.split_last().unwrap();
        assert!(last.is_empty() && names.len() == u32::from_be_bytes(*count) as usize, "{reply:?}");
        (u32::from_be_bytes(*version), names.to_vec())
    })
}

fn key(greeting: &[Reply]) -> (i32, Vec<u8>) {
    let found = greeting.iter().find_map(|reply| match reply.message() {
        Message::BackendKeyData(data) => Some((data.pid, data.key.to_vec())),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no key in {greeting:?}"))
}

#[test]
fn versions_and_options_are_negotiated_as_postgresql_18_does() {
    let world = World::shared();
    let unknown: &[(&str, &str)] = &[("_pq_.test_protocol_negotiation", ""), ("_pq_.fancy", "on")];
    let both = || vec!["_pq_.test_protocol_negotiation".to_owned(), "_pq_.fancy".to_owned()];
    // What is asked for, the answer, and the length of the key.
    let cases = [
        (0, &[][..], None, 4),
        (1, &[], None, 4),
        (2, &[], None, 32),
        (3, &[], Some((0x0003_0002, vec![])), 32),
        (9999, &[], Some((0x0003_0002, vec![])), 32),
        (9999, unknown, Some((0x0003_0002, both())), 32),
        (2, unknown, Some((0x0003_0002, both())), 32),
        (0, unknown, Some((0x0003_0000, both())), 4),
    ];
    for (minor, options, answer, key_bytes) in cases {
        let (mut session, greeting) = greeted(&world, minor, options);
        assert_eq!(negotiated(&greeting), answer, "3.{minor} with {options:?}");
        assert_eq!(key(&greeting).1.len(), key_bytes, "3.{minor}");
        assert_eq!(session.value("SELECT 1").unwrap(), "1", "3.{minor}");
        let first = greeting.first().unwrap().tag;
        assert!(answer.is_none() || first == tag::NEGOTIATE_PROTOCOL_VERSION, "before anything else is asked");
    }
}

#[test]
fn a_key_of_either_length_cancels_and_nothing_else_does() {
    let world = World::shared();
    for minor in [0, 2] {
        let (mut session, greeting) = greeted(&world, minor, &[]);
        let (pid, key) = key(&greeting);
        let cancel = |pid: i32, key: &[u8]| {
            let mut out = BytesMut::new();
            encode::cancel_request(&mut out, pid, key).unwrap();
            let mut raw = Raw::connect(world.address).unwrap();
            raw.send(&out).unwrap();
            assert_eq!(raw.until_closed().unwrap(), b"", "the answer is a close");
        };
        let mut out = BytesMut::new();
        encode::query(&mut out, b"SELECT pg_sleep(1)::text || 'x'").unwrap();
        session.send(&out).unwrap();
        let mut wrong = key.clone();
        wrong[0] ^= 1;
        for (pid, key) in
            [(pid, wrong.as_slice()), (pid ^ 1, &key), (pid, &[&key[..], &[0]].concat()), (pid, &[0; 256])]
        {
            cancel(pid, key);
        }
        let replies = session.until_ready().unwrap();
        assert!(replies.iter().all(|reply| reply.sqlstate().is_none()), "3.{minor}: {replies:?}");

        out.clear();
        encode::query(&mut out, b"SELECT pg_sleep(600)").unwrap();
        session.send(&out).unwrap();
        std::thread::scope(|scope| {
            let (done, is_done) = std::sync::mpsc::channel::<()>();
            // A cancel that comes before the statement does nothing, so it is sent until it hits.
            scope.spawn(move || {
                while is_done.recv_timeout(std::time::Duration::from_millis(200)).is_err() {
                    cancel(pid, &key);
                }
            });
            let replies = session.until_ready().unwrap();
            done.send(()).unwrap();
            assert_eq!(replies.iter().find_map(Reply::sqlstate).as_deref(), Some("57014"), "3.{minor}");
        });
        assert_eq!(session.value("SELECT 'next'").unwrap(), "next", "the next statement is not hit");
    }
}
