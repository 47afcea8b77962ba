use std::iter;

use bytes::BytesMut;

use crate::{
    Format, Malformed,
    backend::{Field, TransactionStatus, field},
    encode::{self, EncodeError, RowCopy, RowWriter},
    frontend::Target,
    startup::Version,
};

type Write = fn(&mut BytesMut) -> Result<(), EncodeError>;
type SureWrite = fn(&mut BytesMut);

#[test]
fn messages_have_these_bytes() {
    let cases: &[(Write, &[u8])] = &[
        (|out| encode::cancel_request(out, 7, b"key!"), b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07key!"),
        (|out| encode::startup(out, Version::V3_0, [("user", "ann")]), b"\0\0\0\x12\0\x03\0\0user\0ann\0\0"),
        (|out| encode::password(out, b"hush"), b"p\0\0\0\x09hush\0"),
        (|out| encode::sasl_initial(out, "X", Some(b"ab")), b"p\0\0\0\x0cX\0\0\0\0\x02ab"),
        (|out| encode::sasl_initial(out, "X", None), b"p\0\0\0\x0aX\0\xff\xff\xff\xff"),
        (|out| encode::sasl_response(out, b"ab"), b"p\0\0\0\x06ab"),
        (|out| encode::query(out, b"select 1"), b"Q\0\0\0\x0dselect 1\0"),
        (|out| encode::parse(out, b"s", b"x", &[23]), b"P\0\0\0\x0es\0x\0\0\x01\0\0\0\x17"),
        (
            |out| {
                let values = [Some(&b"v"[..]), None];
                encode::bind(out, b"", b"s", iter::once(Format::Binary), values, iter::empty())
            },
            b"B\0\0\0\x18\0s\0\0\x01\0\x01\0\x02\0\0\0\x01v\xff\xff\xff\xff\0\0",
        ),
        (|out| encode::describe(out, Target::Portal(b"")), b"D\0\0\0\x06P\0"),
        (|out| encode::close(out, Target::Statement(b"s")), b"C\0\0\0\x07Ss\0"),
        (|out| encode::execute(out, b"", 2), b"E\0\0\0\x09\0\0\0\0\x02"),
        (|out| encode::copy_data(out, b"1\n"), b"d\0\0\0\x061\n"),
        (|out| encode::copy_fail(out, "no"), b"f\0\0\0\x07no\0"),
        (encode::authentication_ok, b"R\0\0\0\x08\0\0\0\0"),
        (encode::authentication_cleartext_password, b"R\0\0\0\x08\0\0\0\x03"),
        (|out| encode::authentication_sasl(out, &["X"]), b"R\0\0\0\x0b\0\0\0\x0aX\0\0"),
        (|out| encode::authentication_sasl_continue(out, b"r"), b"R\0\0\0\x09\0\0\0\x0br"),
        (|out| encode::authentication_sasl_final(out, b"v"), b"R\0\0\0\x09\0\0\0\x0cv"),
        (|out| encode::parameter_status(out, b"a", b"b"), b"S\0\0\0\x08a\0b\0"),
        (|out| encode::backend_key_data(out, 7, b"key!"), b"K\0\0\0\x0c\0\0\0\x07key!"),
        (
            |out| encode::negotiate_protocol_version(out, Version::V3_0, ["_pq_.a"]),
            b"v\0\0\0\x13\0\x03\0\0\0\0\0\x01_pq_.a\0",
        ),
        (
            |out| {
                let field = Field {
                    name: b"id",
                    table_oid: 16384,
                    attnum: 1,
                    type_oid: 23,
                    type_len: 4,
                    typmod: -1,
                    format: Format::Binary,
                };
                encode::row_description(out, iter::once(field))
            },
            b"T\0\0\0\x1b\0\x01id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01",
        ),
        (|out| encode::parameter_description(out, &[25]), b"t\0\0\0\x0a\0\x01\0\0\0\x19"),
        (
            |out| encode::error_response(out, &[(field::SQLSTATE, "42501"), (field::MESSAGE, "a\0b")]),
            b"E\0\0\0\x11C42501\0Ma b\0\0",
        ),
        (|out| encode::notice_response(out, &[(field::MESSAGE, "wait")]), b"N\0\0\0\x0bMwait\0\0"),
        (|out| encode::command_complete(out, "SELECT 1"), b"C\0\0\0\x0dSELECT 1\0"),
    ];
    for (write, expected) in cases {
        let mut out = BytesMut::from(&b"before"[..]);
        write(&mut out).unwrap();
        assert_eq!(out.strip_prefix(b"before"), Some(*expected), "{}", out.escape_ascii());
    }
}

#[test]
fn messages_that_cannot_fail_have_these_bytes() {
    let cases: &[(SureWrite, &[u8])] = &[
        (|out| encode::ssl_request(out), b"\0\0\0\x08\x04\xd2\x16\x2f"),
        (|out| encode::sync(out), b"S\0\0\0\x04"),
        (|out| encode::flush(out), b"H\0\0\0\x04"),
        (|out| encode::copy_done(out), b"c\0\0\0\x04"),
        (|out| encode::terminate(out), b"X\0\0\0\x04"),
        (|out| encode::ssl_answer(out, true), b"S"),
        (|out| encode::ssl_answer(out, false), b"N"),
        (|out| encode::ready_for_query(out, TransactionStatus::Failed), b"Z\0\0\0\x05E"),
        (|out| encode::parse_complete(out), b"1\0\0\0\x04"),
        (|out| encode::bind_complete(out), b"2\0\0\0\x04"),
        (|out| encode::close_complete(out), b"3\0\0\0\x04"),
        (|out| encode::empty_query_response(out), b"I\0\0\0\x04"),
        (|out| encode::no_data(out), b"n\0\0\0\x04"),
        (|out| encode::portal_suspended(out), b"s\0\0\0\x04"),
    ];
    for (write, expected) in cases {
        let mut out = BytesMut::from(&b"before"[..]);
        write(&mut out);
        assert_eq!(out.strip_prefix(b"before"), Some(*expected), "{}", out.escape_ascii());
    }
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let cases: &[Write] = &[
        |out| encode::startup(out, Version::V3_0, [("user", "a\0b")]),
        |out| encode::startup(out, Version::V3_0, [("", "x")]),
        |out| encode::startup(out, Version::V3_0, [("user", "x".repeat(10_000).as_str())]),
        |out| encode::cancel_request(out, 1, b"abc"),
        |out| encode::password(out, b"a\0b"),
        |out| encode::password(out, &[b'x'; 65_535]),
        |out| encode::sasl_initial(out, "a\0b", None),
        |out| encode::sasl_response(out, &[0; 40_000]),
        |out| encode::query(out, b"select 1\0drop table t"),
        |out| encode::parse(out, b"a\0b", b"", &[]),
        |out| encode::parse(out, b"", b"a\0b", &[]),
        |out| encode::parse(out, b"", b"", &[0; 65_536]),
        |out| encode::bind(out, b"", b"", iter::empty(), vec![None; 65_536], iter::empty()),
        |out| encode::describe(out, Target::Portal(b"a\0b")),
        |out| encode::copy_fail(out, "a\0b"),
        |out| encode::parameter_status(out, b"a", b"b\0c"),
        |out| encode::parameter_status(out, b"a", "x".repeat(30_000).as_bytes()),
        |out| encode::authentication_sasl(out, &[""]),
        |out| encode::backend_key_data(out, 1, b"abc"),
        |out| encode::negotiate_protocol_version(out, Version::V3_0, ["a\0b"]),
        |out| encode::command_complete(out, "a\0b"),
    ];
    for (number, write) in cases.iter().enumerate() {
        let mut out = BytesMut::from(&b"before"[..]);
        assert!(write(&mut out).is_err(), "case {number}");
        assert_eq!(out, &b"before"[..], "case {number}");
    }
}

#[test]
fn a_row_is_written_value_by_value() {
    let mut out = BytesMut::from(&b"before"[..]);
    let mut row = RowWriter::begin(&mut out);
    row.value(Some(b"ab")).unwrap();
    row.value(None).unwrap();
    assert_eq!(row.written(), 17);
    row.finish().unwrap();
    assert_eq!(out, &b"beforeD\0\0\0\x10\0\x02\0\0\0\x02ab\xff\xff\xff\xff"[..]);
}

#[test]
fn a_row_that_is_given_up_takes_its_bytes_back() {
    let mut out = BytesMut::from(&b"before"[..]);
    let mut row = RowWriter::begin(&mut out);
    row.value(Some(b"half")).unwrap();
    drop(row);
    assert_eq!(out, &b"before"[..]);
}

/// What replacing the values that differ from those before gives, and what writing them anew does.
fn copied(before: &[Option<&[u8]>], after: &[Option<&[u8]>]) -> [BytesMut; 2] {
    let written = |values: &[Option<&[u8]>]| {
        let mut out = BytesMut::new();
        let mut row = RowWriter::begin(&mut out);
        values.iter().for_each(|value| row.value(*value).unwrap());
        row.finish().unwrap();
        out
    };
    let (frame, mut out) = (written(before), BytesMut::new());
    let mut row = RowCopy::begin(&frame[5..], &mut out).unwrap();
    assert_eq!(row.len(), before.len());
    for (old, new) in before.iter().zip(after) {
        assert_eq!(row.read(), Ok(*old));
        if old != new {
            row.replace(*new).unwrap();
        }
    }
    row.finish::<Broken>().unwrap();
    [out, written(after)]
}

#[derive(Debug)]
#[expect(dead_code, reason = "read by whoever looks at a failed test")]
enum Broken {
    Malformed(Malformed),
    Unwritable(EncodeError),
}

impl From<Malformed> for Broken {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl From<EncodeError> for Broken {
    fn from(error: EncodeError) -> Self {
        Self::Unwritable(error)
    }
}

#[test]
fn a_row_is_copied_with_any_of_its_values_replaced() {
    let values: [&[Option<&[u8]>]; 3] =
        [&[Some(b"a"), None, Some(b"ccc"), Some(b"")], &[None, Some(b"bb"), None, Some(b"longer than before")], &[]];
    for replaced in 0..1 << 4 {
        let pick = |index: usize| if replaced >> index & 1 == 1 { values[1][index] } else { values[0][index] };
        let after: Vec<_> = (0..4).map(pick).collect();
        let [copied, written] = copied(values[0], &after);
        assert_eq!(copied, written, "{replaced:04b}");
    }
    let [copied, written] = copied(values[2], values[2]);
    assert_eq!(copied, written);
}

#[test]
fn a_copy_of_a_broken_row_takes_its_bytes_back() {
    for (body, reads) in [
        (&b"\0\x02\0\0\0\x01a\0\0\0\x05b"[..], 2),
        (b"\0\x01\0\0\0\x01ab", 1),
        (b"\0\x01\xff\xff\xff\xfe", 1),
        (b"\0\x01", 1),
    ] {
        let mut out = BytesMut::from(&b"before"[..]);
        let mut row = RowCopy::begin(body, &mut out).unwrap();
        let read = (0..reads).try_for_each(|_| row.read().map(|_| row.replace(Some(b"x")).unwrap()));
        let finished = read.map_err(Broken::Malformed).and_then(|()| row.finish());
        assert!(finished.is_err(), "{body:?}");
        assert_eq!(out, &b"before"[..]);
    }
    assert!(RowCopy::begin(b"\0", &mut BytesMut::new()).is_err());
}
