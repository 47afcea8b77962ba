//! What appending, verifying and reopening cost: `cargo run --release -p grille-ledger --example measure [RECORDS] [DIR]`.
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::borrow::Cow;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use grille_ledger::{
    DecisionRecord, Direction, Ledger, LedgerConfig, Outcome, Reader, Record, SealKey, SessionOpen, SigningKey,
    VerifyOptions, VerifyReport, digest_of, verify,
};
use grille_policy::testing::opinion;
use grille_policy::{
    Access, ColumnName, ColumnUse, Decision, DecisionId, Digest, Effect, Epoch, RelationName, RelationUse,
    SessionFacts, SessionId, StatementFacts, Subject, TransactionState, Usage, Verdict,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What a `SELECT` of pgbench sends and receives.
const STATEMENT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 73212;";
const REQUEST: usize = 62;
const REPLY: usize = 70;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(1_000_000), |records| records.parse())?;
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("grille-ledger-measure"), PathBuf::from);
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let (signing, seal) = (SigningKey::generate()?, SealKey::generate()?);
    let config = LedgerConfig::new(dir.clone(), signing, seal.clone());
    let ledger = Ledger::open(config.clone())?;

    for (name, first, threads) in [("1 session", 0, 1), ("4 sessions", 1, 4)] {
        let (start, cpu) = (Instant::now(), cpu_seconds()?);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let ledger = &ledger;
                scope.spawn(move || append(ledger, first + thread, records / 4 / u64::from(threads)));
            }
        });
        let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
        #[expect(clippy::cast_precision_loss, reason = "a count for people")]
        let count = (records / 2) as f64;
        println!(
            "append, {name}: {:.2} µs CPU per record (all threads), {:.2} µs wall, {:.0} records/s",
            cpu * 1e6 / count,
            wall * 1e6 / count,
            count / wall
        );
    }
    keep_facts(&ledger)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for waiters in [1, 64, 512] {
        let rate = runtime.block_on(durable(&ledger, waiters))?;
        println!("leaves that survive a power loss, {waiters} waiting at once: {rate:.0}/s");
    }
    let start = Instant::now();
    runtime.block_on(ledger.shutdown())?;
    drop(ledger);
    println!("shutdown: {:.2} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    let report = verify(&dir, &mut VerifyOptions::default())?;
    let VerifyReport::Ok(sound) = report else { return Err(format!("{report:?}").into()) };
    println!("verify: {} records in {:.2} s", sound.records, start.elapsed().as_secs_f64());

    let start = Instant::now();
    let sessions = Reader::open(&dir, Some(seal))?.sessions(100)?;
    println!("session list: {} in {:.2} s", sessions.len(), start.elapsed().as_secs_f64());

    let start = Instant::now();
    drop(Ledger::open(config)?);
    println!("open again: {:.2} s", start.elapsed().as_secs_f64());
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Records per second where everybody waits for the disk, as in strict mode; all who wait share a sync.
async fn durable(ledger: &Ledger, waiters: u32) -> Result<f64, Box<dyn Error>> {
    const EACH: u64 = 200;
    let start = Instant::now();
    let mut writing = JoinSet::new();
    for number in 0..waiters {
        let ledger = ledger.clone();
        writing.spawn(async move {
            let mut log = ledger.session(SessionOpen::new(&facts(1_000 * waiters + number)))?;
            for _ in 0..EACH {
                let position = log.append(&Record::Recording {})?;
                ledger.durable(position).await?;
            }
            log.close("terminate")
        });
    }
    while let Some(written) = writing.join_next().await {
        written??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count for people")]
    let count = (u64::from(waiters) * EACH) as f64;
    Ok(count / start.elapsed().as_secs_f64())
}

/// What it adds to name the facts of each statement: once per distinct text, and again.
fn keep_facts(ledger: &Ledger) -> Result<(), Box<dyn Error>> {
    const TEXTS: u32 = 1_000;
    let column = |column: usize| ColumnUse {
        column: ColumnName {
            schema: "public".into(),
            table: "patients".into(),
            column: format!("column_{column}").into(),
        },
        usage: Usage::Projected,
    };
    let relation = RelationName { schema: "public".into(), name: "patients".into() };
    let facts = |number: u32| StatementFacts {
        fingerprint: format!("{number:016x}").into(),
        statements: 1,
        kinds: vec!["SELECT".into()],
        effects: vec![Effect::Read],
        relations: vec![RelationUse { relation: relation.clone(), access: Access::Read }],
        columns: (0..8).map(column).collect(),
        ..StatementFacts::default()
    };
    let all: Vec<StatementFacts> = (0..TEXTS).map(facts).collect();
    let mut log = ledger.session(SessionOpen::new(&self::facts(77)))?;
    let written = || -> Result<u64, Box<dyn Error>> {
        let segments = fs::read_dir(ledger.path().join("wal"))?;
        segments.map(|segment| Ok(segment?.metadata()?.len())).sum()
    };
    let before = written()?;
    let start = Instant::now();
    let digests = all.iter().map(digest_of).collect::<Result<Vec<Digest>, _>>()?;
    let digested = start.elapsed();
    let start = Instant::now();
    for (digest, facts) in digests.iter().zip(&all) {
        log.keep_facts(*digest, facts)?;
    }
    let first = start.elapsed();
    let bytes = written()? - before;
    let start = Instant::now();
    for (digest, facts) in digests.iter().zip(&all) {
        log.keep_facts(*digest, facts)?;
    }
    let again = start.elapsed();
    println!(
        "facts of {} bytes: a new text costs {:?} to digest, {:?} and {} bytes to keep; a known one {:?}",
        serde_json::to_vec(&all[0])?.len(),
        digested / TEXTS,
        first / TEXTS,
        bytes / u64::from(TEXTS),
        again / TEXTS
    );
    log.close("terminate")?;
    Ok(())
}

/// A decision and an outcome per transaction, with what was sent and received.
fn append(ledger: &Ledger, number: u32, transactions: u64) {
    let facts = facts(number);
    let decision = Decision::new(Epoch(1), vec![opinion(Verdict::Allow), opinion(Verdict::Allow)]);
    let mut log = ledger.session(SessionOpen::new(&facts)).expect("the ledger is writable");
    let kinds: Vec<Arc<str>> = vec!["SELECT".into()];
    for number in 0..transactions {
        let id = DecisionId { session: facts.id, number };
        log.record_bytes(Direction::FromCaller, number, 0, &[b'q'; REQUEST]).expect("the ledger is writable");
        log.append(&Record::Decision(DecisionRecord {
            id,
            text: STATEMENT.into(),
            parameters: Vec::new(),
            parameter_types: Vec::new(),
            facts: None,
            kinds: Cow::Borrowed(&kinds),
            relations: Cow::Borrowed(&[]),
            decision: Cow::Borrowed(&decision),
            transaction: TransactionState::Idle,
            request: None,
            justification: None,
        }))
        .expect("the ledger is writable");
        log.record_bytes(Direction::ToCaller, number, 1, &[b'r'; REPLY]).expect("the ledger is writable");
        log.append(&Record::Outcome(Outcome {
            decision: id,
            rows: 1,
            bytes: REPLY as u64,
            duration_us: 200,
            sqlstate: None,
            fault: None,
            message: None,
            masked: Vec::new(),
        }))
        .expect("the ledger is writable");
    }
    log.close("terminate").expect("the ledger is writable");
}

fn facts(number: u32) -> SessionFacts {
    let subject = Subject {
        provider: "corp".into(),
        issuer: "https://id.example.org".into(),
        sub: "measure".into(),
        name: "measure".into(),
        groups: Vec::new(),
        actors: Vec::new(),
        expires_at: u64::MAX,
        claims: "{}".into(),
    };
    SessionFacts {
        id: SessionId::mint(1_795_000_000_000, number),
        subject: Arc::new(subject),
        target: "clinic".into(),
        protocol: "postgres".into(),
        roles: vec!["analyst".into()],
        listener: "pg".into(),
        peer: "127.0.0.1:50000".into(),
        client: "pgbench".into(),
        tls: None,
    }
}

/// CPU time of the process, out of the kernel's clock ticks of a hundredth of a second.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| -> Result<f64, Box<dyn Error>> { Ok(fields.get(at).ok_or("short stat")?.parse::<f64>()?) };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
