use std::sync::Arc;

use crate::{Decision, Treatment};

/// One HTTP request and, once there is one, the response to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Such as `GET`.
    pub method: Arc<str>,
    /// The host and port that the caller asked for.
    pub authority: Arc<str>,
    /// The path, decoded once, without `.`, `..` and doubled slashes: as it was routed.
    pub path: Arc<str>,
    /// The query's names and values, decoded, in order.
    pub query: Vec<(Arc<str>, Arc<str>)>,
    /// The pattern of the role's `endpoints` that let it through.
    pub endpoint: Option<Arc<str>>,
    /// The header, names in lower case, without credentials.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Body,
    /// The response; none while the request is judged.
    pub response: Option<Response>,
}

/// One field of a header.
pub type Header = (Arc<str>, Arc<[u8]>);

/// A response, as far as it is known when it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The header, names in lower case, without credentials.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Body,
}

/// What is there of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Arc<[u8]>),
    /// It is longer than the host keeps.
    TooLarge,
    /// It streams past.
    Streamed,
}

/// What happens to a request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangePlan {
    /// The verdict; on a response `review` counts as block.
    pub decision: Decision,
    /// What happens to the values at each place. Places of several policies may overlap: where several match a value,
    /// the treatments join.
    pub treatments: Vec<(Place, Treatment)>,
}

/// A JSON pointer (RFC 6901) in which a part `*` stands for any one member or index, `**` for any number of them.
pub type Place = Arc<str>;
