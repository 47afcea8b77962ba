//! What the components of the museum are asked. The names are the keys of the golden table.

use std::sync::Arc;

use grille_policy::{
    Access, Actor, BaseColumn, Batch, Body, Certainty, ColumnName, ColumnUse, Effect, Exchange, Filter, FunctionUse,
    Header, KeyKind, Operation, Parameter, RelationName, RelationUse, Response, ResultColumn, ResultShape,
    SessionFacts, Statement, StatementFacts, Subject, TransactionState, Usage, Write, testing,
};
use serde_json::{Value, json};

pub(super) fn settings() -> [(&'static str, Value); 3] {
    [
        ("settings none", Value::Null),
        ("settings fine", json!({"greeting": "a \"quoted\" word\n\u{1f600}"})),
        ("settings wrong", json!({"zebra": {"greeting": "x"}, "greeting": ["hello"], "a/b~c": 1, "é": "\\"})),
    ]
}

/// The last one is used for all that follows.
pub(super) fn sessions() -> [(&'static str, SessionFacts); 4] {
    let session = testing::session();
    let of = |change: fn(&mut Subject)| {
        let mut subject = (*session.subject).clone();
        change(&mut subject);
        SessionFacts { subject: Arc::new(subject), ..session.clone() }
    };
    let stranger = of(|subject| subject.groups.push("strangers".into()));
    let nobody = SessionFacts { roles: vec!["reader".into()], ..of(|subject| subject.groups.clear()) };
    let agent = SessionFacts {
        roles: vec!["analyst".into(), "writer".into()],
        tls: Some("TLS 1.3, TLS13_AES_256_GCM_SHA384".into()),
        ..of(|subject| {
            subject.name = "Zoë \u{1f600}".into();
            subject.groups = vec!["a".into(), "b".into()];
            subject.actors = vec![
                Actor { issuer: "https://id.example.org".into(), sub: "agent-1".into() },
                Actor { issuer: "https://other.example.org".into(), sub: "agent-2".into() },
            ];
        })
    };
    [("stranger", stranger), ("nobody", nobody), ("agent", agent), ("analyst", session)]
}

pub(super) fn statements() -> Vec<(&'static str, Operation)> {
    let plain = |text: &str, facts: StatementFacts| Statement {
        text: text.into(),
        facts: Arc::new(StatementFacts { fingerprint: "6e8d2a3f00c1b944".into(), statements: 1, ..facts }),
        parameters: Arc::new([]),
        transaction: TransactionState::Idle,
    };
    let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).into()).collect::<Vec<Arc<str>>>();
    let with = |type_oid, is_binary, value: Option<&[u8]>| {
        let parameter = Parameter { type_oid, is_binary, value: value.map(Into::into) };
        let second = Parameter { type_oid: 0, is_binary: false, value: None };
        Statement {
            parameters: Arc::new([parameter, second]),
            transaction: TransactionState::Open,
            ..plain("select $1", StatementFacts { kinds: kinds(&["SELECT"]), ..StatementFacts::default() })
        }
    };
    let drop =
        StatementFacts { kinds: kinds(&["DROP TABLE"]), effects: vec![Effect::Ddl], ..StatementFacts::default() };
    let write = StatementFacts { kinds: kinds(&["UPDATE"]), effects: vec![Effect::Write], ..StatementFacts::default() };
    let failed = Statement { transaction: TransactionState::Failed, ..plain("", StatementFacts::default()) };
    let cases = vec![
        ("drop", plain("drop table t", drop)),
        ("write", plain("update t set a = 1", write)),
        ("empty", failed),
        ("rich", plain("select … from \"Ünï\"", rich())),
        ("text parameter", with(25, false, Some("naïve".as_bytes()))),
        ("binary parameter", with(23, true, Some(&[0, 0, 0, 7]))),
        ("null parameter", with(1043, false, None)),
        ("empty parameter", with(25, false, Some(b""))),
        // Overlong, surrogate, truncated: each language must come to the same U+FFFD.
        ("broken parameter", with(17, true, Some(b"a\xc0\xaf\xed\xa0\x80b\xf0\x9f\x98c\xf4\x90\x80\x80\xe2\x82"))),
        ("imports", plain("select 'imports'", StatementFacts::default())),
        ("imports again", plain("select 'imports', 2", StatementFacts::default())),
    ];
    cases.into_iter().map(|(name, statement)| (name, Operation::Statement(statement))).collect()
}

fn rich() -> StatementFacts {
    let relation = |name: &str| RelationName { schema: "public".into(), name: name.into() };
    let uses = |name: &str, access| RelationUse { relation: relation(name), access };
    let columns = [Usage::Projected, Usage::Filtered, Usage::Joined, Usage::Grouped, Usage::Ordered, Usage::Written];
    let write = |kind: &str, filter| Write { kind: kind.into(), relation: relation("patients"), filter };
    StatementFacts {
        statements: 2,
        kinds: vec!["COPY".into(), "SELECT".into()],
        // Not `write`: that is another case.
        effects: vec![Effect::Read, Effect::Session, Effect::Copy, Effect::Ddl, Effect::Privilege, Effect::Procedural],
        relations: vec![uses("Ünï", Access::Read), uses("patients", Access::Write)],
        columns: columns.map(|usage| ColumnUse { column: column("public.patients.ssn"), usage }).to_vec(),
        functions: vec![
            FunctionUse { name: "pg_catalog.upper".into(), is_known: true },
            FunctionUse { name: "mystery".into(), is_known: false },
        ],
        writes: vec![write("COPY", Filter::Absent), write("DELETE", Filter::None), write("UPDATE", Filter::Effective)],
        unknown: vec!["a DO block".into(), "a view of a view".into()],
        ..StatementFacts::default()
    }
}

