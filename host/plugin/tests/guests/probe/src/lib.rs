//! A guest that does what its settings say, well or badly: `{"judge": "trap", "classify": "mask"}`.

use std::cell::Cell;

use grille_sdk::{
    Batch, Columns, ColumnsHook, Exchange, ExchangePlan, Finding, HttpValuesHook, Masker, OpenHook, Opinion,
    PlaceTreatment, Policy, RequestHook, ResponseHook, ResultHook, ResultPlan, ResultShape, Session, Settings,
    Severity, SqlHook, Statement, Treatment, ValuesHook, clock, counters, detect, kv, log, lookup,
};

thread_local! {
    static LEAKED: std::cell::RefCell<Vec<Vec<u8>>> = const { std::cell::RefCell::new(Vec::new()) };
}

struct Probe {
    open: String,
    judge: String,
    classify: String,
    plan: String,
    transform: String,
    calls: Cell<u32>,
}

impl Policy for Probe {
    fn new(settings: &mut Settings) -> Self {
        settings.host_keys();
        match settings.text("configure").as_deref() {
            Some("spin") => spin(),
            Some("trap") => panic!("asked to"),
            Some("slow") => (0..20_000_000u64).for_each(|n| {
                std::hint::black_box(n);
            }),
            Some("problem") => settings.problem("/configure", "asked to"),
            _ => {}
        }
        let mut text = |key| settings.text(key).unwrap_or_default();
        Self {
            open: text("open"),
            judge: text("judge"),
            classify: text("classify"),
            plan: text("plan"),
            transform: text("transform"),
            calls: Cell::new(0),
        }
    }
}

impl OpenHook for Probe {
    fn open(&self, session: &Session) -> Opinion {
        self.opinion(&self.open, session, None)
    }
}

impl SqlHook for Probe {
    fn judge(&self, session: &Session, statement: &Statement) -> Opinion {
        let text = match self.judge.as_str() {
            "by-text" => statement.text(),
            // The first literal, so that it can be said in SQL.
            "by-literal" => statement.text().split('\'').nth(1).unwrap_or_default().to_owned(),
            // The first parameter, which nobody knows before Bind; else the first literal.
            "by-value" => match statement.parameter(0).and_then(|given| given.value) {
                Some(value) => String::from_utf8_lossy(&value).into_owned(),
                None => statement.text().split('\'').nth(1).unwrap_or_default().to_owned(),
            },
            fixed => fixed.to_owned(),
        };
        self.opinion(&text, session, Some(statement))
    }
}

impl ColumnsHook for Probe {
    fn classify(&self, session: &Session, columns: &Columns) -> Vec<Treatment> {
        self.calls.set(self.calls.get() + 1);
        match self.classify.as_str() {
            "few" => Vec::new(),
            "many" => vec![Treatment::Keep; 250_000],
            "huge" => vec![masker(&"x".repeat(8 << 20), &[]); columns.len() as usize],
            "unknown-masker" => columns.iter().map(|_| masker("rot13", &[])).collect(),
            "bad-parameter" => columns.iter().map(|_| masker("partial", &[("keep", "all")])).collect(),
            "extra-parameter" => columns.iter().map(|_| masker("null", &[("class", "x")])).collect(),
            "missing-parameter" => columns.iter().map(|_| masker("token", &[])).collect(),
            "bad-utf8" => columns.iter().map(|_| masker(&garbage(), &[])).collect(),
            "transform" => columns.iter().map(|_| Treatment::Transform).collect(),
            "trap" => panic!("asked to"),
            "spin" => spin(),
            "by-role" => {
                let is_clear = session.has_role("dba");
                columns.iter().map(|_| if is_clear { Treatment::Keep } else { Treatment::redact() }).collect()
            }
            "calls" => columns.iter().map(|_| Treatment::range(self.calls.get())).collect(),
            "dates" => columns
                .iter()
                .map(|column| if column.type_name == "date" { Treatment::year() } else { Treatment::Keep })
                .collect(),
            "" => columns.iter().map(|_| Treatment::Keep).collect(),
            mask => columns.iter().map(|_| masker(mask, &[])).collect(),
        }
    }
}

