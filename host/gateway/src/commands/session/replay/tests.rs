use bytes::BytesMut;
use grille_pg_codec::backend::Field;
use grille_pg_codec::encode;
use grille_pg_codec::frontend::Target;
use grille_policy::{DecisionId, SessionId};

use super::*;

fn asked(text: &str) -> Moment {
    let decision = DecisionId { session: SessionId::mint(1, 2), number: 0 };
    Moment::Asked { at_ms: 1, decision, text: text.into(), verdict: "allow".into() }
}

fn shown(bytes: &[u8]) -> Moment {
    Moment::Shown { at_ms: 2, data: STANDARD.encode(bytes) }
}

fn column(name: &str, type_oid: u32, format: Format) -> Field<'_> {
    Field { name: name.as_bytes(), table_oid: 0, attnum: 0, type_oid, type_len: -1, typmod: -1, format }
}

fn row(out: &mut BytesMut, values: &[Option<&[u8]>]) {
    let mut row = encode::RowWriter::begin(out);
    for value in values {
        row.value(*value).unwrap();
    }
    row.finish().unwrap();
}

fn patients(out: &mut BytesMut, format: Format, rows: &[[Option<&[u8]>; 2]]) {
    encode::row_description(out, [column("id", 23, format), column("name", 25, format)].into_iter()).unwrap();
    for values in rows {
        row(out, values);
    }
    encode::command_complete(out, &format!("SELECT {}", rows.len())).unwrap();
    encode::ready_for_query(out, TransactionStatus::Idle);
}

fn play(moments: &[Moment]) -> String {
    let mut replay = Replay::default();
    let mut text: String = moments.iter().map(|moment| replay.play(moment)).collect();
    text.push_str(&replay.finish());
    text
}

const TABLE: &str = "=> select id, name from patients;
 id |    name
----+------------
  7 | [redacted]
 12 |
(2 rows)

";

#[test]
fn a_table_as_psql_shows_it() {
    let rows: [[Option<&[u8]>; 2]; 2] = [[Some(b"7"), Some(b"[redacted]")], [Some(b"12"), None]];
    let mut wire = BytesMut::new();
    patients(&mut wire, Format::Text, &rows);
    assert_eq!(play(&[asked("select id, name from patients"), shown(&wire)]), TABLE);

    let mut wire = BytesMut::new();
    let binary: [[Option<&[u8]>; 2]; 2] = [[Some(&[0, 0, 0, 7]), Some(b"[redacted]")], [Some(&[0, 0, 0, 12]), None]];
    patients(&mut wire, Format::Binary, &binary);
    assert_eq!(play(&[asked("select id, name from patients;"), shown(&wire)]), TABLE);
}

#[test]
fn it_does_not_matter_where_the_bytes_were_cut() {
    let mut wire = BytesMut::new();
    patients(&mut wire, Format::Text, &[[Some(b"7"), Some(b"[redacted]")], [Some(b"12"), None]]);
    for cut in 0..=wire.len() {
        let (one, other) = wire.split_at(cut);
        assert_eq!(play(&[asked("select id, name from patients"), shown(one), shown(other)]), TABLE, "{cut}");
    }
    let bytes: Vec<Moment> = wire.chunks(1).map(shown).collect();
    assert!(TABLE.ends_with(&play(&bytes)));
}

