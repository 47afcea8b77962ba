//! Values cross into a policy's own code and back as PostgreSQL itself writes them.

use grille_mask::Crossing;

use crate::TYPES;
use crate::server::Server;

/// The types that cross, with the functions by which the server writes them in binary; the rarer values do not all.
const CROSS: &[(&str, &str)] = &[
    ("text", "textsend"),
    ("varchar", "varcharsend"),
    ("bpchar", "bpcharsend"),
    ("name", "namesend"),
    ("\"char\"", "charsend"),
    ("int2", "int2send"),
    ("int4", "int4send"),
    ("int8", "int8send"),
    ("float4", "float4send"),
    ("float8", "float8send"),
    ("numeric", "numeric_send"),
    ("numeric(10,2)", "numeric_send"),
    ("bool", "boolsend"),
    ("date", "date_send"),
    ("timestamp", "timestamp_send"),
    ("timestamptz", "timestamptz_send"),
    ("uuid", "uuid_send"),
    ("json", "json_send"),
    ("jsonb", "jsonb_send"),
    ("bytea", "byteasend"),
];

/// Values with a text that is none of an ordinary one: they do not cross, and NULL stands for them.
const STAY: [&str; 4] = ["infinity", "-infinity", "BC", "5874897-"];

const MORE: &[(&str, &str)] = &[
    ("float8", "0.1"),
    ("float8", "123456789012345"),
    ("float8", "1234567890123456"),
    ("float8", "0.00001234"),
    ("float8", "0.000123"),
    ("float8", "-1e-300"),
    ("float4", "16777216"),
    ("float4", "123456"),
    ("float4", "0.3"),
    ("numeric", "0.00000001"),
    ("numeric", "10000"),
    ("numeric", "10000.00010000"),
    ("numeric", "123456789012345678901234567890.123456789"),
    ("numeric", "-99990000.5"),
    ("numeric", "0.000"),
    ("bool", "f"),
];

#[test]
fn every_value_crosses_as_the_server_writes_it() {
    let server = Server::start();
    let ordinary = TYPES.iter().flat_map(|(ty, oid, _, values)| values.iter().map(move |value| (*ty, *oid, *value)));
    let more = MORE.iter().map(|(ty, value)| {
        let oid = TYPES.iter().find(|known| known.0 == *ty).expect("a type of the table").1;
        (*ty, oid, *value)
    });
    let mut crossed = 0;
    for (ty, oid, value) in ordinary.chain(more) {
        let Some((_, send)) = CROSS.iter().find(|(known, _)| *known == ty) else {
            assert!(Crossing::of(oid).is_none() || ty.starts_with("varchar(") || ty.starts_with("char("), "{ty}");
            continue;
        };
        let told = server.ask(&format!(
            "SET TimeZone = 'UTC'; SELECT 'b' || encode({send}($v${value}$v$::{ty}), 'hex') || ' t' || \
             encode(convert_to(format('%s', $v${value}$v$::{ty}), 'UTF8'), 'hex')"
        ));
        let (binary, text) = told.lines().last().and_then(|line| line.split_once(" t")).expect("two values");
        let (binary, text) = (bytes(binary.strip_prefix('b').expect("a mark")), bytes(text));
        let crossing = Crossing::of(oid).expect("a type that crosses");
        let (mut to_text, mut to_binary) = (Vec::new(), Vec::new());
        let done = crossing.to_text(&binary, &mut to_text).and_then(|()| crossing.to_binary(&text, &mut to_binary));
        if done.is_none() {
            assert!(STAY.iter().any(|word| value.contains(word)), "{ty} {value} does not cross");
            continue;
        }
        assert_eq!(String::from_utf8_lossy(&to_text), String::from_utf8_lossy(&text), "{ty} {value}");
        assert_eq!(to_binary, binary, "{ty} {value}");
        crossed += 1;
    }
    assert!(crossed > 60, "{crossed} values crossed");
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect()
}
