//! Whatever is written is read back, whatever is read never panics, and no prefix passes for the whole.

use bytes::BytesMut;
use proptest::{collection::vec, option, prelude::*};

use crate::{
    Format, backend,
    encode::{self, RowWriter},
    frame::{Frames, head},
    frontend::{self, Target},
    startup::{First, Version, first_packet},
    tag,
};

/// The body of the one frame in `bytes`, which is all there is.
fn only_frame(bytes: &[u8]) -> (u8, &[u8]) {
    let mut walk = Frames::new(bytes);
    let frame = walk.next().expect("a frame").expect("a head");
    assert_eq!((frame.bytes.len(), walk.incomplete()), (bytes.len(), 0));
    (frame.tag, frame.body())
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=u8::MAX, 0..24)
}

fn formats() -> impl Strategy<Value = Vec<Format>> {
    vec(prop_oneof![Just(Format::Text), Just(Format::Binary)], 0..5)
}

fn values() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    vec(option::of(vec(any::<u8>(), 0..24)), 0..6)
}

/// Walks everything a view offers, since some checks happen only then.
fn exhaust(message: backend::Message<'_>) -> Result<(), crate::Malformed> {
    match message {
        backend::Message::DataRow(row) => row.values().try_for_each(|value| value.map(drop))?,
        backend::Message::RowDescription(shape) => assert_eq!(shape.fields().count(), shape.len()),
        backend::Message::NegotiateProtocolVersion(answer) => assert_eq!(answer.options().count(), answer.len()),
        backend::Message::Error(report) | backend::Message::Notice(report) => {
            let _ = (report.iter().count(), report.ends_session());
        }
        backend::Message::CommandComplete(command) => drop(command.rows()),
        _ => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), tag in any::<u8>()) {
        drop((head(&bytes), first_packet(&bytes)));
        for frame in Frames::new(&bytes) {
            prop_assert!(frame.is_err() || frame.is_ok_and(|frame| frame.bytes.len() >= 5));
        }
        let tags = tag::backend::ALL.iter().chain(&tag::frontend::ALL).copied().chain([tag]);
        for tag in tags {
            backend::Message::parse(tag, &bytes).and_then(exhaust).ok();
            if let Ok(frontend::Message::Bind(bind)) = frontend::Message::parse(tag, &bytes) {
                prop_assert_eq!(bind.values.iter().count(), bind.values.len());
            }
        }
    }

    #[test]
    fn a_walk_is_the_same_however_the_bytes_arrive(
        bodies in vec(vec(any::<u8>(), 0..20), 0..6), cut in any::<prop::sample::Index>(),
    ) {
        let mut out = BytesMut::new();
        for body in &bodies {
            encode::copy_data(&mut out, body).expect("short");
        }
        let (first, _) = out.split_at(cut.index(out.len() + 1));
        let mut walk = Frames::new(first);
        let early = walk.by_ref().count();
        let rest = Frames::new(&out[walk.consumed()..]);
        let late: Vec<_> = rest.map(|frame| frame.expect("a head").body()).collect();
        prop_assert_eq!(&late[..], &bodies[early..]);
    }

    #[test]
    fn startup_round_trips(names in prop::collection::btree_map("[a-z_.]{1,8}", "[^\0]{0,8}", 0..6), minor in 0_u16..10) {
        let version = Version { major: 3, minor };
        let mut out = BytesMut::new();
        encode::startup(&mut out, version, names.iter().map(|(k, v)| (k.as_str(), v.as_str()))).expect("short");
        let Ok(Some((First::Startup(read), used))) = first_packet(&out) else { panic!("{out:?}") };
        prop_assert_eq!(used, out.len());
        prop_assert_eq!(read.version, version);
        prop_assert!(read.params.into_iter().eq(names.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
        for end in 0..out.len() {
            prop_assert_eq!(first_packet(&out[..end]), Ok(None));
        }
    }

    #[test]
    fn client_messages_round_trip(
        name in text(), other in text(), sql in text(), types in vec(any::<u32>(), 0..5), rows in any::<i32>(),
        values in values(), result_formats in formats(), binary in any::<bool>(),
    ) {
        let format = if binary { Format::Binary } else { Format::Text };
        let cells = || values.iter().map(Option::as_deref);
        let mut out: Vec<BytesMut> = vec![BytesMut::new(); 6];
        encode::query(&mut out[0], &sql).expect("short");
        encode::parse(&mut out[1], &name, &sql, &types).expect("short");
        encode::bind(&mut out[2], &name, &other, std::iter::once(format), cells(), result_formats.iter().copied()).expect("short");
        encode::describe(&mut out[3], Target::Portal(&name)).expect("short");
        encode::close(&mut out[4], Target::Statement(&name)).expect("short");
        encode::execute(&mut out[5], &name, rows).expect("short");
        for bytes in &out {
            let (tag, body) = only_frame(bytes);
            match frontend::Message::parse(tag, body).expect("what we wrote") {
                frontend::Message::Query(query) => prop_assert_eq!(query.sql, &sql),
                frontend::Message::Parse(parse) => {
                    prop_assert_eq!((parse.name, parse.sql), (&name[..], &sql[..]));
                    prop_assert!(parse.parameter_types().eq(types.iter().copied()));
                }
                frontend::Message::Bind(bind) => {
                    prop_assert_eq!((bind.portal, bind.statement), (&name[..], &other[..]));
                    prop_assert_eq!(bind.formats.of(0), Some(format));
                    prop_assert!(bind.values.iter().eq(cells()));
                    prop_assert!(bind.result_formats.iter().eq(result_formats.iter().copied()));
                }
                frontend::Message::Describe(target) => prop_assert_eq!(target, Target::Portal(&name)),
                frontend::Message::Close(target) => prop_assert_eq!(target, Target::Statement(&name)),
                frontend::Message::Execute(execute) => prop_assert_eq!((execute.portal, execute.max_rows), (&name[..], rows)),
                other => panic!("{other:?}"),
            }
            for end in 0..body.len() {
                prop_assert!(frontend::Message::parse(tag, &body[..end]).is_err(), "a prefix of {:?}", bytes);
            }
            let longer = [body, b"\0"].concat();
            prop_assert!(frontend::Message::parse(tag, &longer).is_err(), "a byte more than {:?}", bytes);
        }
    }

    #[test]
    fn server_messages_round_trip(
        columns in vec((text(), any::<(u32, i16, u32, i16, i32)>(), any::<bool>()), 0..5), values in values(),
        report in vec((prop::sample::select(&b"SVCMDHPW"[..]), "[^\0]{0,12}"), 0..6), types in vec(any::<u32>(), 0..5),
        command in "[A-Z]{0,8}( [0-9]{1,9})?", options in vec("_pq_[.][a-z]{1,6}", 0..4),
    ) {
        let fields: Vec<_> = columns.iter().map(|(name, (table_oid, attnum, type_oid, type_len, typmod), binary)| backend::Field {
            name, table_oid: *table_oid, attnum: *attnum, type_oid: *type_oid, type_len: *type_len, typmod: *typmod,
            format: if *binary { Format::Binary } else { Format::Text },
        }).collect();
        let texts: Vec<_> = report.iter().map(|(code, text)| (*code, text.as_str())).collect();
        let mut out: Vec<BytesMut> = vec![BytesMut::new(); 7];
        encode::row_description(&mut out[0], fields.iter().copied()).expect("short");
        let mut row = RowWriter::begin(&mut out[1]);
        for value in &values {
            row.value(value.as_deref()).expect("short");
        }
        row.finish().expect("short");
        encode::error_response(&mut out[2], &texts).expect("short");
        encode::notice_response(&mut out[3], &texts).expect("short");
        encode::parameter_description(&mut out[4], &types).expect("short");
        encode::command_complete(&mut out[5], &command).expect("short");
        encode::negotiate_protocol_version(&mut out[6], Version::V3_2, options.iter().map(String::as_str)).expect("short");
        for bytes in &out {
            let (tag, body) = only_frame(bytes);
            match backend::Message::parse(tag, body).expect("what we wrote") {
                backend::Message::RowDescription(shape) => prop_assert!(shape.fields().eq(fields.iter().copied())),
                backend::Message::DataRow(row) => {
                    prop_assert!(row.values().eq(values.iter().map(|value| Ok(value.as_deref()))));
                }
                backend::Message::Error(read) | backend::Message::Notice(read) => {
                    prop_assert!(read.iter().eq(texts.iter().map(|(code, text)| (*code, text.as_bytes()))));
                }
                backend::Message::ParameterDescription(read) => prop_assert!(read.types().eq(types.iter().copied())),
                backend::Message::CommandComplete(read) => prop_assert_eq!(read.text(), Some(command.as_str())),
                backend::Message::NegotiateProtocolVersion(read) => {
                    prop_assert!(read.options().eq(options.iter().map(String::as_bytes)));
                }
                other => panic!("{other:?}"),
            }
            let whole = |bytes: &[u8]| backend::Message::parse(tag, bytes).and_then(|message| exhaust(message));
            for end in 0..body.len() {
                prop_assert!(whole(&body[..end]).is_err(), "a prefix of {:?}", bytes);
            }
            prop_assert!(whole(&[body, b"\0"].concat()).is_err(), "a byte more than {:?}", bytes);
        }
    }
}