#[test]
fn errors_notices_tags_and_the_prompt() {
    let mut wire = BytesMut::new();
    encode::command_complete(&mut wire, "BEGIN").unwrap();
    encode::ready_for_query(&mut wire, TransactionStatus::Open);
    let mut second = BytesMut::new();
    let notice = [(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "00000"), (b'M', "held as r-1"), (b'H', "wait")];
    encode::notice_response(&mut second, &notice).unwrap();
    let error = [(b'S', "ERROR"), (b'C', "42501"), (b'M', "no \u{1b}[2J"), (b'D', "DELETE without WHERE")];
    encode::error_response(&mut second, &error).unwrap();
    encode::ready_for_query(&mut second, TransactionStatus::Failed);
    let text = play(&[asked("begin"), shown(&wire), asked("delete from visits"), shown(&second), asked("select 1")]);
    let expected = "=> begin;
BEGIN
=*> delete from visits;
NOTICE:  held as r-1
HINT:  wait
ERROR:  42501: no \\u001b[2J
DETAIL:  DELETE without WHERE
=!> select 1;
";
    assert_eq!(text, expected);
}

#[test]
fn what_is_not_kept_is_said() {
    let mut wire = BytesMut::new();
    patients(&mut wire, Format::Text, &[[Some(b"7"), Some(b"[redacted]")], [Some(b"12"), None]]);
    let elided = Moment::Elided { at_ms: 3, rows: 9, bytes: 99 };
    let text = play(&[shown(&wire[..wire.len() - 25]), elided]);
    assert!(text.ends_with(" [redacted]\n-- (9 more rows, 99 bytes: shown then, not kept)\n"), "{text}");
}

#[test]
fn long_results_come_in_pieces() {
    let mut wire = BytesMut::new();
    let rows = vec![[Some(b"1".as_slice()), Some(b"x".as_slice())]; ROWS_ALIGNED * 2 + 1];
    patients(&mut wire, Format::Text, &rows);
    let text = play(&[shown(&wire)]);
    assert_eq!(text.lines().filter(|line| *line == "  1 | x").count(), rows.len());
    assert_eq!(text.matches("-+-").count(), 1);
    assert!(text.ends_with(&format!("({} rows)\n\n", rows.len())));
}

#[test]
fn a_described_statement_that_is_not_run_shows_nothing() {
    let mut wire = BytesMut::new();
    encode::row_description(&mut wire, [column("id", 23, Format::Text)].into_iter()).unwrap();
    encode::ready_for_query(&mut wire, TransactionStatus::Idle);
    row(&mut wire, &[Some(&[0, 0, 0, 5])]);
    encode::command_complete(&mut wire, "SELECT 1").unwrap();
    assert_eq!(play(&[shown(&wire)]), "  column 1\n------------\n \\x00000005\n(1 row)\n\n");
}

#[test]
fn binary_values() {
    for (type_oid, bytes, text) in [
        (16, &[1][..], "t"),
        (20, &[255; 8], "-1"),
        (23, &[0, 0, 1], "\\x000001"),
        (701, &[0x3f, 0xf8, 0, 0, 0, 0, 0, 0], "1.5"),
        (1082, &[0, 0, 0, 1], "2000-01-02"),
        (1082, &[0x7f, 0xff, 0xff, 0xff], "\\x7fffffff"),
        (2950, &[0xab; 16], "abababab-abab-abab-abab-abababababab"),
        (3802, b"\x01{}", "{}"),
        (17, &[0, 255], "\\x00ff"),
    ] {
        assert_eq!(binary(type_oid, bytes), text);
    }
}

#[test]
fn garbage_is_said_to_be_garbage() {
    assert_eq!(play(&[shown(b"HTTP/1.1 200 OK")]), "-- (bytes that are no messages)\n");
    assert_eq!(play(&[Moment::Shown { at_ms: 1, data: "é".into() }]), "-- (bytes that are no base64)\n");
    let mut wire = BytesMut::new();
    encode::ready_for_query(&mut wire, TransactionStatus::Idle);
    wire[5] = b'?';
    assert!(play(&[shown(&wire)]).starts_with("-- ("));
}

#[test]
fn prepared_results_have_headings_and_types() {
    let sent = |write: &dyn Fn(&mut BytesMut)| {
        let mut wire = BytesMut::new();
        write(&mut wire);
        Moment::Sent { at_ms: 1, data: STANDARD.encode(&wire) }
    };
    let execute = |wire: &mut BytesMut| {
        let none = std::iter::empty::<Option<&[u8]>>();
        encode::bind(wire, b"", b"s1", [].into_iter(), none, [Format::Binary].into_iter()).unwrap();
        encode::execute(wire, b"", 0).unwrap();
        encode::sync(wire);
    };
    let prepare = sent(&|wire| {
        encode::parse(wire, b"s1", b"select id from patients", &[]).unwrap();
        encode::describe(wire, Target::Statement(b"s1")).unwrap();
        encode::sync(wire);
    });
    let mut prepared = BytesMut::new();
    encode::parse_complete(&mut prepared);
    encode::parameter_description(&mut prepared, &[]).unwrap();
    encode::row_description(&mut prepared, [column("id", 23, Format::Text)].into_iter()).unwrap();
    encode::ready_for_query(&mut prepared, TransactionStatus::Idle);
    let ran = |rows: &[[u8; 4]]| {
        let mut wire = BytesMut::new();
        encode::bind_complete(&mut wire);
        for value in rows {
            row(&mut wire, &[Some(value)]);
        }
        encode::command_complete(&mut wire, &format!("SELECT {}", rows.len())).unwrap();
        encode::ready_for_query(&mut wire, TransactionStatus::Idle);
        wire
    };
    let mut failed = BytesMut::new();
    encode::error_response(&mut failed, &[(b'S', "ERROR"), (b'C', "42501"), (b'M', "no")]).unwrap();
    encode::ready_for_query(&mut failed, TransactionStatus::Idle);
    // As the digits of a text, these four bytes would read 1234.
    let moments = [
        prepare,
        shown(&prepared),
        sent(&execute),
        shown(&ran(&[*b"1234"])),
        sent(&execute),
        shown(&failed),
        sent(&execute),
        shown(&ran(&[])),
    ];
    let expected = "    id
-----------
 825373492
(1 row)

ERROR:  42501: no
 id
----
(0 rows)

";
    assert_eq!(play(&moments), expected);
}