impl ResultHook for Probe {
    fn plan(&self, session: &Session, shape: &ResultShape) -> ResultPlan {
        let treatments = match self.plan.as_str() {
            "few" => Vec::new(),
            "transform" => shape.iter().map(|_| Treatment::Transform).collect(),
            "mask-unknown" => shape
                .iter()
                .map(|column| if column.origins.is_empty() { Treatment::redact() } else { Treatment::Keep })
                .collect(),
            _ => shape.iter().map(|_| Treatment::Keep).collect(),
        };
        let opinion = self.opinion(&self.plan, session, None);
        ResultPlan { verdict: opinion.verdict, findings: opinion.findings, treatments }
    }
}

impl ValuesHook for Probe {
    fn transform(&self, _session: &Session, shape: &ResultShape, column: u32, mut values: Batch) -> Batch {
        assert!(shape.range(column, 1).len() == 1, "the column is one of the shape");
        match self.transform.as_str() {
            "few" => {
                values.offsets.pop();
            }
            "bad-offsets" => values.offsets.reverse(),
            "bad-utf8" => values.blob.fill(0xff),
            "bad-nulls" => values.nulls.push(0),
            "trap" => panic!("asked to"),
            _ => values.blob.make_ascii_uppercase(),
        }
        values
    }
}

impl RequestHook for Probe {
    fn request(&self, session: &Session, exchange: &Exchange) -> ExchangePlan {
        let opinion = self.opinion(&self.judge, session, None);
        let places = match self.plan.as_str() {
            "bad-place" => vec![PlaceTreatment::new("name", Treatment::redact())],
            "many-places" => (0..257).map(|n| PlaceTreatment::new(format!("/{n}"), Treatment::redact())).collect(),
            "transform" => vec![PlaceTreatment::new("/name", Treatment::Transform)],
            _ => vec![PlaceTreatment::new(exchange.path(), Treatment::redact())],
        };
        ExchangePlan { verdict: opinion.verdict, findings: opinion.findings, treatments: places }
    }
}

impl ResponseHook for Probe {
    fn response(&self, session: &Session, exchange: &Exchange) -> ExchangePlan {
        self.request(session, exchange)
    }
}

impl HttpValuesHook for Probe {
    fn transform_at(&self, _session: &Session, _exchange: &Exchange, _place: &str, mut values: Batch) -> Batch {
        values.blob.make_ascii_uppercase();
        values
    }
}

