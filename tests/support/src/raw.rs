//! A client of raw frames over a blocking socket.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use grille_pg_codec::{
    backend::{Message, field},
    encode, frame,
    startup::Version,
    tag::backend as tag,
};

/// Longer than any answer of a gateway that works, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub tag: u8,
    pub body: Bytes,
}

impl Reply {
    /// The view of it; a reply that is not well formed fails the test.
    pub fn message(&self) -> Message<'_> {
        Message::parse(self.tag, &self.body).unwrap_or_else(|error| panic!("the server sent {self:?}: {error}"))
    }

    /// The SQLSTATE, if it is an error.
    pub fn sqlstate(&self) -> Option<String> {
        match self.message() {
            Message::Error(report) => report.sqlstate().map(|code| String::from_utf8_lossy(code).into_owned()),
            _ => None,
        }
    }

    /// The error's message, if it is one.
    pub fn text(&self) -> Option<String> {
        match self.message() {
            Message::Error(report) => report.get(field::MESSAGE).map(|text| String::from_utf8_lossy(text).into_owned()),
            _ => None,
        }
    }
}

/// A connection that says exactly what it is told to.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    received: BytesMut,
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: BytesMut::new() })
    }

    /// Where we call from.
    pub fn address(&self) -> Result<SocketAddr> {
        self.stream.local_addr().context("ask for our own address")
    }

    /// The bytes of startup packet and password, for whoever wants to send them in another way than [`Raw::login`].
    pub fn hello(user: &str, database: &str, token: &str) -> Result<BytesMut> {
        let mut out = BytesMut::new();
        encode::startup(&mut out, Version::V3_0, [("user", user), ("database", database)])?;
        encode::password(&mut out, token.as_bytes())?;
        Ok(out)
    }

    /// A session that is ready for its first query.
    pub fn login(address: SocketAddr, user: &str, database: &str, token: &str) -> Result<Self> {
        let mut raw = Self::connect(address)?;
        raw.send(&Self::hello(user, database, token)?)?;
        let greeting = raw.until_ready()?;
        if let Some(error) = greeting.iter().find_map(Reply::text) {
            bail!("the gateway refused the login: {error}");
        }
        Ok(raw)
    }

    /// How long it waits for an answer.
    pub fn be_patient_for(&self, patience: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(patience)).context("set a timeout")
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send")
    }

    /// Another way to write to the same connection, for a thread that does nothing else. It waits as long as it takes.
    pub fn writer(&self) -> Result<TcpStream> {
        let stream = self.stream.try_clone().context("share the connection")?;
        stream.set_write_timeout(None)?;
        Ok(stream)
    }

    /// Says that nothing more will come.
    pub fn finish(&self) {
        // The other end may be gone already, which is as good.
        self.stream.shutdown(std::net::Shutdown::Write).ok();
    }

    /// The next message, `None` when the other end has closed.
    pub fn reply(&mut self) -> Result<Option<Reply>> {
        loop {
            if let Some(head) = frame::head(&self.received)?
                && self.received.len() >= head.len
            {
                let mut bytes = self.received.split_to(head.len).freeze();
                let body = bytes.split_off(frame::HEADER_BYTES);
                return Ok(Some(Reply { tag: head.tag, body }));
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => self.received.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) if is_reset(&error) => return Ok(None),
                Err(error) => return Err(error).context("wait for an answer"),
            }
        }
    }

    /// Everything up to and with ReadyForQuery. A server that closes first is an error, unless its last word was one.
    pub fn until_ready(&mut self) -> Result<Vec<Reply>> {
        let mut replies = Vec::new();
        while let Some(reply) = self.reply()? {
            let is_ready = reply.tag == tag::READY_FOR_QUERY;
            replies.push(reply);
            if is_ready {
                return Ok(replies);
            }
        }
        match replies.last().map(|last| last.tag) {
            Some(tag::ERROR_RESPONSE) => Ok(replies),
            _ => bail!("the server closed after {replies:?}"),
        }
    }

    /// One byte that is no message: the answer to SSLRequest. `None` when the other end has closed.
    pub fn byte(&mut self) -> Result<Option<u8>> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(byte[0])),
            Err(error) if is_reset(&error) => Ok(None),
            Err(error) => Err(error).context("wait for a byte"),
        }
    }

    /// All bytes up to the end of the connection, whatever they are; a reset ends it as well.
    pub fn until_closed(&mut self) -> Result<Vec<u8>> {
        let mut bytes = self.received.split().to_vec();
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(bytes),
                Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) if is_reset(&error) => return Ok(bytes),
                Err(error) => return Err(error).context("wait for the end"),
            }
        }
    }

    /// One simple query and its answers.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Reply>> {
        let mut out = BytesMut::new();
        encode::query(&mut out, sql.as_bytes())?;
        self.send(&out)?;
        self.until_ready()
    }

    /// The first value of the first row, as text.
    pub fn value(&mut self, sql: &str) -> Result<String> {
        let replies = self.query(sql)?;
        let row = replies.iter().find_map(|reply| match reply.message() {
            Message::DataRow(row) => row.values().next(),
            _ => None,
        });
        match row {
            Some(value) => Ok(String::from_utf8_lossy(value?.unwrap_or_default()).into_owned()),
            None => bail!("{sql} gave no row: {:?}", replies.iter().find_map(Reply::text)),
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}
