//! Versions of the protocol, and what hangs on them: the negotiation's answer and the length of cancel keys. And what the
//! server says when it greets.

use std::net::SocketAddr;

use bytes::BytesMut;
use grille_pg_codec::backend::Message;
use grille_pg_codec::encode;
use grille_pg_codec::startup::Version;
use grille_pg_codec::tag::backend as tag;
use grille_test_support::{OWNER, Raw, Reply, World};

/// What everybody here asks for.
pub(crate) const LOGIN: &[(&str, &str)] = &[("user", "owner"), ("database", "work")];

/// A session that asked for this version by these parameters, and what it was greeted with.
pub(crate) fn greeted(address: SocketAddr, minor: u16, login: &[(&str, &str)], token: &str) -> (Raw, Vec<Reply>) {
    let mut out = BytesMut::new();
    encode::startup(&mut out, Version { major: 3, minor }, login.iter().copied()).unwrap();
    encode::password(&mut out, token.as_bytes()).unwrap();
    let mut raw = Raw::connect(address).unwrap();
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

/// What cancels the session.
pub(crate) fn key(greeting: &[Reply]) -> (i32, Vec<u8>) {
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
        let (mut session, greeting) = greeted(world.address, minor, &[LOGIN, options].concat(), &world.token(OWNER));
        let (pid, key) = key(&greeting);
        assert_eq!(negotiated(&greeting), answer, "3.{minor} with {options:?}");
        assert_eq!(key.len(), key_bytes, "3.{minor}");
        assert_eq!(session.value("SELECT pg_backend_pid()").unwrap(), pid.to_string(), "drivers compare them");
        let first = greeting.first().unwrap().tag;
        assert!(answer.is_none() || first == tag::NEGOTIATE_PROTOCOL_VERSION, "before anything else is asked");
    }
}

#[test]
fn the_database_defaults_to_the_user() {
    let world = World::shared();
    for login in [&[("user", "work")][..], &[("user", "work"), ("database", "")]] {
        let (mut session, _) = greeted(world.address, 0, login, &world.token(OWNER));
        assert_eq!(session.value("SELECT current_database()").unwrap(), "work", "{login:?}");
    }
}

#[test]
fn what_the_server_reports_of_itself_reaches_the_caller_as_it_is() {
    let world = World::shared();
    let reports = |greeting: Vec<Reply>| -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let statuses = greeting.iter().filter_map(|reply| match reply.message() {
            Message::ParameterStatus(status) => Some((text(status.name), text(status.value))),
            _ => None,
        });
        // The one thing that differs is whom the login is for.
        statuses.filter(|(name, _)| name != "session_authorization").collect()
    };
    let (mut session, greeting) = greeted(world.address, 0, LOGIN, &world.token(OWNER));
    let through = reports(greeting);
    assert_eq!(through, reports(world.direct_greeting()), "in its order");
    for name in ["server_version", "standard_conforming_strings", "client_encoding", "TimeZone", "in_hot_standby"] {
        assert!(through.iter().any(|(known, _)| known == name), "{name} is missing: {through:?}");
    }
    let later = reports(session.query("SET TimeZone = 'Asia/Tokyo'").unwrap());
    assert_eq!(later, [("TimeZone".to_owned(), "Asia/Tokyo".to_owned())], "and what changes later");
}
