//! The document format. Every key is listed; what is unknown is an error with its place.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A file of test cases: what they have in common, and the cases. A bare list of cases will do as well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// Where editors find the JSON Schema of this file.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<String>,
    /// Settings of cases that name none. Without them a case runs under the policy's own when the gateway loads the
    /// plugin, and under an empty table otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
    /// The session of cases that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<CaseSession>,
    /// The tables that statements of all cases find: `"public.patients": ["id int8", "ssn text"]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schema: BTreeMap<String, Vec<String>>,
    /// The cases, each with a name of its own.
    pub cases: Vec<Case>,
}

/// One question to a hook, and the answer that it must give. Exactly one of `open`, `statement`, `columns`, `result`,
/// `transform`, `request` and `response` is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in a few words.
    pub name: String,
    /// The settings that it runs under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<CaseSession>,
    /// What the host answers meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostSide>,
    /// The opening of the session: `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<BTreeMap<String, Value>>,
    /// SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<StatementCase>,
    /// Columns of tables, to be classified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<CaseColumn>>,
    /// The shape of a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultCase>,
    /// Values to be rewritten by the plugin's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<TransformCase>,
    /// An HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// An HTTP response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// What it must answer.
    pub expect: Expect,
}

/// Facts of a session; each has a plain value where the case says nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaseSession {
    /// The held roles: `["analyst"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// The groups of the token: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The token's subject: `ann`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The token's issuer: `https://id.example.org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The name for people: the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Who acts for the subject, outermost first: nobody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<ActorFacts>,
    /// All claims of the token: issuer and subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Value>,
    /// The end of the token in Unix seconds: far away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// The target's name: `clinic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `postgres`, or `http` where a request or a response is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The listener's name: `pg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The caller's address: `192.0.2.7:50000`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// What the caller says it is: `psql`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// TLS version and cipher: none, as on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
}

/// Somebody who acts for the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActorFacts {
    /// The issuer: the session's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The subject.
    pub subject: String,
}

/// What the host answers in a case. Counters and values start empty each time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostSide {
    /// What is granted: all that the plugin wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<String>>,
    /// The clock, in milliseconds since 1970: 1767225600000, the first of January 2026.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now_ms: Option<u64>,
    /// Services: name → key → answer. A key that is not listed has none; a service that is not listed is unavailable.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lookups: BTreeMap<String, BTreeMap<String, String>>,
}

/// SQL text and what is known beside it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatementCase {
    /// The text.
    pub sql: String,
    /// The tables that it finds: those of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<BTreeMap<String, Vec<String>>>,
    /// Bound parameters in text form; null is NULL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Option<String>>,
    /// `idle`, `open` or `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TransactionWord>,
}

/// The transaction block's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionWord {
    /// Outside a block.
    #[default]
    Idle,
    /// Inside one.
    Open,
    /// Inside a failed one.
    Failed,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseColumn {
    /// `schema.table.column`.
    pub name: String,
    /// Its type: `text`.
    #[serde(rename = "type", default = "text_type")]
    pub type_name: String,
    /// Its part in keys: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyWord>,
    /// The comment on it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// A part in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyWord {
    /// It is, or is part of, the primary key.
    Primary,
    /// It refers to another table.
    Foreign,
}

/// The shape of a result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultCase {
    /// Its columns, left to right.
    pub columns: Vec<CaseResultColumn>,
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseResultColumn {
    /// The name that the caller sees.
    pub name: String,
    /// Its type: `text`.
    #[serde(rename = "type", default = "text_type")]
    pub type_name: String,
    /// The base columns that it comes from, as `schema.table.column`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// How sure that is: `exact`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<CertaintyWord>,
}

/// How sure the origin of a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertaintyWord {
    /// The value of its one origin, unchanged.
    Exact,
    /// Computed out of its origins.
    Derived,
    /// Cannot be told.
    Unknown,
}

/// Values that the plugin rewrites: of one column of a result, or with `place` of an HTTP body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformCase {
    /// The column that they are of: a text called `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<CaseResultColumn>,
    /// The place in an HTTP body that they are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The request whose body it is: `GET /`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// The values in text form; null is NULL.
    pub values: Vec<Option<String>>,
}

/// An HTTP request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `GET` and the like.
    pub method: String,
    /// The path, decoded.
    pub path: String,
    /// Host and port: `api.example.org`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Names and values of the query, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<(String, String)>,
    /// The endpoint's pattern that let it through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Fields of the header, names in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// An HTTP response.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Fields of the header, names in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body: it streams past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// The request that it answers: `GET /`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
}

/// What there is of a body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// A text, as it is.
    Text(String),
    /// JSON, written without spaces.
    Json(Value),
    /// It is longer than the host keeps: `{"too-large": {}}`.
    TooLarge {},
    /// It streams past: `{"streamed": {}}`.
    Streamed {},
}

/// What a case must answer. What is not named is not looked at, but the verdict: it is `allow` unless named.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// `allow`, `review` or `block`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictWord>,
    /// The rule that blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What the message of the block, or the reason of the review, must contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The rules of all findings besides a block's own, in any order, each once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<String>>,
    /// One per column, as `keep`, `redact`, `token(class)`, `partial(4)`, `shift(class, 30)`, `transform`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub treatments: Option<Vec<String>>,
    /// The treatments of an HTTP body by place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub places: Option<BTreeMap<Place, String>>,
    /// The values as they were rewritten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Option<String>>>,
}

/// A place in an HTTP body.
pub type Place = String;

/// A verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictWord {
    /// It passes.
    #[default]
    Allow,
    /// People decide.
    Review,
    /// It is refused.
    Block,
}

fn text_type() -> String {
    "text".to_owned()
}

impl Case {
    /// The hook that the case asks, or what is wrong with it.
    pub(super) fn check(&self) -> Result<&'static str, String> {
        let transformed = self.transform.as_ref().map(|asked| asked.place.is_some());
        let asked = [
            ("session", self.open.is_some()),
            ("sql", self.statement.is_some()),
            ("sql-columns", self.columns.is_some()),
            ("sql-result", self.result.is_some()),
            ("sql-values", transformed == Some(false)),
            ("http-values", transformed == Some(true)),
            ("http-request", self.request.is_some()),
            ("http-response", self.response.is_some()),
        ];
        let mut asked = asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(hook, _)| hook);
        let words = "`open`, `statement`, `columns`, `result`, `transform`, `request` and `response`";
        match (asked.next(), asked.next()) {
            _ if self.name.trim().is_empty() => Err("it needs a name".into()),
            (Some("session"), _) if self.open.as_ref().is_some_and(|open| !open.is_empty()) => {
                Err("`open` takes no keys; who opens stands under `session`".into())
            }
            (Some(hook), None) => Ok(hook),
            (None, _) => Err(format!("it asks nothing; it needs one of {words}")),
            (Some(_), Some(_)) => Err(format!("it asks more than one thing; it needs exactly one of {words}")),
        }
    }
}

/// The JSON Schema of a file of cases.
#[must_use]
pub fn cases_schema() -> Value {
    let mut schema = schemars::schema_for!(CaseFile).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Test cases of a Grille plugin".into());
    }
    schema
}
