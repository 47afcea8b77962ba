//! What Grille says to the server it protects.

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::startup::{SASLInitialResponse, SASLResponse};

use super::{EncodeError, bare, cell, count, cstr, message, packet, pgwire};
use crate::{
    Format,
    frame::PASSWORD_MAX,
    frontend::Target,
    startup::{CANCEL_CODE, CANCEL_KEY_BYTES, PACKET_MAX, SSL_CODE, Version},
    tag::frontend as tag,
};

/// SSLRequest: the answer is one byte, `S` or `N`.
pub fn ssl_request(out: &mut BytesMut) {
    out.put_u32(8);
    out.put_u32(SSL_CODE);
}

/// CancelRequest, alone on its own connection.
pub fn cancel_request(out: &mut BytesMut, pid: i32, key: &[u8]) -> Result<(), EncodeError> {
    if !CANCEL_KEY_BYTES.contains(&key.len()) {
        return Err(EncodeError::TooLong { field: "the cancel key" });
    }
    packet(out, |out| {
        out.put_u32(CANCEL_CODE);
        out.put_i32(pid);
        out.put_slice(key);
        Ok(())
    })
}

/// StartupMessage. Not pgwire's: that one sorts the parameters, and the server takes them in order.
pub fn startup<'a>(
    out: &mut BytesMut,
    version: Version,
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), EncodeError> {
    packet(out, |out| {
        let start = out.len();
        out.put_u32(version.packed());
        for (name, value) in params {
            if name.is_empty() {
                return Err(EncodeError::ZeroByte { field: "the name of a startup parameter" });
            }
            cstr(out, name.as_bytes(), "the name of a startup parameter")?;
            cstr(out, value.as_bytes(), "the value of a startup parameter")?;
        }
        out.put_u8(0);
        if out.len() - start + 4 > PACKET_MAX {
            return Err(EncodeError::TooLong { field: "the startup packet" });
        }
        Ok(())
    })
}

/// A password in the clear or hashed with md5. Not pgwire's: its limit is 10,000 bytes, PostgreSQL's 65,535.
pub fn password(out: &mut BytesMut, password: &[u8]) -> Result<(), EncodeError> {
    if password.len() >= PASSWORD_MAX {
        return Err(EncodeError::TooLong { field: "the password" });
    }
    message(out, tag::PASSWORD, |out| cstr(out, password, "the password"))
}

/// The choice of a SASL mechanism, with the client's first words.
pub fn sasl_initial(out: &mut BytesMut, mechanism: &str, response: Option<&[u8]>) -> Result<(), EncodeError> {
    if mechanism.contains('\0') {
        return Err(EncodeError::ZeroByte { field: "the mechanism" });
    }
    pgwire(out, &SASLInitialResponse::new(mechanism.to_owned(), response.map(Bytes::copy_from_slice)))
}

pub fn sasl_response(out: &mut BytesMut, response: &[u8]) -> Result<(), EncodeError> {
    pgwire(out, &SASLResponse::new(Bytes::copy_from_slice(response)))
}

pub fn query(out: &mut BytesMut, sql: &[u8]) -> Result<(), EncodeError> {
    message(out, tag::QUERY, |out| cstr(out, sql, "the query"))
}

pub fn parse(out: &mut BytesMut, name: &[u8], sql: &[u8], parameter_types: &[u32]) -> Result<(), EncodeError> {
    message(out, tag::PARSE, |out| {
        cstr(out, name, "the statement's name")?;
        cstr(out, sql, "the statement")?;
        count(out, parameter_types.len(), "the list of parameter types")?;
        parameter_types.iter().for_each(|oid| out.put_u32(*oid));
        Ok(())
    })
}

/// `formats` and `result_formats` by Bind's rule: none is all text, one holds for all.
pub fn bind<'a>(
    out: &mut BytesMut,
    portal: &[u8],
    statement: &[u8],
    formats: impl ExactSizeIterator<Item = Format>,
    values: impl IntoIterator<Item = Option<&'a [u8]>>,
    result_formats: impl ExactSizeIterator<Item = Format>,
) -> Result<(), EncodeError> {
    message(out, tag::BIND, |out| {
        cstr(out, portal, "the portal's name")?;
        cstr(out, statement, "the statement's name")?;
        put_formats(out, formats)?;
        let count_at = out.len();
        out.put_u16(0);
        let mut written = 0_u16;
        for value in values {
            written = written.checked_add(1).ok_or(EncodeError::TooLong { field: "the list of values" })?;
            cell(out, value)?;
        }
        super::row::patch_count(out, count_at, written)?;
        put_formats(out, result_formats)
    })
}

fn put_formats(out: &mut BytesMut, formats: impl ExactSizeIterator<Item = Format>) -> Result<(), EncodeError> {
    count(out, formats.len(), "the list of formats")?;
    formats.for_each(|format| out.put_u16(format.code()));
    Ok(())
}

pub fn describe(out: &mut BytesMut, target: Target<'_>) -> Result<(), EncodeError> {
    message(out, tag::DESCRIBE, |out| put_target(out, target))
}

pub fn close(out: &mut BytesMut, target: Target<'_>) -> Result<(), EncodeError> {
    message(out, tag::CLOSE, |out| put_target(out, target))
}

fn put_target(out: &mut BytesMut, target: Target<'_>) -> Result<(), EncodeError> {
    let (kind, name) = match target {
        Target::Statement(name) => (b'S', name),
        Target::Portal(name) => (b'P', name),
    };
    out.put_u8(kind);
    cstr(out, name, "a name")
}

/// `max_rows` 0 is no limit.
pub fn execute(out: &mut BytesMut, portal: &[u8], max_rows: i32) -> Result<(), EncodeError> {
    message(out, tag::EXECUTE, |out| {
        cstr(out, portal, "the portal's name")?;
        out.put_i32(max_rows);
        Ok(())
    })
}

pub fn sync(out: &mut BytesMut) {
    bare(out, tag::SYNC);
}

pub fn flush(out: &mut BytesMut) {
    bare(out, tag::FLUSH);
}

pub fn copy_done(out: &mut BytesMut) {
    bare(out, tag::COPY_DONE);
}

pub fn copy_fail(out: &mut BytesMut, reason: &str) -> Result<(), EncodeError> {
    message(out, tag::COPY_FAIL, |out| cstr(out, reason.as_bytes(), "the reason"))
}

pub fn terminate(out: &mut BytesMut) {
    bare(out, tag::TERMINATE);
}
