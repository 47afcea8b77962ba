//! What Grille says to the caller in the server's place.

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::{
    response::{ErrorResponse, NoticeResponse},
    startup::Authentication,
};

use super::{EncodeError, bare, count, cstr, message, pgwire};
use crate::{
    backend::{Field, TransactionStatus},
    startup::{CANCEL_KEY_BYTES, Version},
    tag::backend as tag,
};

/// The one byte that answers SSLRequest or GSSENCRequest.
pub fn ssl_answer(out: &mut BytesMut, willing: bool) {
    out.put_u8(if willing { b'S' } else { b'N' });
}

pub fn authentication_ok(out: &mut BytesMut) -> Result<(), EncodeError> {
    pgwire(out, &Authentication::Ok)
}

pub fn authentication_cleartext_password(out: &mut BytesMut) -> Result<(), EncodeError> {
    pgwire(out, &Authentication::CleartextPassword)
}

/// Offers SASL mechanisms, best first.
pub fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&str]) -> Result<(), EncodeError> {
    if mechanisms.iter().any(|name| name.is_empty() || name.contains('\0')) {
        return Err(EncodeError::ZeroByte { field: "a mechanism" });
    }
    pgwire(out, &Authentication::SASL(mechanisms.iter().map(|name| (*name).to_owned()).collect()))
}

pub fn authentication_sasl_continue(out: &mut BytesMut, data: &[u8]) -> Result<(), EncodeError> {
    pgwire(out, &Authentication::SASLContinue(Bytes::copy_from_slice(data)))
}

pub fn authentication_sasl_final(out: &mut BytesMut, data: &[u8]) -> Result<(), EncodeError> {
    pgwire(out, &Authentication::SASLFinal(Bytes::copy_from_slice(data)))
}

/// More is no value of a setting.
const PARAMETER_BYTES_MAX: usize = 16 << 10;

/// Both in the encoding that they came in.
pub fn parameter_status(out: &mut BytesMut, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
    if value.len() > PARAMETER_BYTES_MAX {
        return Err(EncodeError::TooLong { field: "a parameter" });
    }
    message(out, tag::PARAMETER_STATUS, |out| {
        cstr(out, name, "a parameter")?;
        cstr(out, value, "a parameter")
    })
}

/// 4 bytes of key up to protocol 3.0, up to 256 since 3.2.
pub fn backend_key_data(out: &mut BytesMut, pid: i32, key: &[u8]) -> Result<(), EncodeError> {
    if !CANCEL_KEY_BYTES.contains(&key.len()) {
        return Err(EncodeError::TooLong { field: "the cancel key" });
    }
    message(out, tag::BACKEND_KEY_DATA, |out| {
        out.put_i32(pid);
        out.put_slice(key);
        Ok(())
    })
}

/// The full packed version, as PostgreSQL's source sends it, and every protocol option that is not known here.
pub fn negotiate_protocol_version<'a>(
    out: &mut BytesMut,
    newest: Version,
    unknown: impl IntoIterator<Item = &'a str>,
) -> Result<(), EncodeError> {
    message(out, tag::NEGOTIATE_PROTOCOL_VERSION, |out| {
        out.put_u32(newest.packed());
        let count_at = out.len();
        out.put_u32(0);
        let mut names = 0_u32;
        for name in unknown {
            names = names.saturating_add(1);
            cstr(out, name.as_bytes(), "a protocol option")?;
        }
        if let Some(word) = out.get_mut(count_at..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *word = names.to_be_bytes();
        }
        Ok(())
    })
}

pub fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    out.put_u8(tag::READY_FOR_QUERY);
    out.put_u32(5);
    out.put_u8(status.code());
}

pub fn row_description<'a>(
    out: &mut BytesMut,
    fields: impl ExactSizeIterator<Item = Field<'a>>,
) -> Result<(), EncodeError> {
    message(out, tag::ROW_DESCRIPTION, |out| {
        count(out, fields.len(), "the list of columns")?;
        for field in fields {
            cstr(out, field.name, "a column's name")?;
            out.put_u32(field.table_oid);
            out.put_i16(field.attnum);
            out.put_u32(field.type_oid);
            out.put_i16(field.type_len);
            out.put_i32(field.typmod);
            out.put_u16(field.format.code());
        }
        Ok(())
    })
}

pub fn parameter_description(out: &mut BytesMut, types: &[u32]) -> Result<(), EncodeError> {
    message(out, tag::PARAMETER_DESCRIPTION, |out| {
        count(out, types.len(), "the list of parameters")?;
        types.iter().for_each(|oid| out.put_u32(*oid));
        Ok(())
    })
}

/// An error from field codes ([`crate::backend::field`]) and texts. Zero bytes inside a text become spaces.
pub fn error_response(out: &mut BytesMut, fields: &[(u8, &str)]) -> Result<(), EncodeError> {
    pgwire(out, &ErrorResponse::new(report(fields)))
}

/// A notice, by the same rules as an error.
pub fn notice_response(out: &mut BytesMut, fields: &[(u8, &str)]) -> Result<(), EncodeError> {
    pgwire(out, &NoticeResponse::new(report(fields)))
}

fn report(fields: &[(u8, &str)]) -> Vec<(u8, String)> {
    let codes = fields.iter().filter(|(code, _)| *code != 0);
    codes.map(|(code, text)| (*code, text.replace('\0', " "))).collect()
}

pub fn command_complete(out: &mut BytesMut, command: &str) -> Result<(), EncodeError> {
    message(out, tag::COMMAND_COMPLETE, |out| cstr(out, command.as_bytes(), "the command tag"))
}

pub fn parse_complete(out: &mut BytesMut) {
    bare(out, tag::PARSE_COMPLETE);
}

pub fn bind_complete(out: &mut BytesMut) {
    bare(out, tag::BIND_COMPLETE);
}

pub fn close_complete(out: &mut BytesMut) {
    bare(out, tag::CLOSE_COMPLETE);
}

pub fn empty_query_response(out: &mut BytesMut) {
    bare(out, tag::EMPTY_QUERY_RESPONSE);
}

pub fn no_data(out: &mut BytesMut) {
    bare(out, tag::NO_DATA);
}

pub fn portal_suspended(out: &mut BytesMut) {
    bare(out, tag::PORTAL_SUSPENDED);
}
