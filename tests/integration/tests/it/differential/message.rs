//! One message of a script, as it is said through the gateway and as it is said straight to the server.

use std::fmt;

use bytes::BytesMut;
use grille_pg_codec::{Format, encode, frontend::Target, tag::frontend as tag};

/// What stands for a blocked message where no gateway blocks: it cannot parse. The word is looked for in the error.
pub(super) const UNPARSABLE: &str = "REFUSED in place of the other";

/// What a caller says. Names and texts come from short lists, so that scripts collide with themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Say {
    Query(String),
    Parse {
        name: &'static str,
        sql: String,
    },
    Bind {
        portal: &'static str,
        statement: &'static str,
        values: Vec<&'static str>,
        result: Format,
    },
    DescribeStatement(&'static str),
    DescribePortal(&'static str),
    Execute {
        portal: &'static str,
        max_rows: i32,
    },
    CloseStatement(&'static str),
    ClosePortal(&'static str),
    Flush,
    Sync,
    CopyData(&'static str),
    CopyDone,
    CopyFail,
    /// Always refused.
    FunctionCall,
}

/// A message, and whether a policy blocks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) say: Say,
    pub(super) is_blocked: bool,
}

impl Message {
    pub(super) fn allowed(say: Say) -> Self {
        Self { say, is_blocked: false }
    }

    /// As the caller says it.
    pub(super) fn bytes(&self) -> BytesMut {
        encoded(&self.say)
    }

    /// The same straight to the server: a blocked message fails there because it cannot parse. A blocked Bind fails
    /// under a name of its own, since a failing Parse of the unnamed statement would drop it.
    pub(super) fn bytes_without_gateway(&self) -> BytesMut {
        if !self.is_blocked {
            return self.bytes();
        }
        let sql = UNPARSABLE.to_owned();
        encoded(&match &self.say {
            Say::Parse { name, .. } => Say::Parse { name, sql },
            Say::Bind { .. } => Say::Parse { name: "in place of a Bind", sql },
            _ => Say::Query(sql),
        })
    }

    /// Whether the server answers it only after Flush or Sync.
    pub(super) fn is_extended(&self) -> bool {
        !matches!(self.say, Say::Query(_) | Say::FunctionCall | Say::Sync | Say::Flush) && !self.is_copy()
    }

    /// Whether it belongs to COPY data.
    pub(super) fn is_copy(&self) -> bool {
        matches!(self.say, Say::CopyData(_) | Say::CopyDone | Say::CopyFail)
    }

    /// Its kind, for the table of coverage.
    pub(super) const fn kind(&self) -> &'static str {
        match self.say {
            Say::Query(_) => "Query",
            Say::Parse { .. } => "Parse",
            Say::Bind { .. } => "Bind",
            Say::DescribeStatement(_) => "Describe S",
            Say::DescribePortal(_) => "Describe P",
            Say::Execute { .. } => "Execute",
            Say::CloseStatement(_) => "Close S",
            Say::ClosePortal(_) => "Close P",
            Say::Flush => "Flush",
            Say::Sync => "Sync",
            Say::CopyData(_) => "CopyData",
            Say::CopyDone => "CopyDone",
            Say::CopyFail => "CopyFail",
            Say::FunctionCall => "FunctionCall",
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}{}", self.say, if self.is_blocked { "  <- blocked" } else { "" })
    }
}

fn encoded(say: &Say) -> BytesMut {
    let mut out = BytesMut::new();
    let written = match say {
        Say::Query(sql) => encode::query(&mut out, sql.as_bytes()),
        Say::Parse { name, sql } => encode::parse(&mut out, name.as_bytes(), sql.as_bytes(), &[]),
        Say::Bind { portal, statement, values, result } => {
            let values = values.iter().map(|value| Some(value.as_bytes()));
            let (portal, statement) = (portal.as_bytes(), statement.as_bytes());
            encode::bind(&mut out, portal, statement, std::iter::empty(), values, std::iter::once(*result))
        }
        Say::DescribeStatement(name) => encode::describe(&mut out, Target::Statement(name.as_bytes())),
        Say::DescribePortal(name) => encode::describe(&mut out, Target::Portal(name.as_bytes())),
        Say::Execute { portal, max_rows } => encode::execute(&mut out, portal.as_bytes(), *max_rows),
        Say::CloseStatement(name) => encode::close(&mut out, Target::Statement(name.as_bytes())),
        Say::ClosePortal(name) => encode::close(&mut out, Target::Portal(name.as_bytes())),
        Say::CopyData(data) => encode::copy_data(&mut out, data.as_bytes()),
        Say::CopyFail => encode::copy_fail(&mut out, "the script says so"),
        Say::FunctionCall => {
            // Its length, an OID, no formats, no arguments, text.
            out.extend_from_slice(&[tag::FUNCTION_CALL, 0, 0, 0, 14, 0, 0, 6, 0x3e, 0, 0, 0, 0, 0, 0]);
            Ok(())
        }
        Say::Flush => {
            encode::flush(&mut out);
            Ok(())
        }
        Say::Sync => {
            encode::sync(&mut out);
            Ok(())
        }
        Say::CopyDone => {
            encode::copy_done(&mut out);
            Ok(())
        }
    };
    written.expect("short texts without zero bytes");
    out
}
