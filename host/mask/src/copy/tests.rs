use std::sync::Arc;

use grille_policy::{Masker, Treatment};

use super::*;
use crate::{ColumnType, Context, Format, MaskKey, detect::Detector};

fn columns(maskers: &[Option<Masker>], format: Format) -> Vec<ColumnMask> {
    thread_local!(static DETECTOR: Arc<Detector> = Arc::new(Detector::new().unwrap()));
    let (key, detector) = (MaskKey::new([1; 32]), DETECTOR.with(Arc::clone));
    let context = Context { key: &key, detector: &detector, year: 2026 };
    let compile = |masker: &Option<Masker>| {
        let treatment = masker.clone().map_or(Treatment::Keep, Treatment::Mask);
        ColumnMask::compile(&treatment, ColumnType::new(25, format), &context)
    };
    maskers.iter().map(compile).collect()
}

/// Three columns: one kept, one partly shown, one NULL.
fn three(format: Format) -> Vec<ColumnMask> {
    columns(&[None, Some(Masker::Partial { keep: 4 }), Some(Masker::Null)], format)
}

/// Feeds in pieces of every size: the outcome must not depend on how the stream is cut.
fn check(masks: impl Fn() -> Vec<ColumnMask>, format: &CopyFormat, data: &[u8], masked: Result<&[u8], CopyError>) {
    for size in 1..=data.len().max(1) {
        let mut masker = CopyMasker::new(masks(), format.clone());
        let mut out = Vec::new();
        let mut fed = data.chunks(size).try_for_each(|piece| masker.feed(piece, &mut out));
        if fed.is_err() {
            assert_eq!(masker.feed(b"x", &mut out), Err(CopyError::Broken), "nothing passes after an error");
        } else {
            fed = masker.finish();
        }
        match masked {
            Ok(masked) => {
                assert_eq!(fed, Ok(()));
                assert_eq!(out.escape_ascii().to_string(), masked.escape_ascii().to_string(), "in pieces of {size}");
            }
            Err(error) => assert_eq!(fed, Err(error), "in pieces of {size}"),
        }
    }
}

#[test]
fn masks_the_text_format() {
    let plain = CopyFormat::Text(TextOptions::default());
    let other = CopyFormat::Text(TextOptions { delimiter: b'|', null: b"nil".to_vec(), header: true });
    let sure = CopyFormat::Text(TextOptions { null: b"nil\\.".to_vec(), ..TextOptions::default() });
    let of = |found| Err(CopyError::Fields { found, expected: 3 });
    for (format, data, masked) in [
        (&plain, b"".as_slice(), Ok(b"".as_slice())),
        (&plain, b"a\t12345678\tc\n", Ok(b"a\t*****5678\t\\N\n")),
        (&plain, b"\\N\t\\N\t\\N\n", Ok(b"\\N\t\\N\t\\N\n")),
        (&plain, b"a\\tb\\\\\tabcdef\\\\\\t\\n\\b\tc\n", Ok(b"a\\tb\\\\\t*****\\\\\\t\\n\\b\t\\N\n")),
        (&plain, b"\t\t\n\t\t\n", Ok(b"\t*****\t\\N\n\t*****\t\\N\n")),
        (&plain, b"a\tb\n", of(2)),
        (&plain, b"a\tb\tc\td\n", of(4)),
        (&plain, b"\n", of(1)),
        (&plain, b"a\tb\tc", Err(CopyError::Unfinished)),
        (&plain, b"a\tb\tc\\\n", Err(CopyError::Malformed("a backslash ends the row"))),
        (&plain, b"a\t\\101\tc\n", Err(CopyError::Malformed("a byte is written as a number"))),
        (&plain, b"a\tb\tc\r\n", Err(CopyError::Malformed("a carriage return stands unescaped"))),
        (&other, b"x|y|z\nnil|12345678|c\n", Ok(b"x|y|z\nnil|*****5678|nil\n")),
        // With such a marker it may as well be a value.
        (&other, b"x|y|z\n1|nil|c\n2|abcdef\\||c\n", Ok(b"x|y|z\n1|*****|nil\n2|*****|nil\n")),
        (&sure, b"a\tnil\\.\tc\n", Ok(b"a\tnil\\.\tnil\\.\n")),
        (&other, b"x|y\n", of(2)),
        (&other, b"", Err(CopyError::Unfinished)),
    ] {
        check(|| three(Format::Text), format, data, masked);
    }
}