/// More than are read at once.
pub(super) fn columns() -> Vec<BaseColumn> {
    let base = |name: &str, type_name: &str, key, comment: &str| BaseColumn {
        name: column(name),
        type_oid: 25,
        type_name: type_name.into(),
        key,
        comment: comment.into(),
    };
    let plain = |index| base(&format!("public.wide.c{index}"), "int4", KeyKind::Primary, "");
    let mut columns: Vec<BaseColumn> = (0..199).map(plain).collect();
    columns.extend([
        base("public.patients.ssn", "date", KeyKind::Foreign, "secret"),
        base("public.patients.born", "date", KeyKind::Foreign, "secret"),
        base("public.patients.note", "text", KeyKind::Foreign, "top secret"),
        base("public.patients.doctor", "int8", KeyKind::Foreign, "Secret"),
        base("public.patients.zip", "text", KeyKind::None, ""),
    ]);
    columns
}

pub(super) fn shapes() -> [(&'static str, ResultShape); 3] {
    let shown = |name: &str, type_oid, type_name: &str, origins: &[&str], certainty| ResultColumn {
        name: name.into(),
        type_oid,
        type_name: type_name.into(),
        origins: origins.iter().map(|origin| column(origin)).collect(),
        certainty,
    };
    let clear = vec![
        shown("shout", 25, "text", &["public.patients.name"], Certainty::Derived),
        shown("a b", 1082, "date", &["public.patients.born", "public.patients.ssn"], Certainty::Derived),
        shown("?column?", 23, "int4", &[], Certainty::Exact),
    ];
    let unclear = [clear.clone(), vec![shown("ï", 0, "unknown", &[], Certainty::Unknown)]].concat();
    [
        ("result", ResultShape { columns: clear }),
        ("unclear result", ResultShape { columns: unclear }),
        ("no columns", ResultShape { columns: Vec::new() }),
    ]
}

/// Nine values, so that the bits of NULL take two bytes.
pub(super) fn batch() -> Batch {
    let values = ["ann", "", "Straße", "[a-z]{|}", "\u{1f600}x", "", "", "z", "y"];
    let mut batch = Batch { column: 0, blob: Vec::new(), offsets: vec![0], nulls: vec![0b0110_0000, 0] };
    for value in values {
        batch.blob.extend_from_slice(value.as_bytes());
        batch.offsets.push(u32::try_from(batch.blob.len()).expect("short"));
    }
    batch
}

pub(super) fn exchanges() -> Vec<(&'static str, Exchange)> {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(Arc<str>, Arc<str>)> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    };
    let get = Exchange {
        method: "GET".into(),
        authority: "api.example.org:443".into(),
        path: "/Patient/7 ü".into(),
        query: pairs(&[("q", "first"), ("name", "Zoë"), ("q", ""), ("", "x")]),
        endpoint: Some("GET /Patient/**".into()),
        headers: headers(&[("accept", b"application/json"), ("x-odd", b"\xff"), ("accept", b"*/*"), ("x-empty", b"")]),
        body: Body::Whole(Arc::from(&b""[..])),
        response: None,
    };
    let post = |path: &str, body| Exchange {
        method: "POST".into(),
        path: path.into(),
        query: Vec::new(),
        endpoint: None,
        headers: Vec::new(),
        body,
        ..get.clone()
    };
    let answered = |status, body, of: &[(&str, &[u8])]| Exchange {
        response: Some(Response { status, headers: headers(of), body }),
        ..get.clone()
    };
    let whole = |bytes: &[u8]| Body::Whole(Arc::from(bytes));
    vec![
        ("get", get.clone()),
        ("post", post("/Patient", whole("{\"name\": \"Zoë\"}".as_bytes()))),
        ("secret", post("/secrets", whole(&[b'x'; 1024]))),
        ("long", post("/x/secret", whole(&[b'x'; 1025]))),
        ("too large", post("/", Body::TooLarge)),
        ("streamed", post("/", Body::Streamed)),
        ("answer", answered(200, whole(b"{}"), &[("content-type", b"application/json"), ("etag", b"\"1\"")])),
        ("streamed answer", answered(404, Body::Streamed, &[])),
        ("large answer", answered(499, Body::TooLarge, &[])),
        ("broken answer", answered(500, whole(b"\xfe"), &[("content-type", b"text/plain")])),
    ]
}

fn headers(headers: &[(&str, &[u8])]) -> Vec<Header> {
    headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn column(name: &str) -> ColumnName {
    let parts: Vec<&str> = name.split('.').collect();
    let [schema, table, column] = parts[..] else { panic!("{name} has three parts") };
    ColumnName { schema: schema.into(), table: table.into(), column: column.into() }
}
