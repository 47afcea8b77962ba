//! What finding sessions costs, with the index and without it:
//! `cargo run --release -p grille-ledger --example lookups [RECORDS] [DIR]`.
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::borrow::Cow;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grille_ledger::{
    DecisionRecord, Ledger, LedgerConfig, Outcome, Reader, Record, SealKey, SessionOpen, SessionQuery, SigningKey,
};
use grille_policy::testing::opinion;
use grille_policy::{
    Decision, DecisionId, Epoch, Finding, SessionFacts, SessionId, Severity, Subject, TransactionState, Verdict,
};
use tokio::time::Instant;

/// Of one session; with its opening and its end it has 22 records.
const OPERATIONS: u64 = 10;
const RECORDS_PER_SESSION: u64 = 2 * OPERATIONS + 2;
const PEOPLE: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(1_000_000), |records| records.parse())?;
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("grille-ledger-lookups"), PathBuf::from);
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let (signing, seal) = (SigningKey::generate()?, SealKey::generate()?);
    let config = LedgerConfig::new(dir.clone(), signing, seal.clone());
    let sessions = records / RECORDS_PER_SESSION;
    let ledger = Ledger::open(config.clone())?;
    (0..sessions).try_for_each(|number| write(&ledger, number, sessions))?;
    end(ledger)?;

    if dir.join("index").exists() {
        fs::remove_dir_all(dir.join("index"))?;
    }
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let ledger = Ledger::open(config)?;
    let closed = (1..).take_while(|segment| dir.join(format!("wal/{segment:08}.wal")).exists()).count();
    while files(&dir.join("index")).is_none_or(|(count, _)| count < closed) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (wall, cpu) = (start.elapsed(), cpu_seconds()? - cpu);
    end(ledger)?;
    let (_, log) = files(&dir.join("wal")).unwrap_or_default();
    let (_, index) = files(&dir.join("index")).unwrap_or_default();
    println!("{sessions} sessions, {closed} closed segments, {} MB; index {} kB", log / 1_000_000, index / 1000);
    println!("made in {wall:.2?}, {cpu:.2} s of CPU (with the start of the ledger)");

    let ask = |query: SessionQuery, limit: usize| {
        move |reader: &Reader| Ok::<_, Box<dyn Error>>(reader.search(&query, limit)?.len())
    };
    let text = |text: &str| SessionQuery { text: Some(text.to_owned()), ..SessionQuery::default() };
    let verdict = Some("block".to_owned());
    let subject = Some("user-7".to_owned());
    let reader = Reader::open(&dir, Some(seal))?;
    measure("list of the newest 50", &reader, |reader| Ok(reader.sessions(50)?.len()))?;
    measure("one person's newest 50", &reader, ask(SessionQuery { subject, ..SessionQuery::default() }, 50))?;
    measure("text that the newest 50 have", &reader, ask(text("from patients"), 50))?;
    measure("the first with a text that only the newest has", &reader, ask(text("newest needle"), 1))?;
    measure("the first with a text that only the oldest has", &reader, ask(text("oldest needle"), 1))?;
    measure("one in a thousand was blocked", &reader, ask(SessionQuery { verdict, ..SessionQuery::default() }, 50))?;
    let oldest = reader.sessions(usize::MAX)?.last().map(|session| session.id).ok_or("no session")?;
    measure("records of the oldest session", &reader, |reader| Ok(reader.session(oldest)?.count()))?;
    measure("records of a session that never was", &reader, |reader| {
        Ok(reader.session(SessionId::mint(oldest.minted_ms(), u32::MAX))?.count())
    })?;
    fs::remove_dir_all(&dir)?;
    Ok(())
}

fn measure(
    what: &str,
    reader: &Reader,
    ask: impl Fn(&Reader) -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    // The better of two: others use this machine, too.
    let time = |reader: &Reader| {
        let once = || {
            let start = Instant::now();
            Ok::<_, Box<dyn Error>>((ask(reader)?, start.elapsed()))
        };
        Ok::<_, Box<dyn Error>>(once()?.min(once()?))
    };
    let (indexed, plain) = (time(reader)?, time(&reader.clone().without_index())?);
    assert_eq!(indexed.0, plain.0, "{what}");
    println!("{what}: {} found in {:.0?} with the index, {:.0?} without", plain.0, indexed.1, plain.1);
    Ok(())
}

fn end(ledger: Ledger) -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().build()?.block_on(ledger.shutdown())?;
    drop(ledger);
    Ok(())
}

fn write(ledger: &Ledger, number: u64, sessions: u64) -> Result<(), Box<dyn Error>> {
    let facts = facts(number)?;
    let blocked = Verdict::Block(Finding::new("rule", Severity::High, "no"));
    let verdict = if number % 1000 == 500 { blocked } else { Verdict::Allow };
    let decision = Decision::new(Epoch(1), vec![opinion(verdict), opinion(Verdict::Allow)]);
    let mut log = ledger.session(SessionOpen::new(&facts))?;
    for number_here in 0..OPERATIONS {
        let needle = match number {
            0 => " -- oldest needle",
            _ if number + 1 == sessions => " -- newest needle",
            _ => "",
        };
        let id = DecisionId { session: facts.id, number: number_here };
        log.append(&Record::Decision(DecisionRecord {
            id,
            text: format!("select name, born from patients where id = {number_here}{needle}").into(),
            parameters: Vec::new(),
            parameter_types: Vec::new(),
            facts: None,
            kinds: Cow::Borrowed(&[]),
            relations: Cow::Borrowed(&[]),
            decision: Cow::Borrowed(&decision),
            transaction: TransactionState::Idle,
            request: None,
            justification: None,
        }))?;
        log.append(&Record::Outcome(Outcome {
            decision: id,
            rows: 1,
            bytes: 70,
            duration_us: 200,
            sqlstate: None,
            fault: None,
            message: None,
            masked: Vec::new(),
        }))?;
    }
    Ok(log.close("terminate")?)
}

fn facts(number: u64) -> Result<SessionFacts, Box<dyn Error>> {
    let person = format!("user-{}", number % PEOPLE);
    let subject = Subject {
        provider: "corp".into(),
        issuer: "https://id.example.org".into(),
        sub: person.as_str().into(),
        name: person.as_str().into(),
        groups: Vec::new(),
        actors: Vec::new(),
        expires_at: u64::MAX,
        claims: "{}".into(),
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(SessionFacts {
        id: SessionId::mint(u64::try_from(now.as_millis())?, u32::try_from(number)?),
        subject: Arc::new(subject),
        target: "clinic".into(),
        protocol: "postgres".into(),
        roles: vec!["analyst".into()],
        listener: "pg".into(),
        peer: "127.0.0.1:50000".into(),
        client: "psql".into(),
        tls: None,
    })
}

/// How many files a folder has, and their bytes.
fn files(folder: &Path) -> Option<(usize, u64)> {
    let files = fs::read_dir(folder).ok()?.filter_map(|file| file.ok()?.metadata().ok());
    Some(files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.len())))
}

/// CPU time of the process, out of the kernel's clock ticks of a hundredth of a second.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| -> Result<f64, Box<dyn Error>> { Ok(fields.get(at).ok_or("short stat")?.parse::<f64>()?) };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
