//! What a client sends, as a stream of frames.
//!
//! Property: a message that is read, written again, has the same bytes; so nothing in the frame went unread. (Format
//! lists and the row limit are written as they were read.)
#![no_main]

use bytes::BytesMut;
use grille_pg_codec::{
    encode,
    frame::Frames,
    frontend::{Message, Password},
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
        Message::Query(query) => encode::query(out, query.sql),
        Message::Parse(parse) => {
            let types: Vec<_> = parse.parameter_types().collect();
            encode::parse(out, parse.name, parse.sql, &types)
        }
        Message::Bind(bind) => {
            assert_eq!(bind.values.iter().count(), bind.values.len());
            let (formats, results) = (bind.formats.iter(), bind.result_formats.iter());
            encode::bind(out, bind.portal, bind.statement, formats, bind.values.iter(), results)
        }
        Message::Describe(target) => encode::describe(out, target),
        Message::Close(target) => encode::close(out, target),
        Message::Execute(execute) => encode::execute(out, execute.portal, execute.max_rows),
        Message::Sync => Ok(encode::sync(out)),
        Message::Flush => Ok(encode::flush(out)),
        Message::CopyData(data) => encode::copy_data(out, data),
        Message::CopyDone => Ok(encode::copy_done(out)),
        // The reason is text to whoever writes it; any other bytes have no way back.
        Message::CopyFail(reason) => match std::str::from_utf8(reason) {
            Ok(reason) => encode::copy_fail(out, reason),
            Err(_) => Ok(()),
        },
        Message::Password(password) => return read_three_ways(password),
        Message::Terminate => Ok(encode::terminate(out)),
        Message::FunctionCall => Ok(()),
    };
    written.expect("what was read can be written");
}

/// One body, three readings that only the conversation tells apart.
fn read_three_ways(password: Password<'_>) {
    if let Ok(text) = password.text() {
        assert_eq!(text.len() + 1, password.sasl().len());
    }
    if let Ok(initial) = password.sasl_initial() {
        let response = initial.response.map_or(0, <[u8]>::len);
        assert_eq!(initial.mechanism.len() + 5 + response, password.sasl().len());
    }
}
