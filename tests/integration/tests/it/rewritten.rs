//! Columns that a policy's own code rewrites: its text goes back in the format that the caller asked for, and only as a
//! value of the column's type.

use std::path::Path;

use grille_pg_codec::Format;
use grille_pg_codec::backend::DataRow;
use grille_test_support::{READER, Raw, World};

use crate::script::Script;

/// A released component that writes every column named `shout` in capitals.
fn shouting() -> World {
    let hello = Path::new(env!("CARGO_MANIFEST_DIR")).join("../museum/0.1.0/hello-rust.wasm");
    World::with(&format!(
        "[policies.hello]\nplugin = {hello:?}\ntargets = [\"work\"]\nallow_unsigned = true\n\
         settings = {{ greeting = \"hello\" }}\n"
    ))
}

/// The first values of the rows, as bytes.
fn values(session: &mut Raw, sql: &str, format: Format) -> Vec<Option<Vec<u8>>> {
    let script = Script::default().parse("", sql).bind("", "", &[], format).execute("", 0).sync();
    let replies = script.play(session).unwrap();
    let error = replies.iter().find_map(|reply| reply.text());
    assert_eq!(error, None, "{sql}");
    let rows = replies.iter().filter(|reply| reply.tag == b'D');
    let first = |body: &[u8]| DataRow::from_body(body).unwrap().values().next().unwrap().unwrap().map(<[u8]>::to_vec);
    rows.map(|row| first(&row.body)).collect()
}

#[test]
fn what_a_policy_writes_comes_in_the_callers_format_or_not_at_all() {
    let world = shouting();
    let mut session = world.session(READER);
    // What is asked for, and what the server would have to be asked for to say the same in capitals; none is NULL.
    let cases = [
        ("'abc'::text", Some("'ABC'::text")),
        ("'Zoë'::varchar(9)", Some("'ZOë'::varchar(9)")),
        ("7::int2", Some("7::int2")),
        ("-7::int4", Some("-7::int4")),
        ("7000000000::int8", Some("7000000000::int8")),
        ("1.5::float4", Some("1.5::float4")),
        ("1.5e300::float8", Some("1.5e300::float8")),
        ("-12345678901234567890.0123456789::numeric", Some("-12345678901234567890.0123456789::numeric")),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", Some("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid")),
        ("'1987-03-04 05:06:07.89'::timestamp", Some("'1987-03-04 05:06:07.89'::timestamp")),
        ("true", Some("true")),
        ("'{\"a\": 1}'::jsonb", Some("'{\"A\": 1}'::jsonb")),
        ("null::int4", None),
        // In capitals no value of its type any more.
        ("'{\"a\": true}'::jsonb", None),
        ("'\\xabcd'::bytea", None),
    ];
    for (asked, expected) in cases {
        for format in [Format::Text, Format::Binary] {
            let got = values(&mut session, &format!("SELECT {asked} AS shout"), format);
            let Some(expected) = expected else {
                assert_eq!(got, [None], "{asked}, {format:?}");
                continue;
            };
            let said = values(&mut world.direct(), &format!("SELECT {expected}"), format);
            let said: Vec<_> =
                said.into_iter().map(|value| value.map(|value| in_text(&value, format, asked))).collect();
            let got: Vec<_> = got.into_iter().map(|value| value.map(|value| in_text(&value, format, asked))).collect();
            assert_eq!(got, said, "{asked}, {format:?}");
        }
    }
    // A type that does not cross in binary is NULL there, and text is text.
    assert_eq!(values(&mut session, "SELECT '{a}'::text[] AS shout", Format::Binary), [None]);
    assert_eq!(values(&mut session, "SELECT '{a}'::text[] AS shout", Format::Text), [Some(b"{A}".to_vec())]);
}

/// Texts of uuids and booleans keep the capitals, which mean the same.
fn in_text(value: &[u8], format: Format, asked: &str) -> Vec<u8> {
    let folds = format == Format::Text && (asked.ends_with("uuid") || asked == "true" || asked.contains("e300"));
    if folds { value.to_ascii_lowercase() } else { value.to_vec() }
}

#[test]
fn all_rows_of_a_large_result_are_rewritten() {
    let world = shouting();
    let mut session = world.session(READER);
    for format in [Format::Text, Format::Binary] {
        let got = values(&mut session, "SELECT name AS shout FROM numbers ORDER BY id", format);
        assert_eq!(got.len(), 1000);
        for value in got.into_iter().flatten() {
            let text = String::from_utf8(value).unwrap();
            assert!(text.starts_with("NUMBER "), "{text}");
        }
    }
}
