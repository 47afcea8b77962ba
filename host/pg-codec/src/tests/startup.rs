use crate::startup::{Cancel, First, PACKET_MAX, Startup, StartupError, Version, first_packet};

/// A packet with its length in front.
fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a small packet");
    [&length.to_be_bytes(), body].concat()
}

fn params(text: &[u8]) -> Vec<u8> {
    packet(&[&[0, 3, 0, 0], text].concat())
}

fn startup(version: Version, params: &[(&'static str, &'static str)]) -> First<'static> {
    First::Startup(Startup { version, params: params.to_vec() })
}

#[test]
fn the_first_packet_says_what_the_connection_is_for() {
    let cases: &[(Vec<u8>, First<'_>)] = &[
        (packet(&80877103_u32.to_be_bytes()), First::Ssl),
        (packet(&80877104_u32.to_be_bytes()), First::GssEncryption),
        (packet(b"\x04\xd2\x16\x2e\0\0\0\x07key!"), First::Cancel(Cancel { pid: 7, key: b"key!" })),
        (
            packet(&[&b"\x04\xd2\x16\x2e\xff\xff\xff\xff"[..], &[b'k'; 256]].concat()),
            First::Cancel(Cancel { pid: -1, key: &[b'k'; 256] }),
        ),
        (params(b"user\0ann\0\0"), startup(Version::V3_0, &[("user", "ann")])),
        (params(b"\0"), startup(Version::V3_0, &[])),
        (params(b"b\0\0a\0x\0\0"), startup(Version::V3_0, &[("b", ""), ("a", "x")])),
        (packet(b"\0\x03\x27\x0fuser\0\xc3\xa9\0\0"), startup(Version { major: 3, minor: 9999 }, &[("user", "é")])),
    ];
    for (bytes, expected) in cases {
        assert_eq!(first_packet(bytes), Ok(Some((expected.clone(), bytes.len()))), "{}", bytes.escape_ascii());
        let longer = [bytes.as_slice(), b"behind"].concat();
        assert_eq!(first_packet(&longer), Ok(Some((expected.clone(), bytes.len()))), "what follows is not consumed");
        for end in 0..bytes.len() {
            assert_eq!(first_packet(&bytes[..end]), Ok(None), "{end} bytes of {}", bytes.escape_ascii());
        }
    }
    assert_eq!(first_packet(b"\x16"), Ok(Some((First::DirectTls, 0))));
}

#[test]
fn what_is_no_first_packet_is_refused_as_early_as_possible() {
    let cases: &[(Vec<u8>, StartupError)] = &[
        (b"GET / HTTP/1.1".to_vec(), StartupError::Length { length: u32::from_be_bytes(*b"GET ") }),
        (b"\0\0\0\x07".to_vec(), StartupError::Length { length: 7 }),
        (b"\0\0\x27\x11".to_vec(), StartupError::Length { length: 10_001 }),
        (b"\0\0\0\x09\x04\xd2\x16\x2f".to_vec(), StartupError::Length { length: 9 }),
        (b"\0\0\0\x0f\x04\xd2\x16\x2e".to_vec(), StartupError::CancelKey { bytes: 3 }),
        (b"\0\0\0\x08\x04\xd2\x16\x2e".to_vec(), StartupError::CancelKey { bytes: 0 }),
        (b"\0\0\x01\x0d\x04\xd2\x16\x2e".to_vec(), StartupError::CancelKey { bytes: 257 }),
        (b"\0\0\0\x10\0\x02\0\0".to_vec(), StartupError::Version { version: Version { major: 2, minor: 0 } }),
        (b"\0\0\0\x10\x04\xd2\0\x01".to_vec(), StartupError::Version { version: Version { major: 1234, minor: 1 } }),
        (params(b""), StartupError::Unterminated),
        (params(b"user\0ann\0"), StartupError::Unterminated),
        (params(b"user\0ann"), StartupError::Unterminated),
        (params(b"user\0ann\0\0\0"), StartupError::Trailing { bytes: 1 }),
        (params(b"\0user\0ann\0\0"), StartupError::Trailing { bytes: 10 }),
        (params(b"user\0\xe9\0\0"), StartupError::NotUtf8),
        (params(b"a\x001\0b\x002\0a\x003\0\0"), StartupError::Duplicate { name: "a".into() }),
        (
            params(&[(0..257).flat_map(|n| format!("p{n}\0\0").into_bytes()).collect(), vec![0]].concat()),
            StartupError::TooMany,
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(first_packet(bytes).as_ref(), Err(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_largest_packet_is_still_taken() {
    let value = vec![b'x'; PACKET_MAX - 4 - 4 - 2 - 2];
    let bytes = params(&[b"a\0", value.as_slice(), b"\0\0"].concat());
    assert_eq!(bytes.len(), PACKET_MAX);
    assert!(matches!(first_packet(&bytes), Ok(Some((First::Startup(_), PACKET_MAX)))));
}

#[test]
fn names_are_found_and_the_database_defaults_to_the_user() {
    let read = |bytes: &'static [u8]| match first_packet(bytes) {
        Ok(Some((First::Startup(startup), _))) => startup,
        other => panic!("{other:?}"),
    };
    let plain = read(b"\0\0\0\x12\0\x03\0\0user\0ann\0\0");
    assert_eq!((plain.user(), plain.database()), (Some("ann"), Some("ann")));
    let chosen = read(b"\0\0\0\x27\0\x03\0\x02database\0clinic\0_pq_.fancy\0on\0\0");
    assert_eq!((chosen.user(), chosen.database()), (None, Some("clinic")));
    assert_eq!(chosen.protocol_options().collect::<Vec<_>>(), ["_pq_.fancy"]);
    assert_eq!(chosen.version, Version::V3_2);
}

#[test]
fn a_cancel_key_is_not_printed() {
    let shown = format!("{:?}", Cancel { pid: 1, key: b"hush" });
    assert_eq!(shown, "Cancel { pid: 1, key_bytes: 4 }");
}
