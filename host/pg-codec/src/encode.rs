//! Writing messages, each appended whole to a `BytesMut`.
//!
//! A function that fails leaves the buffer as it was, so that half a message never reaches a socket. Texts come as
//! bytes in the session's encoding. A zero byte inside one would end it early and make the peer read something else
//! than we decided about, so it is an error, except in the texts of errors and notices, which must always arrive.

mod backend;
mod frontend;
mod row;

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message as PgWireMessage;

pub use backend::{
    authentication_cleartext_password, authentication_ok, authentication_sasl, authentication_sasl_continue,
    authentication_sasl_final, backend_key_data, bind_complete, close_complete, command_complete, empty_query_response,
    error_response, negotiate_protocol_version, no_data, notice_response, parameter_description, parameter_status,
    parse_complete, portal_suspended, ready_for_query, row_description, ssl_answer,
};
pub use frontend::{
    bind, cancel_request, close, copy_done, copy_fail, describe, execute, flush, parse, password, query, sasl_initial,
    sasl_response, ssl_request, startup, sync, terminate,
};
pub use row::{RowCopy, RowWriter};

use crate::frame::LENGTH_MAX;

/// Why a message cannot be written. Nothing of it is in the buffer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    #[error("{field} contains a zero byte")]
    ZeroByte { field: &'static str },
    #[error("{field} is longer than the protocol can say")]
    TooLong { field: &'static str },
    #[error("pgwire refused to write a message")]
    PgWire(#[source] Box<pgwire::error::PgWireError>),
}

/// CopyData, header and all.
pub fn copy_data(out: &mut BytesMut, data: &[u8]) -> Result<(), EncodeError> {
    message(out, crate::tag::frontend::COPY_DATA, |out| {
        out.put_slice(data);
        Ok(())
    })
}

/// Appends a message whose body `write` appends, and patches its length.
fn message(
    out: &mut BytesMut,
    tag: u8,
    write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u8(tag);
    let length_at = out.len();
    out.put_u32(0);
    let written = write(out).and_then(|()| patch_length(out, length_at));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// The same for the packets that open a connection and have no type byte.
fn packet(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u32(0);
    let written = write(out).and_then(|()| patch_length(out, start));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Writes the distance from `at` to the end of the buffer into the four bytes at `at`.
fn patch_length(out: &mut BytesMut, at: usize) -> Result<(), EncodeError> {
    const TOO_LONG: EncodeError = EncodeError::TooLong { field: "the message" };
    let length = u32::try_from(out.len().saturating_sub(at)).map_err(|_| TOO_LONG)?;
    if length > LENGTH_MAX {
        return Err(TOO_LONG);
    }
    let word = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>).ok_or(TOO_LONG)?;
    *word = length.to_be_bytes();
    Ok(())
}

/// Lets pgwire write one of its messages.
fn pgwire(out: &mut BytesMut, message: &impl PgWireMessage) -> Result<(), EncodeError> {
    let start = out.len();
    message.encode(out).map_err(|error| {
        // pgwire appends the type byte before it checks the length.
        out.truncate(start);
        EncodeError::PgWire(Box::new(error))
    })
}

fn cstr(out: &mut BytesMut, text: &[u8], field: &'static str) -> Result<(), EncodeError> {
    if text.contains(&0) {
        return Err(EncodeError::ZeroByte { field });
    }
    out.put_slice(text);
    out.put_u8(0);
    Ok(())
}

fn count(out: &mut BytesMut, count: usize, field: &'static str) -> Result<(), EncodeError> {
    out.put_u16(u16::try_from(count).map_err(|_| EncodeError::TooLong { field })?);
    Ok(())
}

#[inline]
fn cell(out: &mut BytesMut, value: Option<&[u8]>) -> Result<(), EncodeError> {
    let Some(value) = value else {
        out.put_i32(-1);
        return Ok(());
    };
    out.put_i32(i32::try_from(value.len()).map_err(|_| EncodeError::TooLong { field: "a value" })?);
    out.put_slice(value);
    Ok(())
}

fn bare(out: &mut BytesMut, tag: u8) {
    out.put_u8(tag);
    out.put_u32(4);
}
