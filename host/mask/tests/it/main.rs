//! The maskers against a real PostgreSQL: whatever they write must be read back as the column's type.
#![forbid(unsafe_code)]

mod crossing;
mod server;

use std::sync::Arc;

use grille_mask::detect::Detector;
use grille_mask::{
    ColumnMask, ColumnType, Context, CopyFormat, CopyMasker, CsvOptions, Format, MaskKey, Masked, TextOptions,
};
use grille_policy::{Masker, Treatment};
use server::Server;

/// Type, its OID, its array's OID, and values with what is odd about them.
const TYPES: &[(&str, u32, u32, &[&str])] = &[
    (
        "text",
        25,
        1009,
        &["", "abc", "Zoë O'Hara, \"x\"\t\\n", "123-45-6789", "1987-03-04", "93", "02139", "NULL", "{a}"],
    ),
    ("varchar", 1043, 1015, &["", "12345678 y", "call (841) 589-6562\nnow"]),
    ("varchar(12)", 1043, 1015, &["", "12345678 y", "a\tb\\c"]),
    ("bpchar", 1042, 1014, &["ab  ", "123-45-6789  "]),
    ("char(24)", 1042, 1014, &["", "123-45-6789", "Zoë"]),
    ("name", 19, 1003, &["relname", "123456789012"]),
    ("\"char\"", 18, 1002, &["r"]),
    ("int2", 21, 1005, &["0", "-32768", "32767", "91"]),
    ("int4", 23, 1007, &["0", "-2147483648", "2147483647", "1950", "123456789", "91"]),
    ("int8", 20, 1016, &["0", "-9223372036854775808", "9223372036854775807", "1234567890"]),
    ("float4", 700, 1021, &["0", "-1.5", "1e30", "NaN", "Infinity", "91.5"]),
    ("float8", 701, 1022, &["0", "-1.5", "1e300", "NaN", "-Infinity", "91.5"]),
    ("numeric", 1700, 1231, &["0", "-0.001", "12345.678", "9999.99", "1e20", "1e40", "NaN", "Infinity", "91"]),
    ("numeric(10,2)", 1700, 1231, &["12345.67", "-1.10"]),
    ("bool", 16, 1000, &["t"]),
    ("date", 1082, 1182, &["1987-03-04", "1930-01-01", "infinity", "0044-03-15 BC", "5874897-01-01", "9999-12-31"]),
    (
        "timestamp",
        1114,
        1115,
        &["1987-03-04 05:06:07.891", "-infinity", "0044-03-15 00:00:00 BC", "1999-12-31 23:59:59.999999"],
    ),
    (
        "timestamptz",
        1184,
        1185,
        &["1987-03-04 05:06:07.891+00", "infinity", "1890-01-01 00:00:00+00", "2020-06-01 12:00:00+00"],
    ),
    ("time", 1083, 1183, &["05:06:07"]),
    ("timetz", 1266, 1270, &["05:06:07+02"]),
    ("interval", 1186, 1187, &["91 years 2 days"]),
    ("uuid", 2950, 2951, &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("inet", 869, 1041, &["10.1.2.3", "2001:db8::1/64"]),
    ("cidr", 650, 651, &["10.1.0.0/16"]),
    ("macaddr", 829, 1040, &["08:00:2b:01:02:03"]),
    ("json", 114, 199, &["{}", r#"{"ssn": "123-45-6789", "n": 12, "in": "{\"a\": \"123-45-6789\"}"}"#]),
    ("jsonb", 3802, 3807, &["null", r#"{"é": "123-45-6789\n\"x\"", "n": [12, true]}"#]),
    ("bytea", 17, 1001, &["\\xdeadbeef"]),
    ("xml", 142, 143, &["<a>x</a>"]),
    ("money", 790, 791, &["12.50"]),
    ("point", 600, 1017, &["(1,2)"]),
    ("int4range", 3904, 3905, &["[1,5)"]),
];

fn maskers() -> Vec<Masker> {
    vec![
        Masker::Null,
        Masker::Redact,
        Masker::Token { class: "c".into() },
        Masker::Fpe { class: "c".into() },
        Masker::Partial { keep: 4 },
        Masker::Year,
        Masker::Age90,
        Masker::Zip3,
        Masker::Range { width: 10 },
        Masker::Shift { class: "c".into(), days: 30 },
        Masker::Scan,
    ]
}

struct Fixture {
    key: MaskKey,
    detector: Arc<Detector>,
    /// Column names, SQL types, and OIDs with modifiers as RowDescription gives them.
    columns: Vec<(String, String, u32, i32)>,
}

impl Fixture {
    fn new() -> Self {
        let mut columns = Vec::new();
        for (index, (name, oid, array, _)) in TYPES.iter().enumerate() {
            let length = |text: &str| text.parse::<i32>().expect("the length of a type") + 4;
            let typmod = match name.split_once('(') {
                Some(("varchar" | "char", length_text)) => length(length_text.trim_end_matches(')')),
                _ => -1,
            };
            columns.push((format!("c{index}"), (*name).to_owned(), *oid, typmod));
            columns.push((format!("a{index}"), format!("{name}[]"), *array, typmod));
        }
        Self { key: MaskKey::new([3; 32]), detector: Arc::new(Detector::new().expect("the detectors")), columns }
    }

    fn table(&self, name: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, ty, ..)| format!("{name} {ty}")).collect();
        format!("CREATE TABLE {name} (row int, {});", columns.join(", "))
    }

    /// One row per value, each also alone, twice and with a NULL in an array; a last row of nothing but NULL.
    fn rows(&self) -> String {
        let mut sql = String::new();
        let deepest = TYPES.iter().map(|(.., values)| values.len()).max().unwrap_or(0);
        for row in 0..=deepest {
            let cells: Vec<String> = TYPES
                .iter()
                .flat_map(|(ty, _, _, values)| match values.get(row) {
                    Some(value) => {
                        let literal = format!("$v${value}$v$::{ty}");
                        [literal.clone(), format!("ARRAY[{literal}, NULL, {literal}]::{ty}[]")]
                    }
                    None => ["NULL".to_owned(), format!("ARRAY[]::{ty}[]")],
                })
                .collect();
            sql.push_str(&format!("INSERT INTO origin VALUES ({row}, {});", cells.join(", ")));
        }
        sql
    }

    fn masks(&self, masker: &Masker, format: Format) -> Vec<ColumnMask> {
        let context = Context { key: &self.key, detector: &self.detector, year: 2026 };
        let compile = |&(_, _, oid, typmod): &(String, String, u32, i32)| {
            let column = ColumnType::new(oid, format).with_typmod(typmod);
            ColumnMask::compile(&Treatment::Mask(masker.clone()), column, &context)
        };
        std::iter::once(ColumnMask::keep()).chain(self.columns.iter().map(compile)).collect()
    }
}

#[test]
fn every_masker_keeps_every_type_valid_in_every_format() {
    let server = Server::start();
    let fixture = Fixture::new();
    server.run(&format!("{}{}", fixture.table("origin"), fixture.rows()));
    for masker in maskers() {
        for (table, options, format) in [
            ("masked_text", "format text", CopyFormat::Text(TextOptions::default())),
            ("masked_csv", "format csv", CopyFormat::Csv(CsvOptions::default())),
            ("masked_binary", "format binary", CopyFormat::Binary),
        ] {
            let values = if format == CopyFormat::Binary { Format::Binary } else { Format::Text };
            let origin = server.copy_out(&format!("COPY (SELECT * FROM origin ORDER BY row) TO STDOUT ({options})"));
            let mut copy = CopyMasker::new(fixture.masks(&masker, values), format);
            let mut masked = Vec::new();
            copy.feed(&origin, &mut masked).expect("the stream is PostgreSQL's own");
            copy.finish().expect("and it is whole");
            server.run(&format!("DROP TABLE IF EXISTS {table}; {}", fixture.table(table)));
            server.copy_in(&format!("COPY {table} FROM STDIN ({options})"), &masked);
        }
        let rows = server.ask("SELECT count(*) FROM masked_binary");
        assert_eq!(rows, server.ask("SELECT count(*) FROM origin"));
        // Whatever the format, the same value.
        for (one, two) in [("masked_text", "masked_csv"), ("masked_text", "masked_binary")] {
            let compare = |(column, ty, ..): &(String, String, u32, i32)| {
                format!(
                    "SELECT format('%s, row %s: %s, %s', '{ty}', row, one.{column}::text, two.{column}::text) \
                     FROM {one} one JOIN {two} two USING (row) \
                     WHERE one.{column}::text IS DISTINCT FROM two.{column}::text"
                )
            };
            let differing = fixture.columns.iter().map(compare).collect::<Vec<_>>().join(" UNION ALL ");
            assert_eq!(server.ask(&differing), "", "{masker}: {one} and {two} differ");
        }
    }
}

#[test]
fn masked_texts_cast_to_their_type() {
    let server = Server::start();
    let fixture = Fixture::new();
    for masker in maskers() {
        let masks = fixture.masks(&masker, Format::Text);
        let mut sql = String::new();
        let columns = fixture.columns.iter().zip(masks.iter().skip(1)).step_by(2);
        for (((_, ty, ..), mask), (.., values)) in columns.zip(TYPES) {
            for value in *values {
                let mut out = Vec::new();
                if mask.apply(Some(value.as_bytes()), &mut out) == Masked::Value {
                    let masked = String::from_utf8(out).expect("masked UTF-8 is UTF-8");
                    sql.push_str(&format!("SELECT $v${masked}$v$::{ty};"));
                }
            }
        }
        server.run(&sql);
    }
}
