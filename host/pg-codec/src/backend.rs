//! What a server says, as borrowed views of one complete frame body.

mod auth;
mod copy;
mod fields;
mod row;
mod session;

use crate::{Malformed, read::Reader, tag::backend as tag};

pub use auth::{Authentication, Mechanisms};
pub use copy::CopyResponse;
pub use fields::{Report, field};
pub use row::{CommandTag, DataRow, Field, OwnedField, ParameterDescription, RowDescription};
pub use session::{BackendKeyData, NegotiateProtocolVersion, Notification, ParameterStatus, TransactionStatus};

/// One message of a server. Texts are bytes in the session's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    Authentication(Authentication<'a>),
    BackendKeyData(BackendKeyData<'a>),
    BindComplete,
    CloseComplete,
    CommandComplete(CommandTag<'a>),
    CopyBoth(CopyResponse<'a>),
    CopyData(&'a [u8]),
    CopyDone,
    CopyIn(CopyResponse<'a>),
    CopyOut(CopyResponse<'a>),
    DataRow(DataRow<'a>),
    EmptyQuery,
    Error(Report<'a>),
    /// `None` is NULL.
    FunctionCallResponse(Option<&'a [u8]>),
    NegotiateProtocolVersion(NegotiateProtocolVersion<'a>),
    NoData,
    Notice(Report<'a>),
    Notification(Notification<'a>),
    ParameterDescription(ParameterDescription<'a>),
    ParameterStatus(ParameterStatus<'a>),
    ParseComplete,
    PortalSuspended,
    ReadyForQuery(TransactionStatus),
    RowDescription(RowDescription<'a>),
}

impl<'a> Message<'a> {
    /// Reads exactly one body; bytes that are left over make it malformed. The values of a DataRow are checked while
    /// they are walked, everything else here.
    pub fn parse(tag: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        Ok(match tag {
            tag::AUTHENTICATION => Self::Authentication(Authentication::from_body(body)?),
            tag::BACKEND_KEY_DATA => Self::BackendKeyData(BackendKeyData::from_body(body)?),
            tag::BIND_COMPLETE => empty("BindComplete", body, Self::BindComplete)?,
            tag::CLOSE_COMPLETE => empty("CloseComplete", body, Self::CloseComplete)?,
            tag::COMMAND_COMPLETE => Self::CommandComplete(CommandTag::from_body(body)?),
            tag::COPY_BOTH_RESPONSE => Self::CopyBoth(CopyResponse::from_body("CopyBothResponse", body)?),
            tag::COPY_DATA => Self::CopyData(body),
            tag::COPY_DONE => empty("CopyDone", body, Self::CopyDone)?,
            tag::COPY_IN_RESPONSE => Self::CopyIn(CopyResponse::from_body("CopyInResponse", body)?),
            tag::COPY_OUT_RESPONSE => Self::CopyOut(CopyResponse::from_body("CopyOutResponse", body)?),
            tag::DATA_ROW => Self::DataRow(DataRow::from_body(body)?),
            tag::EMPTY_QUERY_RESPONSE => empty("EmptyQueryResponse", body, Self::EmptyQuery)?,
            tag::ERROR_RESPONSE => Self::Error(Report::from_body("ErrorResponse", body)?),
            tag::FUNCTION_CALL_RESPONSE => {
                let mut reader = Reader::new("FunctionCallResponse", body);
                let value = reader.cell("the result")?;
                reader.finish()?;
                Self::FunctionCallResponse(value)
            }
            tag::NEGOTIATE_PROTOCOL_VERSION => {
                Self::NegotiateProtocolVersion(NegotiateProtocolVersion::from_body(body)?)
            }
            tag::NO_DATA => empty("NoData", body, Self::NoData)?,
            tag::NOTICE_RESPONSE => Self::Notice(Report::from_body("NoticeResponse", body)?),
            tag::NOTIFICATION_RESPONSE => Self::Notification(Notification::from_body(body)?),
            tag::PARAMETER_DESCRIPTION => Self::ParameterDescription(ParameterDescription::from_body(body)?),
            tag::PARAMETER_STATUS => Self::ParameterStatus(ParameterStatus::from_body(body)?),
            tag::PARSE_COMPLETE => empty("ParseComplete", body, Self::ParseComplete)?,
            tag::PORTAL_SUSPENDED => empty("PortalSuspended", body, Self::PortalSuspended)?,
            tag::READY_FOR_QUERY => Self::ReadyForQuery(TransactionStatus::from_body(body)?),
            tag::ROW_DESCRIPTION => Self::RowDescription(RowDescription::from_body(body)?),
            tag => return Err(Malformed::UnknownType { side: "server", tag }),
        })
    }
}

fn empty<T>(message: &'static str, body: &[u8], value: T) -> Result<T, Malformed> {
    Reader::new(message, body).finish().map(|()| value)
}
