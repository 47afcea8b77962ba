//! What a client might say, as bytes; and what came back, without what differs from session to session.

use anyhow::Result;
use bytes::BytesMut;
use grille_pg_codec::{
    Format,
    backend::{Message, field},
    encode,
    frame::Frames,
    frontend::Target,
    tag::backend as tag,
};
use grille_test_support::{Raw, Reply};

/// Messages in the order they are sent.
#[derive(Default, Clone)]
pub(crate) struct Script {
    pub(crate) bytes: BytesMut,
    /// How many ReadyForQuery the script earns.
    pub(crate) ready: usize,
}

impl Script {
    pub(crate) fn query(mut self, sql: &str) -> Self {
        encode::query(&mut self.bytes, sql.as_bytes()).expect("no zero byte");
        self.ready += 1;
        self
    }

    /// One that earns no ReadyForQuery, because something before it in its pipeline fails.
    pub(crate) fn query_skipped(mut self, sql: &str) -> Self {
        encode::query(&mut self.bytes, sql.as_bytes()).expect("no zero byte");
        self
    }

    pub(crate) fn parse(mut self, name: &str, sql: &str) -> Self {
        encode::parse(&mut self.bytes, name.as_bytes(), sql.as_bytes(), &[]).expect("no zero byte");
        self
    }

    pub(crate) fn bind(mut self, portal: &str, statement: &str, values: &[Option<&str>], result: Format) -> Self {
        let values = values.iter().map(|value| value.map(str::as_bytes));
        let formats = std::iter::empty::<Format>();
        let results = std::iter::once(result);
        let (portal, statement) = (portal.as_bytes(), statement.as_bytes());
        encode::bind(&mut self.bytes, portal, statement, formats, values, results).expect("no zero byte");
        self
    }

    pub(crate) fn describe_portal(mut self, portal: &str) -> Self {
        encode::describe(&mut self.bytes, Target::Portal(portal.as_bytes())).expect("no zero byte");
        self
    }

    pub(crate) fn describe_statement(mut self, statement: &str) -> Self {
        encode::describe(&mut self.bytes, Target::Statement(statement.as_bytes())).expect("no zero byte");
        self
    }

    pub(crate) fn execute(mut self, portal: &str, max_rows: i32) -> Self {
        encode::execute(&mut self.bytes, portal.as_bytes(), max_rows).expect("no zero byte");
        self
    }

    pub(crate) fn close_statement(mut self, statement: &str) -> Self {
        encode::close(&mut self.bytes, Target::Statement(statement.as_bytes())).expect("no zero byte");
        self
    }

    pub(crate) fn close_portal(mut self, portal: &str) -> Self {
        encode::close(&mut self.bytes, Target::Portal(portal.as_bytes())).expect("no zero byte");
        self
    }

    /// Parse, Bind, Describe and Execute, all unnamed.
    pub(crate) fn run(self, sql: &str, values: &[Option<&str>]) -> Self {
        self.parse("", sql).bind("", "", values, Format::Text).describe_portal("").execute("", 0)
    }

    pub(crate) fn flush(mut self) -> Self {
        encode::flush(&mut self.bytes);
        self
    }

    pub(crate) fn sync(mut self) -> Self {
        encode::sync(&mut self.bytes);
        self.ready += 1;
        self
    }

    pub(crate) fn copy_data(mut self, data: &str) -> Self {
        encode::copy_data(&mut self.bytes, data.as_bytes()).expect("short");
        self
    }

    pub(crate) fn copy_done(mut self) -> Self {
        encode::copy_done(&mut self.bytes);
        self
    }

    pub(crate) fn copy_fail(mut self, reason: &str) -> Self {
        encode::copy_fail(&mut self.bytes, reason).expect("no zero byte");
        self
    }

    /// Sends all of it at once and collects the answers.
    pub(crate) fn play(&self, session: &mut Raw) -> Result<Vec<Reply>> {
        session.send(&self.bytes)?;
        self.answers(session)
    }

    /// Collects the answers of a script that was sent.
    pub(crate) fn answers(&self, session: &mut Raw) -> Result<Vec<Reply>> {
        let mut replies = Vec::new();
        for _ in 0..self.ready {
            replies.append(&mut session.until_ready()?);
        }
        Ok(replies)
    }
}

/// The messages that must be the same whoever passes them on: no login, no key, no parameter reports.
pub(crate) fn conversation(bytes: &[u8]) -> Vec<Reply> {
    let mut replies = conversation_with_login(bytes);
    replies.retain(|reply| !matches!(reply.tag, tag::AUTHENTICATION | tag::BACKEND_KEY_DATA | tag::PARAMETER_STATUS));
    replies
}

/// All messages in `bytes`, which must be nothing but messages.
pub(crate) fn conversation_with_login(bytes: &[u8]) -> Vec<Reply> {
    let mut walk = Frames::new(bytes);
    let frames = walk.by_ref().map(|frame| frame.expect("a well-formed head"));
    let replies = frames.map(|frame| Reply { tag: frame.tag, body: frame.body().to_vec().into() }).collect();
    assert_eq!(walk.incomplete(), 0, "the answers end inside a message");
    replies
}

/// What a client learns from the messages: not where in the server's source an error was raised, since an error may
/// as well be Grille's own.
pub(crate) fn essence(replies: &[Reply]) -> Vec<(char, Vec<u8>)> {
    let essence = |reply: &Reply| match reply.message() {
        Message::Error(report) | Message::Notice(report) => {
            let kept = report.iter().filter(|(code, _)| !matches!(*code, field::FILE | field::LINE | field::ROUTINE));
            kept.flat_map(|(code, text)| [&[code][..], text, b"\n"].concat()).collect()
        }
        _ => reply.body.to_vec(),
    };
    replies.iter().map(|reply| (char::from(reply.tag), essence(reply))).collect()
}

/// The type bytes, for short expectations.
pub(crate) fn tags(replies: &[Reply]) -> String {
    replies.iter().map(|reply| char::from(reply.tag)).collect()
}
