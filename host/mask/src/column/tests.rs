use std::sync::Arc;

use grille_policy::{Masker, Treatment};

use super::*;

pub(crate) struct Bench {
    key: MaskKey,
    detector: Arc<Detector>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { key: MaskKey::new([7; 32]), detector: Arc::new(Detector::new().unwrap()) }
    }

    pub(crate) fn mask(&self, masker: &Masker, column: ColumnType) -> ColumnMask {
        let context = Context { key: &self.key, detector: &self.detector, year: 2026 };
        ColumnMask::compile(&Treatment::Mask(masker.clone()), column, &context)
    }

    /// The masked value in text format; none is NULL.
    fn text(&self, masker: &Masker, oid: u32, value: &str) -> Option<String> {
        self.typed(masker, ColumnType::new(oid, Format::Text), value)
    }

    fn typed(&self, masker: &Masker, column: ColumnType, value: &str) -> Option<String> {
        let mut out = b"before".to_vec();
        match self.mask(masker, column).apply(Some(value.as_bytes()), &mut out) {
            Masked::Null => {
                assert_eq!(out, b"before", "nothing is written for NULL");
                None
            }
            Masked::Value => Some(String::from_utf8(out.split_off(6)).unwrap()),
        }
    }

    fn binary(&self, masker: &Masker, oid: u32, value: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self.mask(masker, ColumnType::new(oid, Format::Binary)).apply(Some(value), &mut out) {
            Masked::Null => None,
            Masked::Value => Some(out),
        }
    }
}

fn token(class: &str) -> Masker {
    Masker::Token { class: class.into() }
}

fn fpe(class: &str) -> Masker {
    Masker::Fpe { class: class.into() }
}

const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
const BPCHAR: u32 = 1042;
const INT4: u32 = 23;
const INT8: u32 = 20;
const NUMERIC: u32 = 1700;
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;