#[test]
fn masks_the_csv_format() {
    let plain = CopyFormat::Csv(CsvOptions::default());
    let other = CopyFormat::Csv(CsvOptions {
        delimiter: b';',
        null: b"nil".to_vec(),
        header: true,
        quote: b'\'',
        escape: b'\\',
        force_quote: ForceQuote::Columns(vec![1]),
    });
    for (format, data, masked) in [
        (&plain, b"a,12345678,c\n".as_slice(), Ok(b"a,*****5678,\n".as_slice())),
        (&plain, b",,\n", Ok(b",,\n")),
        (&plain, b"\"\",\"\",\"\"\n", Ok(b"\"\",*****,\n")),
        (&plain, b"\"a,\n\"\"\",\"12345\"\"\n,\",c\n", Ok(b"\"a,\n\"\"\",\"*****5\"\"\n,\",\n")),
        (&plain, b"a,\"x\n", Err(CopyError::Unfinished)),
        (&plain, b"a,b\n", Err(CopyError::Fields { found: 2, expected: 3 })),
        (&plain, b"a,b,c\r\n", Err(CopyError::Malformed("a carriage return stands unquoted"))),
        (&other, b"x;y;z\n1;'ab\\'\\\\;c\n';nil\n", Ok(b"x;y;z\n1;'*****';nil\n")),
        (&other, b"x;y;z\nnil;'nil';nil\nnil;nil;'nil'\n", Ok(b"x;y;z\nnil;'*****';nil\nnil;nil;nil\n")),
    ] {
        check(|| three(Format::Text), format, data, masked);
    }
}

#[test]
fn quotes_what_would_read_as_something_else() {
    let check_one = |options: CsvOptions, data: &[u8], masked: &[u8]| {
        let masks = || columns(&[Some(Masker::Partial { keep: 8 })], Format::Text);
        check(masks, &CopyFormat::Csv(options), data, Ok(masked));
    };
    let null = CsvOptions { null: b"*****".to_vec(), ..CsvOptions::default() };
    check_one(null, b"abc\n*****\n", b"\"*****\"\n*****\n");
    check_one(CsvOptions { force_quote: ForceQuote::All, ..CsvOptions::default() }, b"\"abc\"\n\n", b"\"*****\"\n\n");
}

#[test]
fn masks_the_binary_format() {
    let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let join = |parts: &[&[u8]]| parts.concat();
    let row = b"\0\x03\0\0\0\x01a\0\0\0\x0812345678\0\0\0\x01c";
    let masked = b"\0\x03\0\0\0\x01a\0\0\0\x09*****5678\xff\xff\xff\xff";
    let check_binary = |data: Vec<u8>, masked: Result<Vec<u8>, CopyError>| {
        let masked = masked.as_deref().map_err(|&error| error);
        check(|| three(Format::Binary), &CopyFormat::Binary, &data, masked);
    };
    check_binary(join(&[head, row, row, b"\xff\xff"]), Ok(join(&[head, masked, masked, b"\xff\xff"])));
    check_binary(join(&[head, b"\xff\xff"]), Ok(join(&[head, b"\xff\xff"])));
    check_binary(join(&[head, row]), Err(CopyError::Unfinished));
    check_binary(join(&[head, row, b"\xff\xff", row]), Err(CopyError::Malformed("data follow the trailer")));
    check_binary(
        b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0".to_vec(),
        Err(CopyError::Malformed("its header is none of PostgreSQL's")),
    );
    let fields = RowError::Fields { found: 1, expected: 3 };
    check_binary(join(&[head, b"\0\x01\0\0\0\x01a"]), Err(CopyError::Row(fields)));
}

#[test]
fn refuses_a_row_above_the_cap() {
    let mut masker = CopyMasker::new(three(Format::Text), CopyFormat::Text(TextOptions::default()));
    let mut out = Vec::new();
    let piece = vec![b'a'; ROW_MAX / 2];
    assert_eq!(masker.feed(&piece, &mut out), Ok(()));
    assert_eq!(masker.feed(&piece, &mut out), Ok(()));
    assert_eq!(masker.feed(b"\t\t\n", &mut out), Err(CopyError::RowTooLong));
    assert!(out.is_empty());
}
