//! What a server sends, as a stream of frames.
//!
//! Properties: walking a view never yields more than it announced, and the messages that Grille rewrites (shapes, rows,
//! errors, notices) have the same bytes when written again.
#![no_main]

use bytes::BytesMut;
use grille_pg_codec::{
    backend::{Authentication, Message},
    encode::{self, RowWriter},
    frame::Frames,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut walk = Frames::new(bytes);
    for frame in walk.by_ref() {
        let Ok(frame) = frame else { break };
        let Ok(message) = Message::parse(frame.tag, frame.body()) else { continue };
        let mut again = BytesMut::new();
        write(&mut again, message);
        if !again.is_empty() {
            assert_eq!(&again[..], frame.bytes, "{message:?}");
        }
    }
    assert_eq!(walk.consumed() + walk.incomplete(), bytes.len());
});

fn write(out: &mut BytesMut, message: Message<'_>) {
    let written = match message {
        Message::RowDescription(shape) => {
            let fields: Vec<_> = shape.fields().map(|field| field.to_owned()).collect();
            assert_eq!(fields.len(), shape.len());
            encode::row_description(out, fields.iter().map(|field| field.as_field()))
        }
        Message::DataRow(row) => {
            let mut writer = RowWriter::begin(out);
            for value in row.values() {
                // A row that is broken further on is given up, and the writer takes its bytes back.
                let Ok(value) = value else { return };
                writer.value(value).expect("a value that was read can be written");
            }
            writer.finish()
        }
        Message::Error(report) | Message::Notice(report) => {
            assert!(!report.ends_session() || report.iter().count() > 0);
            let texts: Result<Vec<_>, _> =
                report.iter().map(|(code, text)| std::str::from_utf8(text).map(|text| (code, text))).collect();
            // Only UTF-8 has a way back, and a text that is not stays the server's own bytes.
            match (texts, message) {
                (Ok(texts), Message::Error(_)) => encode::error_response(out, &texts),
                (Ok(texts), _) => encode::notice_response(out, &texts),
                (Err(_), _) => Ok(()),
            }
        }
        Message::ParameterDescription(types) => encode::parameter_description(out, &types.types().collect::<Vec<_>>()),
        Message::NegotiateProtocolVersion(answer) => {
            assert_eq!(answer.options().count(), answer.len());
            Ok(())
        }
        Message::BackendKeyData(key) => encode::backend_key_data(out, key.pid, key.key),
        Message::ReadyForQuery(status) => Ok(encode::ready_for_query(out, status)),
        Message::CommandComplete(command) => {
            let rows = command.rows().map(|rows| rows.to_string());
            assert!(rows.is_none_or(|rows| command.text().is_some_and(|text| text.ends_with(&rows))));
            Ok(())
        }
        Message::Authentication(Authentication::Sasl(offered)) => {
            assert!(offered.iter().all(|name| !name.is_empty()));
            Ok(())
        }
        Message::CopyIn(copy) | Message::CopyOut(copy) | Message::CopyBoth(copy) => {
            assert_eq!(copy.columns.iter().count(), copy.columns.len());
            Ok(())
        }
        Message::CopyData(data) => encode::copy_data(out, data),
        _ => Ok(()),
    };
    written.expect("what was read can be written");
}