impl Probe {
    fn opinion(&self, does: &str, session: &Session, statement: Option<&Statement>) -> Opinion {
        self.calls.set(self.calls.get() + 1);
        match does {
            "block" => Opinion::block("asked", Severity::High, "asked to block"),
            "review" => Opinion::review("asked to"),
            "trap" => panic!("asked to"),
            "spin" => spin(),
            "eat" => eat(),
            "recurse" => Opinion::block("deep", Severity::Low, recurse(1).to_string()),
            "no-rule" => Opinion::block("", Severity::High, "a rule without a name"),
            "long" => Opinion::block("long", Severity::High, "x".repeat(100_000)),
            "escape" => Opinion::block("escape", Severity::High, "a\u{1b}[2Jb\nc"),
            "bad-utf8" => Opinion::block(&garbage(), Severity::High, "garbage"),
            "many" => Opinion { findings: vec![Finding::new("many", Severity::Info, "x"); 1000], ..Opinion::allow() },
            "log" => {
                (0..100).for_each(|line| log::write(log::Level::Info, &format!("line {line}\nforged")));
                Opinion::allow()
            }
            "clock" => match clock::now_ms() {
                Ok(ms) => Opinion::block("clock", Severity::Info, format!("granted {}", ms > 1_700_000_000_000)),
                Err(error) => Opinion::block("clock", Severity::Info, format!("{error:?}")),
            },
            "count" => {
                let added = counters::add("n", 1, 60_000);
                let taken = counters::take("b", 1, 2, 1);
                Opinion::block("count", Severity::Info, format!("{added:?} {taken:?}"))
            }
            "count-and-allow" => {
                let _counted = counters::add("n", 1, 60_000);
                Opinion::allow()
            }
            "count-and-trap" => panic!("asked to after {:?}", counters::add("n", 1, 60_000)),
            "count-much" => {
                let errors = (0..1_002).filter(|_| counters::add("n", 1, 60_000).is_err()).count();
                Opinion::block("count", Severity::Info, errors.to_string())
            }
            "keep" => {
                let before = kv::get("k");
                let set = kv::set("k", b"v", None);
                let large = kv::set("large", &vec![0; (64 << 10) + 1], None);
                Opinion::block("keep", Severity::Info, format!("{before:?} {set:?} {:?} {large:?}", kv::get("k")))
            }
            "look-up" => Opinion::block("look-up", Severity::Info, format!("{:?}", lookup::fetch("directory", "a/b"))),
            "two-gigabytes" => {
                // SAFETY: it is not, on purpose: the host must not believe the length.
                let text = unsafe { String::from_raw_parts(std::ptr::dangling_mut::<u8>(), 2 << 30, 2 << 30) };
                Opinion::block("big", Severity::High, text)
            }
            "grow" => {
                // Four gigabytes at once, and then as if they were there.
                assert!(core::arch::wasm32::memory_grow(0, 65_000) != usize::MAX, "refused");
                Opinion::allow()
            }
            "leak" => {
                // Not remembered, because it looked at the clock.
                let _when = clock::now_ms();
                LEAKED.with_borrow_mut(|leaked| leaked.push(vec![1u8; 4 << 20]));
                Opinion::block("leak", Severity::Info, LEAKED.with_borrow(Vec::len).to_string())
            }
            "ask-forever" => loop {
                log::write(log::Level::Debug, "again");
            },
            "lie" => Opinion::block("lie", Severity::Info, self.calls.get().to_string()),
            "trap-on-drop" => {
                if statement.is_some_and(|statement| statement.has_kind("DROP")) {
                    panic!("asked to");
                }
                Opinion::allow()
            }
            "detect" => {
                let said = detect::scan(&["nothing".to_owned(), "SSN 123-45-6789, é 123-45-6789".to_owned()]);
                let hits = said.map(|hits| {
                    hits.iter().map(|hit| (hit.text, hit.start, hit.end, hit.kind.clone())).collect::<Vec<_>>()
                });
                let too_much = detect::scan(&["x".repeat(1 << 20)]);
                Opinion::block("detect", Severity::Info, format!("{hits:?} {too_much:?}"))
            }
            "calls" => Opinion::block("calls", Severity::Info, self.calls.get().to_string()),
            // Not remembered, because it looked at the clock.
            "count-calls" => {
                let _when = clock::now_ms();
                Opinion::block("calls", Severity::Info, self.calls.get().to_string())
            }
            "parameter" => {
                let value = statement.and_then(|statement| statement.parameter(0)).and_then(|value| value.value);
                Opinion::block("parameter", Severity::Info, format!("{} {value:?}", self.calls.get()))
            }
            "facts" => Opinion::block("facts", Severity::Info, facts(session, statement)),
            _ => Opinion::allow(),
        }
    }
}

fn facts(session: &Session, statement: Option<&Statement>) -> String {
    let who = format!(
        "{} {} {} {:?} {:?} {} {} {:?} {} {:?}",
        session.id(),
        session.target(),
        session.subject(),
        session.roles(),
        session.groups(),
        session.has_role("analyst"),
        session.peer(),
        session.tls(),
        session.claims(),
        session.actors().iter().map(|actor| actor.subject.clone()).collect::<Vec<_>>(),
    );
    let Some(statement) = statement else { return who };
    format!(
        "{who} | {} {:?} {:?} {} {:?} {:?} {} {:?}",
        statement.text(),
        statement.kinds(),
        statement.effects(),
        statement.has_kind("SELECT"),
        statement.relations().iter().map(|used| used.name.clone()).collect::<Vec<_>>(),
        statement.columns().iter().map(|used| used.usage.clone()).collect::<Vec<_>>(),
        statement.parameter_count(),
        statement.transaction(),
    )
}

fn masker(name: &str, parameters: &[(&str, &str)]) -> Treatment {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Treatment::Mask(Masker { name: name.to_owned(), parameters })
}

fn spin() -> ! {
    loop {
        std::hint::black_box(());
    }
}

fn eat() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&eaten);
    }
}

#[allow(unconditional_recursion, reason = "this guest is bad on purpose")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box([depth; 64]);
    recurse(depth + 1) + std::hint::black_box(depth)
}

fn garbage() -> String {
    // SAFETY: it is not valid UTF-8, on purpose; nothing here reads it before the host does.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0x41]) }
}

grille_sdk::export!(
    Probe: session, sql, sql_columns, sql_result, sql_values, http_request, http_response, http_values
);
