//! `hello` in Rust: every hook, every method of every handle and every import, once.

mod facts;
mod imports;
mod settings;

use std::cell::OnceCell;
use std::thread::LocalKey;

use grille_sdk::{
    Batch, Certainty, Columns, ColumnsHook, Exchange, ExchangePlan, Finding, HttpValuesHook, KeyKind, OpenHook,
    Opinion, PlaceTreatment, Policy, Quorum, RequestHook, ResponseHook, ResultHook, ResultPlan, ResultShape, Session,
    Settings, Severity, SqlHook, Statement, Terms, Treatment, ValuesHook, Verdict, bindings, log, runtime,
};
use settings::Lifecycle;

/// Columns that are read at once.
const AT_ONCE: u32 = 100;

struct Hello {
    greeting: String,
}

impl Policy for Hello {
    fn new(settings: &mut Settings) -> Self {
        Self { greeting: settings.text("greeting").unwrap_or_else(|| "hello".to_owned()) }
    }
}

impl OpenHook for Hello {
    fn open(&self, session: &Session) -> Opinion {
        log::write(log::Level::Info, &format!("{}: a session opens", self.greeting));
        if session.has_group("strangers") {
            return Opinion::block("stranger", Severity::High, format!("{}, stranger", self.greeting));
        }
        let message = format!("{}, {}", self.greeting, session.display_name());
        Opinion::allow().noting(finding("who", Severity::Info, message, facts::session(session)))
    }
}

impl SqlHook for Hello {
    fn judge(&self, _session: &Session, statement: &Statement) -> Opinion {
        if statement.has_kind("DROP TABLE") {
            return Opinion::block("drop", Severity::Critical, format!("{}, no", self.greeting));
        }
        if statement.has_effect("write") {
            let terms = Terms {
                quorums: vec![Quorum { groups: vec!["reviewers".to_owned()], people: 2 }],
                hold_ms: Some(1000),
                hold_in_transaction: true,
                reason: format!("{}, look at this", self.greeting),
            };
            return Opinion { verdict: Verdict::Review(terms), findings: Vec::new() };
        }
        let text = statement.text();
        let asks = text.contains("imports");
        let opinion = Opinion::allow().noting(finding("what", Severity::Low, text, facts::statement(statement)));
        match asks {
            true => opinion.noting(finding("imports", Severity::Medium, "imports".to_owned(), imports::all())),
            false => opinion,
        }
    }
}

impl ColumnsHook for Hello {
    fn classify(&self, _session: &Session, columns: &Columns) -> Vec<Treatment> {
        let all = (0..columns.len()).step_by(AT_ONCE as usize).flat_map(|start| columns.range(start, AT_ONCE));
        all.map(|column| match () {
            () if column.column == "ssn" => Treatment::token("ssn"),
            () if column.type_name == "date" => Treatment::year(),
            () if column.comment.contains("secret") => Treatment::null(),
            () if column.key == KeyKind::Foreign => Treatment::redact(),
            () => Treatment::Keep,
        })
        .collect()
    }
}

impl ResultHook for Hello {
    fn plan(&self, _session: &Session, shape: &ResultShape) -> ResultPlan {
        let columns: Vec<_> =
            (0..shape.len()).step_by(AT_ONCE as usize).flat_map(|start| shape.range(start, AT_ONCE)).collect();
        let verdict = match columns.iter().any(|column| column.certainty == Certainty::Unknown) {
            true => block("opaque", Severity::High, format!("{}, unclear", self.greeting)),
            false => Verdict::Allow,
        };
        let treatments = columns.iter().map(|column| match () {
            () if column.name == "shout" => Treatment::Transform,
            () if column.certainty == Certainty::Derived => Treatment::redact(),
            () => Treatment::Keep,
        });
        let message = format!("{} columns", columns.len());
        let findings = vec![finding("shape", Severity::Info, message, facts::shape(&columns))];
        ResultPlan { verdict, findings, treatments: treatments.collect() }
    }
}

impl ValuesHook for Hello {
    fn transform(&self, _session: &Session, _shape: &ResultShape, _column: u32, values: Batch) -> Batch {
        in_capitals(values)
    }
}

impl RequestHook for Hello {
    fn request(&self, _session: &Session, exchange: &Exchange) -> ExchangePlan {
        let path = exchange.path();
        let verdict = match path.starts_with("/secret") {
            true => block("secret", Severity::High, format!("{}, no", self.greeting)),
            false => Verdict::Allow,
        };
        let message = format!("{} {path}", exchange.method());
        let findings = vec![finding("request", Severity::Info, message, facts::request(exchange))];
        ExchangePlan { verdict, findings, treatments: vec![PlaceTreatment::new("/name", Treatment::redact())] }
    }
}

impl ResponseHook for Hello {
    fn response(&self, _session: &Session, exchange: &Exchange) -> ExchangePlan {
        let status = exchange.status().unwrap_or_default();
        let verdict = match status >= 500 {
            true => block("broken", Severity::Medium, format!("{}, broken", self.greeting)),
            false => Verdict::Allow,
        };
        let findings = vec![finding("response", Severity::Info, status.to_string(), facts::response(exchange))];
        ExchangePlan { verdict, findings, treatments: vec![PlaceTreatment::new("/entry/*/name", Treatment::Transform)] }
    }
}

impl HttpValuesHook for Hello {
    fn transform_at(&self, _session: &Session, _exchange: &Exchange, _place: &str, values: Batch) -> Batch {
        in_capitals(values)
    }
}

fn in_capitals(mut values: Batch) -> Batch {
    values.blob.make_ascii_uppercase();
    values
}

fn block(rule: &str, severity: Severity, message: String) -> Verdict {
    Verdict::Block(Finding::new(rule, severity, message))
}

fn finding(rule: &str, severity: Severity, message: String, attributes: Vec<(String, String)>) -> Finding {
    Finding { attributes, ..Finding::new(rule, severity, message) }
}

// A policy of your own ends with `grille_sdk::export!(Hello: session, sql);`. This one spells that out, because what
// it says about wrong settings is fixed to the letter for all languages, and `export!` has words of its own.
thread_local! {
    static POLICY: OnceCell<Hello> = const { OnceCell::new() };
}

impl runtime::Kept for Hello {
    fn cell() -> &'static LocalKey<OnceCell<Self>> {
        &POLICY
    }
}

type Hooks = runtime::Component<Hello>;
bindings::policy::export_lifecycle!(Lifecycle with_types_in bindings::policy);
bindings::session::export_session!(Hooks with_types_in bindings::session);
bindings::sql::export_sql!(Hooks with_types_in bindings::sql);
bindings::sql_columns::export_sql_columns!(Hooks with_types_in bindings::sql_columns);
bindings::sql_result::export_sql_result!(Hooks with_types_in bindings::sql_result);
bindings::sql_values::export_sql_values!(Hooks with_types_in bindings::sql_values);
bindings::http_request::export_http_request!(Hooks with_types_in bindings::http_request);
bindings::http_response::export_http_response!(Hooks with_types_in bindings::http_response);
bindings::http_values::export_http_values!(Hooks with_types_in bindings::http_values);