#[test]
fn masks_text_forms() {
    let bench = Bench::new();
    let partial = Masker::Partial { keep: 4 };
    let range = Masker::Range { width: 10 };
    for (masker, oid, value, masked) in [
        (&Masker::Null, TEXT, "abc", None),
        (&Masker::Redact, TEXT, "abc", Some("[redacted]")),
        (&Masker::Redact, VARCHAR, "", Some("[redacted]")),
        (&Masker::Redact, INT4, "17", None),
        (&Masker::Redact, JSONB, "{}", None),
        (&Masker::Redact, 1009, "{a,b}", None),
        (&Masker::Redact, 18, "r", Some("*")),
        (&Masker::Redact, 600, "(1,2)", None),
        (&partial, TEXT, "4111111111111111", Some("*****1111")),
        (&partial, TEXT, "1234567", Some("*****")),
        (&partial, TEXT, "Zoë Müller-Ö", Some("*****er-Ö")),
        (&Masker::Partial { keep: 255 }, TEXT, "12345678", Some("*****5678")),
        (&partial, INT8, "4111111111111111", None),
        (&Masker::Year, DATE, "1987-03-04", Some("1987-01-01")),
        (&Masker::Year, DATE, "1936-12-31", None),
        (&Masker::Year, DATE, "1937-01-01", Some("1937-01-01")),
        (&Masker::Year, DATE, "03/04/1987", None),
        (&Masker::Year, DATE, "infinity", None),
        (&Masker::Year, DATE, "0044-03-15 BC", None),
        (&Masker::Year, TIMESTAMP, "2024-02-29 10:11:12.5", Some("2024-01-01 00:00:00")),
        (&Masker::Year, TIMESTAMPTZ, "2023-12-31 23:30:00-05", Some("2023-01-01 00:00:00+00")),
        (&Masker::Year, TEXT, "March 4, 1987", Some("1987")),
        (&Masker::Year, TEXT, "1936-11-21", Some("90+")),
        (&Masker::Year, TEXT, "soon", Some("[redacted]")),
        (&Masker::Year, INT4, "1950", Some("1950")),
        (&Masker::Year, INT4, "1936", None),
        (&Masker::Year, INT4, "19870304", None),
        (&Masker::Age90, INT4, "89", Some("89")),
        (&Masker::Age90, INT4, "104", Some("90")),
        (&Masker::Age90, INT4, "-1", None),
        (&Masker::Age90, NUMERIC, "45.75", Some("45")),
        (&Masker::Age90, 701, "91.2", Some("90")),
        (&Masker::Age90, TEXT, "91", Some("90+")),
        (&Masker::Age90, TEXT, "45 years", Some("45 years")),
        (&Masker::Age90, TEXT, "45 in March", Some("[redacted]")),
        (&Masker::Zip3, TEXT, "02139-4307", Some("021")),
        (&Masker::Zip3, TEXT, "89374", Some("000")),
        (&Masker::Zip3, TEXT, "K1A 0B1", Some("[redacted]")),
        (&Masker::Zip3, INT4, "2139", Some("21")),
        (&Masker::Zip3, INT4, "3691", Some("0")),
        (&range, INT4, "47", Some("40")),
        (&range, INT4, "-3", Some("-10")),
        (&range, NUMERIC, "-0.5", Some("-10")),
        (&range, NUMERIC, "NaN", None),
        (&range, 701, "1e300", None),
        (&range, TEXT, "47", Some("40")),
        (&range, TEXT, "many", Some("[redacted]")),
        (&range, 1007, "{1,47,NULL}", Some("{\"0\",\"40\",NULL}")),
        (&partial, 1009, r#"{{"a\"b","12345678,x"},{NULL,"NULL"}}"#, Some(r#"{{"*****","*****78,x"},{NULL,"*****"}}"#)),
        (&partial, 1009, "[0:1]={ab,cd}", Some(r#"[0:1]={"*****","*****"}"#)),
        (&partial, 1009, "{}", Some("{}")),
        (&partial, 1009, "{a", None),
        (&Masker::Scan, TEXT, "ssn 123-45-6789 ok", Some("ssn [SSN] ok")),
        (&Masker::Scan, JSONB, r#"{"a": "x 123-45-6789", "n": 1}"#, Some(r#"{"a": "x [SSN]", "n": 1}"#)),
        (&Masker::Scan, JSONB, r#"{"a": "#, None),
        (&Masker::Scan, INT4, "1", None),
        (&token("c"), INT4, "1", None),
        (&token("c"), DATE, "1987-03-04", None),
        (&fpe("c"), TEXT, "12345", Some("[redacted]")),
        (&fpe("c"), TEXT, "John Smith 1234567", Some("[redacted]")),
        (&fpe("c"), INT4, "123456", None),
        (&Masker::Shift { class: "c".into(), days: 0 }, DATE, "2020-01-01", None),
    ] {
        assert_eq!(bench.text(masker, oid, value).as_deref(), masked, "{masker} of {value} as {oid}");
    }
}

#[test]
fn keeps_null_and_what_is_kept() {
    let bench = Bench::new();
    let context = Context { key: &bench.key, detector: &bench.detector, year: 2026 };
    let column = ColumnType::new(TEXT, Format::Text);
    let mut out = Vec::new();
    assert_eq!(bench.mask(&Masker::Redact, column).apply(None, &mut out), Masked::Null);
    let keep = ColumnMask::compile(&Treatment::Keep, column, &context);
    assert_eq!(keep.apply(Some(b"abc"), &mut out), Masked::Value);
    assert_eq!(out, b"abc");
    let transform = ColumnMask::compile(&Treatment::Transform("phi".into()), column, &context);
    assert_eq!(transform.apply(Some(b"abc"), &mut out), Masked::Value);
    assert_eq!(out, b"abc[redacted]");
}

#[test]
fn stays_within_the_width_of_the_column() {
    let bench = Bench::new();
    let char12 = ColumnType::new(BPCHAR, Format::Text).with_typmod(16);
    let varchar5 = ColumnType::new(VARCHAR, Format::Text).with_typmod(9);
    for (masker, column, value, masked) in [
        (&Masker::Redact, char12, "abc         ", "[redacted]  "),
        (&Masker::Redact, varchar5, "abc", "[reda"),
        (&token("c"), varchar5, "abc", "[reda"),
        (&Masker::Partial { keep: 4 }, char12, "12345678    ", "*****5678   "),
        (&Masker::Partial { keep: 4 }, varchar5, "12345678", "*****"),
        (&Masker::Year, char12, "soon        ", "[redacted]  "),
        (&Masker::Zip3, ColumnType::new(BPCHAR, Format::Text), "02139", "021  "),
    ] {
        assert_eq!(bench.typed(masker, column, value).as_deref(), Some(masked), "{masker} of {value}");
    }
}

#[test]
fn tokens_join_within_a_class_and_nowhere_else() {
    let bench = Bench::new();
    let one = bench.text(&token("ssn"), TEXT, "123-45-6789").unwrap();
    assert_eq!(one.len(), 20);
    assert!(one.starts_with("tok_"));
    assert_eq!(bench.text(&token("ssn"), VARCHAR, "123-45-6789").as_ref(), Some(&one));
    assert_eq!(bench.text(&token("ssn"), BPCHAR, "123-45-6789   ").as_deref().map(str::trim_end), Some(&*one));
    assert_eq!(bench.binary(&token("ssn"), TEXT, b"123-45-6789").as_deref(), Some(one.as_bytes()));
    assert_ne!(bench.text(&token("mrn"), TEXT, "123-45-6789").as_ref(), Some(&one));
    assert_ne!(bench.text(&token("ssn"), TEXT, "123-45-6780").as_ref(), Some(&one));

    let big: i64 = bench.text(&token("ssn"), INT8, "42").unwrap().parse().unwrap();
    assert!(big > 0);
    assert_eq!(bench.binary(&token("ssn"), INT8, &42_i64.to_be_bytes()).unwrap(), big.to_be_bytes());

    let uuid = bench.text(&token("ssn"), UUID, "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11").unwrap();
    assert_eq!(uuid.as_bytes()[14], b'8');
    let bytes = 0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11_u128.to_be_bytes();
    let binary = bench.binary(&token("ssn"), UUID, &bytes).unwrap();
    assert_eq!(uuid.replace('-', ""), format!("{:032x}", u128::from_be_bytes(binary.try_into().unwrap())));
}

#[test]
fn encrypts_digits_and_keeps_punctuation() {
    let bench = Bench::new();
    let masked = bench.text(&fpe("ssn"), TEXT, "123-45-6789").unwrap();
    assert_ne!(masked, "123-45-6789");
    assert_eq!((masked.len(), masked.as_bytes()[3], masked.as_bytes()[6]), (11, b'-', b'-'));
    assert_ne!(bench.text(&fpe("other"), TEXT, "123-45-6789").unwrap(), masked);
    assert!(bench.text(&fpe("ssn"), TEXT, "M1234567").unwrap().starts_with('M'));
    for value in ["2147483647", "1000000", "-1000000"] {
        let masked = bench.text(&fpe("id"), INT4, value).unwrap();
        assert_eq!(masked.len(), value.len());
        masked.parse::<i32>().unwrap();
    }
    assert_eq!(bench.text(&fpe("id"), INT4, "-2147483648"), None);
}

#[test]
fn shifts_equal_days_by_the_same_distance() {
    let bench = Bench::new();
    let shift = Masker::Shift { class: "visit".into(), days: 30 };
    for day in 1..=28 {
        let value = format!("2020-02-{day:02}");
        let date = bench.text(&shift, DATE, &value).unwrap();
        assert_ne!(date, value);
        assert_eq!(bench.text(&shift, TEXT, &value).unwrap(), date);
        let stamp = bench.text(&shift, TIMESTAMPTZ, &format!("{value} 10:11:12.25+01")).unwrap();
        assert_eq!(stamp, format!("{date} 09:11:12.25+00"));
        let stamp = bench.text(&shift, TIMESTAMP, &format!("{value} 10:11:12")).unwrap();
        assert_eq!(stamp, format!("{date} 10:11:12"));
    }
    assert_eq!(bench.text(&shift, DATE, "infinity"), None);
}

#[test]
fn masks_binary_forms() {
    let bench = Bench::new();
    let range = Masker::Range { width: 10 };
    let day = |days: i32| days.to_be_bytes().to_vec();
    for (masker, oid, value, masked) in [
        (&Masker::Year, DATE, day(-4686), Some(day(-4748))),
        (&Masker::Year, DATE, day(i32::MAX), None),
        (&Masker::Year, DATE, vec![0; 3], None),
        (&Masker::Age90, INT4, 91_i32.to_be_bytes().to_vec(), Some(90_i32.to_be_bytes().to_vec())),
        (&range, 21, 47_i16.to_be_bytes().to_vec(), Some(40_i16.to_be_bytes().to_vec())),
        (&range, 21, i16::MIN.to_be_bytes().to_vec(), None),
        (&range, 700, 47.5_f32.to_be_bytes().to_vec(), Some(40_f32.to_be_bytes().to_vec())),
        // 12345.67 is the groups 1, 2345 and 6700
        (
            &range,
            NUMERIC,
            vec![0, 3, 0, 1, 0, 0, 0, 2, 0, 1, 0x09, 0x29, 0x1a, 0x2c],
            Some(vec![0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0x09, 0x24]),
        ),
        // NaN
        (&range, NUMERIC, vec![0, 0, 0, 0, 0xc0, 0, 0, 0], None),
        (&range, NUMERIC, vec![0, 0, 0, 0, 0, 0, 0, 0], Some(vec![0, 0, 0, 0, 0, 0, 0, 0])),
        (&Masker::Scan, JSONB, b"\x01\"123-45-6789\"".to_vec(), Some(b"\x01\"[SSN]\"".to_vec())),
        (&Masker::Scan, JSONB, b"\x02\"123-45-6789\"".to_vec(), None),
    ] {
        assert_eq!(bench.binary(masker, oid, &value), masked, "{masker} of {value:?} as {oid}");
    }
}

#[test]
fn masks_binary_arrays_by_element() {
    let bench = Bench::new();
    let words = |words: &[i32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let range = Masker::Range { width: 10 };
    let value = words(&[1, 1, 23, 3, 1, 4, 47, -1, 4, 5]);
    assert_eq!(bench.binary(&range, 1007, &value).unwrap(), words(&[1, 1, 23, 3, 1, 4, 40, -1, 4, 0]));
    let year = words(&[1, 0, 1082, 1, 1, 4, i32::MAX]);
    assert_eq!(bench.binary(&Masker::Year, 1182, &year).unwrap(), words(&[1, 1, 1082, 1, 1, -1]));
    for broken in [
        words(&[1, 0, 25, 1, 1, 4, 47]),
        words(&[1, 0, 23, 2, 1, 4, 47]),
        words(&[1, 0, 23, 1, 1, 4]),
        words(&[1, 0, 23, 1, 1, 4, 47, 0]),
        words(&[7, 0, 23]),
        words(&[-1]),
    ] {
        assert_eq!(bench.binary(&range, 1007, &broken), None, "{broken:?}");
    }
}
