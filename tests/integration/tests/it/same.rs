//! With no policy bound, the gateway is not there: a list of statements of every kind, and what a session says about
//! itself, give the same bytes through it and straight from the server.

use bytes::BytesMut;
use grille_pg_codec::{Format, encode, tag::backend as tag};
use grille_test_support::{OWNER, Raw, Reply, World, statements};

use crate::script::{Script, tags};

/// How a statement is asked.
#[derive(Debug, Clone, Copy)]
enum Way {
    Simple,
    Extended(Format),
}

const WAYS: [Way; 3] = [Way::Simple, Way::Extended(Format::Text), Way::Extended(Format::Binary)];

impl Way {
    fn script(self, sql: &str) -> Script {
        match self {
            Self::Simple => Script::default().query(sql),
            Self::Extended(format) => {
                let parsed = Script::default().parse("", sql).describe_statement("");
                parsed.bind("", "", &[], format).describe_portal("").execute("", 0).sync()
            }
        }
    }
}

/// The first ObjectId that a server gives to what its users make.
const FIRST_USER_OID: u32 = 16384;

/// What a reader of a failing test needs: the first message that differs.
fn compare(what: &str, got: &[Reply], expected: &[Reply]) {
    assert_eq!(tags(got), tags(expected), "{what}: {:?}", got.iter().find_map(Reply::text));
    for (got, expected) in got.iter().zip(expected) {
        assert!(bytes(got) == bytes(expected), "{what}: got {got:?}, expected {expected:?}");
    }
}

/// The body of a message, without the numbers of the tables that a result comes from: each session has its own
/// temporary ones.
fn bytes(reply: &Reply) -> Vec<u8> {
    let mut bytes = reply.body.to_vec();
    if reply.tag != tag::ROW_DESCRIPTION {
        return bytes;
    }
    let mut at = 2;
    while let Some(length) = bytes[at..].iter().position(|byte| *byte == 0) {
        at += length + 1;
        let table = &mut bytes[at..at + 4];
        if u32::from_be_bytes(table.try_into().expect("four bytes")) >= FIRST_USER_OID {
            table.fill(0xff);
        }
        at += 18;
    }
    bytes
}

#[test]
fn a_list_of_statements_in_text_and_in_binary() {
    let world = World::shared();
    assert!(statements().count() > 100, "the list is not whole");
    for way in WAYS {
        let (mut direct, mut session) = (world.direct(), world.session(OWNER));
        for sql in statements() {
            let script = way.script(sql);
            let what = format!("{sql} ({way:?})");
            let expected = script.play(&mut direct).unwrap_or_else(|error| panic!("{what}, direct: {error:#}"));
            let got = script.play(&mut session).unwrap_or_else(|error| panic!("{what}: {error:#}\n{}", world.said()));
            compare(&what, &got, &expected);
        }
    }
}

/// Bytes that are no UTF-8 pass both ways, in statements, parameters, results and errors.
#[test]
fn another_client_encoding() {
    let world = World::shared();
    for (encoding, word) in [("LATIN1", &b"gr\xfc\xdfe"[..]), ("WIN1252", b"50 \x80"), ("SJIS", b"\x93\xfa\x96\x7b")] {
        let answers = |mut session: Raw| {
            let set = Script::default().query(&format!("SET client_encoding = '{encoding}'"));
            let mut replies = set.play(&mut session).unwrap();
            for sql in [
                [b"SELECT '", word, b"' AS \"", word, b"\", length('", word, b"')"].concat(),
                [b"SELECT 1 FROM ", word].concat(),
                [b"SELECT '", word, b"'::int"].concat(),
            ] {
                let mut bytes = BytesMut::new();
                encode::query(&mut bytes, &sql).unwrap();
                encode::parse(&mut bytes, b"", b"SELECT $1::text, upper($1)", &[]).unwrap();
                let formats = std::iter::empty::<Format>();
                let values = std::iter::once(Some(word));
                encode::bind(&mut bytes, b"", b"", formats, values, std::iter::once(Format::Text)).unwrap();
                encode::execute(&mut bytes, b"", 0).unwrap();
                encode::sync(&mut bytes);
                session.send(&bytes).unwrap();
                replies.append(&mut session.until_ready().unwrap());
                replies.append(&mut session.until_ready().unwrap());
            }
            replies
        };
        compare(encoding, &answers(world.session(OWNER)), &answers(world.direct()));
    }
}
