//! The server itself, asked message by message, so that at each message it is known what state it is in.

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use grille_pg_codec::{encode, tag::backend as tag};
use grille_test_support::{Raw, Reply};

use super::message::{Message, Say};

/// A direct session and where it stands.
pub(super) struct Oracle {
    pub(super) raw: Raw,
    pub(super) stand: Stand,
    /// The server's major version.
    pub(super) version: u32,
}

/// What the server waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    /// The status of the last ReadyForQuery.
    pub(super) status: u8,
    pub(super) within: Within,
    /// Data was sent into the COPY that is under way, and whether the server may have given it up by that.
    data: Data,
}

/// What the server has seen of the data of a COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    None,
    Good,
    /// It fits no row: when the server gives up is its own affair.
    Doubtful,
}

/// The conversation that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Within {
    /// Nothing since ReadyForQuery.
    Simple,
    /// A pipeline.
    Extended,
    /// A pipeline that has failed.
    Skipped,
    /// COPY FROM STDIN by the simple protocol.
    Copy,
    /// COPY FROM STDIN by the extended protocol.
    ExtendedCopy,
}

impl Stand {
    /// What the server answers only with more behind it gets a Flush, so that it may be waited for.
    pub(super) fn flush(self, message: &Message, bytes: &mut BytesMut) {
        let ends_copy = self.within == Within::ExtendedCopy && message.say == Say::CopyDone;
        if message.is_extended() || ends_copy {
            encode::flush(bytes);
        }
    }
}

/// PostgreSQL 18 loses count of its transactions when a simple query comes before the Sync of a pipeline that executed
/// two statements: "StartTransactionCommand: unexpected state STARTED" is its answer to what comes next, and a question of
/// Grille's own may be one of the two.
pub(super) const fn takes_query_in_pipeline(version: u32) -> bool {
    version < 18
}

impl Within {
    pub(super) const fn is_copy(self) -> bool {
        matches!(self, Self::Copy | Self::ExtendedCopy)
    }
}

impl Oracle {
    pub(super) fn new(mut raw: Raw) -> Result<Self> {
        let version = raw.value("SHOW server_version_num")?.parse::<u32>()? / 10_000;
        Ok(Self { raw, stand: Stand { status: b'I', within: Within::Simple, data: Data::None }, version })
    }

    /// Whether the message may be said now. Excluded, because both sides end the connection then (08P01): anything but
    /// COPY data, Flush and Sync while the server waits for COPY data. And where [`takes_query_in_pipeline`] says so.
    pub(super) fn may_say(&self, message: &Message) -> bool {
        match message.say {
            Say::Query(_) | Say::FunctionCall if self.stand.within == Within::Extended => {
                takes_query_in_pipeline(self.version)
            }
            Say::Flush | Say::Sync => self.stand.data != Data::Doubtful,
            _ => !self.stand.within.is_copy() || message.is_copy(),
        }
    }

    /// Says it and reads all that the server answers to it.
    pub(super) fn say(&mut self, message: &Message) -> Result<Vec<Reply>> {
        let mut bytes = message.bytes_without_gateway();
        self.stand.flush(message, &mut bytes);
        self.raw.send(&bytes)?;
        let replies = self.answers(message).with_context(|| format!("the server's answer to {message}"))?;
        self.follow(message, &replies);
        Ok(replies)
    }

    fn answers(&mut self, message: &Message) -> Result<Vec<Reply>> {
        let last: &[u8] = match (self.stand.within, &message.say) {
            (Within::Copy, Say::CopyDone | Say::CopyFail) => &[tag::READY_FOR_QUERY, tag::COPY_IN_RESPONSE],
            (Within::ExtendedCopy, Say::CopyDone | Say::CopyFail) => &[tag::COMMAND_COMPLETE, tag::ERROR_RESPONSE],
            (Within::Copy | Within::ExtendedCopy, _) => &[],
            (_, Say::Sync) => &[tag::READY_FOR_QUERY],
            (Within::Skipped, _) | (_, Say::Flush | Say::CopyData(_) | Say::CopyDone | Say::CopyFail) => &[],
            (_, Say::Query(_) | Say::FunctionCall) => &[tag::READY_FOR_QUERY, tag::COPY_IN_RESPONSE],
            (_, Say::Parse { .. }) => &[tag::PARSE_COMPLETE, tag::ERROR_RESPONSE],
            (_, Say::Bind { .. }) => &[tag::BIND_COMPLETE, tag::ERROR_RESPONSE],
            (_, Say::DescribeStatement(_) | Say::DescribePortal(_)) => {
                &[tag::ROW_DESCRIPTION, tag::NO_DATA, tag::ERROR_RESPONSE]
            }
            (_, Say::CloseStatement(_) | Say::ClosePortal(_)) => &[tag::CLOSE_COMPLETE, tag::ERROR_RESPONSE],
            (_, Say::Execute { .. }) => &[
                tag::COMMAND_COMPLETE,
                tag::EMPTY_QUERY_RESPONSE,
                tag::PORTAL_SUSPENDED,
                tag::ERROR_RESPONSE,
                tag::COPY_IN_RESPONSE,
            ],
        };
        let mut replies: Vec<Reply> = Vec::new();
        while !last.is_empty() && !replies.last().is_some_and(|reply| last.contains(&reply.tag)) {
            match self.raw.reply()? {
                Some(reply) => replies.push(reply),
                None => bail!("it closed after {replies:?}"),
            }
        }
        Ok(replies)
    }

    fn follow(&mut self, message: &Message, replies: &[Reply]) {
        let stand = &mut self.stand;
        match replies.last() {
            Some(reply) if reply.tag == tag::READY_FOR_QUERY => {
                *stand = Stand { status: reply.body[0], within: Within::Simple, data: Data::None };
            }
            Some(reply) if reply.tag == tag::ERROR_RESPONSE => {
                stand.within = Within::Skipped;
                stand.data = Data::None;
            }
            Some(reply) if reply.tag == tag::COPY_IN_RESPONSE => {
                let is_simple = matches!(message.say, Say::Query(_)) || stand.within == Within::Copy;
                stand.within = if is_simple { Within::Copy } else { Within::ExtendedCopy };
                stand.data = Data::None;
            }
            Some(_) => {
                stand.within = Within::Extended;
                stand.data = Data::None;
            }
            None if stand.within.is_copy() => {
                if let Say::CopyData(data) = message.say {
                    let is_good = stand.data == Data::None && data.starts_with(|first: char| first.is_ascii_digit());
                    stand.data = if is_good { Data::Good } else { Data::Doubtful };
                }
            }
            None => {}
        }
    }
}

/// COPY data that no table of ours takes.
pub(super) const BAD_DATA: &str = "no number\tx\n";
