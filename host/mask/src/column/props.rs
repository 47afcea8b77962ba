//! Whatever bytes arrive: no panic, no leak, and NULL leaves the buffer alone.

use proptest::prelude::*;

use super::tests::Bench;
use super::*;

const OIDS: &[u32] = &[
    16, 17, 18, 19, 20, 21, 23, 25, 114, 142, 600, 700, 701, 869, 1007, 1009, 1014, 1042, 1043, 1082, 1114, 1182, 1184,
    1186, 1231, 1700, 2950, 2951, 3802, 3807, 3904, 16_384,
];

fn masker() -> impl Strategy<Value = Masker> {
    prop_oneof![
        Just(Masker::Null),
        Just(Masker::Redact),
        Just(Masker::Token { class: "c".into() }),
        Just(Masker::Fpe { class: "c".into() }),
        (0_u8..=255).prop_map(|keep| Masker::Partial { keep }),
        Just(Masker::Year),
        Just(Masker::Age90),
        Just(Masker::Zip3),
        (0_u32..=u32::MAX).prop_map(|width| Masker::Range { width }),
        (0_u16..=u16::MAX).prop_map(|days| Masker::Shift { class: "c".into(), days }),
        Just(Masker::Scan),
    ]
}

fn column() -> impl Strategy<Value = ColumnType> {
    let format = prop_oneof![Just(Format::Text), Just(Format::Binary)];
    let typmod = prop_oneof![Just(-1), 0..40_i32, Just(i32::MIN), Just(i32::MAX)];
    (prop::sample::select(OIDS), format, typmod)
        .prop_map(|(oid, format, typmod)| ColumnType::new(oid, format).with_typmod(typmod))
}

/// Bytes, and texts near what the maskers read.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        r#"[0-9 :.+TZ-]{0,30}"#.prop_map(String::into_bytes),
        r#"[\[\]{}",\\a-z0-9=:]{0,40}"#.prop_map(String::into_bytes),
        r"\PC{0,40}".prop_map(String::into_bytes),
    ]
}

/// Whether four digits or letters in a row of one are in the other.
fn shares_a_run(one: &[u8], two: &[u8]) -> bool {
    one.windows(4).filter(|run| run.iter().all(u8::is_ascii_alphanumeric)).any(|run| two.windows(4).any(|at| at == run))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(masker in masker(), column in column(), value in value()) {
        thread_local!(static BENCH: Bench = Bench::new());
        BENCH.with(|bench| {
            let mut out = b"row".to_vec();
            if bench.mask(&masker, column).apply(Some(&value), &mut out) == Masked::Null {
                assert_eq!(out, b"row");
            }
            assert!(out.starts_with(b"row"));
        });
    }

    #[test]
    fn what_is_hidden_stays_hidden(column in column(), value in "[0-9A-Z]{4,60}") {
        thread_local!(static BENCH: Bench = Bench::new());
        for masker in [Masker::Null, Masker::Redact, Masker::Token { class: "c".into() }] {
            let mut out = Vec::new();
            let mask = BENCH.with(|bench| bench.mask(&masker, column));
            if mask.apply(Some(value.as_bytes()), &mut out) == Masked::Value && ![20, 2950].contains(&column.oid) {
                prop_assert!(!shares_a_run(value.as_bytes(), &out));
            }
        }
    }
}
