//! What a caller reads when the answer is Grille's own: verdicts and failures on the wire.

use bytes::BytesMut;
use grille_pg_codec::backend::field;
use grille_pg_codec::encode::{self, EncodeError};
use grille_policy::{DecisionId, Fault, Finding, RequestId};

/// One error or notice of Grille's, ready for the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) sqlstate: &'static str,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) fault: Fault,
}

/// The SQLSTATEs that Grille answers with, and nothing else.
pub(crate) mod sqlstate {
    /// Blocked, needs approval, or a plugin failed.
    pub(crate) const REFUSED: &str = "42501";
    /// A hold ran out or was cancelled.
    pub(crate) const CANCELED: &str = "57014";
    /// A lock that was not to be had in time.
    pub(crate) const LOCKED: &str = "55P03";
    /// A bad token.
    pub(crate) const BAD_TOKEN: &str = "28P01";
    /// No role, or no way in.
    pub(crate) const NO_ROLE: &str = "28000";
    /// No such target.
    pub(crate) const NO_TARGET: &str = "3D000";
    /// The ledger cannot be written.
    pub(crate) const UNRECORDED: &str = "53100";
    /// Too many connections.
    pub(crate) const FULL: &str = "53300";
    /// A limit.
    pub(crate) const LIMIT: &str = "54000";
    /// The session ends.
    pub(crate) const ENDED: &str = "57P01";
    /// Malformed bytes.
    pub(crate) const MALFORMED: &str = "08P01";
    /// The target cannot be reached or refuses us.
    pub(crate) const UNREACHABLE: &str = "08006";
    /// A name that Grille never saw prepared.
    pub(crate) const NO_STATEMENT: &str = "26000";
    /// A portal that Grille never saw bound.
    pub(crate) const NO_PORTAL: &str = "34000";
    /// A relation that is not there.
    pub(crate) const NO_RELATION: &str = "42P01";
    /// A function that is not there.
    pub(crate) const NO_FUNCTION: &str = "42883";
    /// Skipped behind a failure: the transaction has failed.
    pub(crate) const SKIPPED: &str = "25P02";
    /// What Grille does not speak.
    pub(crate) const UNSUPPORTED: &str = "0A000";
}

impl Answer {
    pub(crate) fn new(sqlstate: &'static str, fault: Fault, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), detail: None, hint: None, fault }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// A decision against the operation.
    pub(crate) fn blocked(finding: &Finding, decision: DecisionId) -> Self {
        // What is not there is said as the server says it: programs tell by the SQLSTATE.
        let sqlstate = match &*finding.rule {
            "unknown-relation" => sqlstate::NO_RELATION,
            "unknown-function" => sqlstate::NO_FUNCTION,
            _ => sqlstate::REFUSED,
        };
        Self::new(sqlstate, Fault::Policy, finding.message.to_string())
            .with_detail(format!("Rule: {}.", finding.rule))
            .with_hint(format!("decision {decision}"))
    }

    /// A review that is not waited for.
    pub(crate) fn needs_approval(reason: &str, request: RequestId, decision: DecisionId) -> Self {
        Self::new(sqlstate::REFUSED, Fault::Policy, format!("approval needed: {reason}"))
            .with_detail(format!("Run the same statement again once it is approved; decision {decision}."))
            .with_hint(format!("request {request}"))
    }

    pub(crate) fn unrecorded() -> Self {
        Self::new(
            sqlstate::UNRECORDED,
            Fault::Gateway,
            "the ledger cannot be written, so nothing is forwarded; tell the operator",
        )
    }

    /// What the server skips because something before it in its pipeline failed. Only records hold it.
    pub(crate) fn skipped() -> Self {
        Self::new(sqlstate::SKIPPED, Fault::Caller, "skipped: something before it in its pipeline failed")
    }

    /// Of what people let pass and the caller never executed.
    pub(crate) fn unused() -> Self {
        Self::new(sqlstate::SKIPPED, Fault::Caller, "approved, but it was never executed")
    }

    /// Of what people let pass and the caller executed too late.
    pub(crate) fn ran_out() -> Self {
        let message = "the approval ran out, or the policies changed, before it was executed; ask again";
        Self::new(sqlstate::REFUSED, Fault::Policy, message)
    }

    pub(crate) fn function_call() -> Self {
        let message = "function calls by OID bypass every statement and are refused; call the function in a SELECT";
        Self::new(sqlstate::UNSUPPORTED, Fault::Caller, message)
    }

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::new(sqlstate::MALFORMED, Fault::Caller, what)
    }

    fn write(&self, severity: &str, out: &mut BytesMut) {
        let texts = [
            (field::SEVERITY, Some(severity)),
            (field::SEVERITY_PLAIN, Some(severity)),
            (field::SQLSTATE, Some(self.sqlstate)),
            (field::MESSAGE, Some(self.message.as_str())),
            (field::DETAIL, self.detail.as_deref()),
            (field::HINT, self.hint.as_deref()),
        ];
        write_report(&texts, out, encode::error_response);
    }

    /// As an error after which the session goes on.
    pub(crate) fn write_error(&self, out: &mut BytesMut) {
        self.write("ERROR", out);
    }

    /// As the last word before the connection closes.
    pub(crate) fn write_fatal(&self, out: &mut BytesMut) {
        self.write("FATAL", out);
    }
}

/// A notice of Grille's: a held operation.
pub(crate) fn write_notice(out: &mut BytesMut, message: &str, hint: &str) {
    let texts = [
        (field::SEVERITY, Some("NOTICE")),
        (field::SEVERITY_PLAIN, Some("NOTICE")),
        (field::SQLSTATE, Some("00000")),
        (field::MESSAGE, Some(message)),
        (field::HINT, Some(hint)),
    ];
    write_report(&texts, out, encode::notice_response);
}

/// A policy's words may hold anything; a zero byte would end the field on the wire.
fn write_report(
    texts: &[(u8, Option<&str>)],
    out: &mut BytesMut,
    encode: impl Fn(&mut BytesMut, &[(u8, &str)]) -> Result<(), EncodeError>,
) {
    let clean: Vec<(u8, String)> =
        texts.iter().filter_map(|(code, text)| Some((*code, text.as_ref()?.replace('\0', " ")))).collect();
    let fields: Vec<(u8, &str)> = clean.iter().map(|(code, text)| (*code, text.as_str())).collect();
    encode(out, &fields).expect("fields without zero bytes, of texts that are far below a message's limit");
}
