use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use grille_review::{NotFound, RefusedDecision};
use serde::{Deserialize, Serialize};

use crate::rooms::{NotIdentified, NotKept, Unreadable, Unrecorded};

/// An error of the API (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem, in the words of HTTP.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do.
    pub detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { title, status: status.as_u16(), detail: detail.into() }
    }

    fn unavailable(what: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "{what}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{what}: {error}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<NotIdentified> for Problem {
    fn from(error: NotIdentified) -> Self {
        match error {
            NotIdentified::Denied(why) => Self::new(StatusCode::UNAUTHORIZED, why),
            NotIdentified::Unavailable(why) => Self::new(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }
}

impl From<Unrecorded> for Problem {
    fn from(error: Unrecorded) -> Self {
        Self::unavailable("this could not be recorded, so it is not shown or done", &error)
    }
}

impl From<NotKept> for Problem {
    fn from(error: NotKept) -> Self {
        match error {
            NotKept::No(why) => Self::new(StatusCode::CONFLICT, why),
            NotKept::Unavailable(_) => Self::unavailable("the ledger cannot do this now", &error),
        }
    }
}

impl From<Unreadable> for Problem {
    fn from(error: Unreadable) -> Self {
        Self::unavailable("the ledger cannot be read", &error)
    }
}

impl From<NotFound> for Problem {
    fn from(error: NotFound) -> Self {
        let status = match error {
            NotFound::Ambiguous { .. } => StatusCode::CONFLICT,
            _ => StatusCode::NOT_FOUND,
        };
        Self::new(status, error.to_string())
    }
}

impl From<RefusedDecision> for Problem {
    fn from(error: RefusedDecision) -> Self {
        use RefusedDecision as Refused;
        let status = match error {
            Refused::NotFound(error) => return error.into(),
            Refused::Own { .. } | Refused::NotAPerson { .. } | Refused::NotReviewer { .. } => StatusCode::FORBIDDEN,
            Refused::Closed { .. } | Refused::Voted { .. } | Refused::TooManyVotes { .. } => StatusCode::CONFLICT,
            Refused::ReasonTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::Unjournaled(ref cause) => return Self::unavailable(&error.to_string(), cause),
            Refused::Unsigned(ref cause) => return Self::unavailable(&error.to_string(), cause),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(error: JsonRejection) -> Self {
        Self::new(error.status(), error.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(error: QueryRejection) -> Self {
        Self::new(error.status(), error.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(error: PathRejection) -> Self {
        Self::new(error.status(), error.body_text())
    }
}
