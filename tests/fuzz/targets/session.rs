//! A whole session: what a caller sends, and what a target answers, both made of the input.
//!
//! The target is a server that keeps to the protocol until the input says otherwise. Properties: nothing panics or
//! hangs; what the caller reads is a row of whole messages; a value that the target reports as coming from a protected
//! column never reaches the caller.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use grille_ledger::{Ledger, LedgerConfig, SealKey, SigningKey};
use grille_pg_codec::frame::{self, Frames};
use grille_pg_codec::frontend::Target;
use grille_pg_codec::{Format, encode};
use grille_policy::testing::FakeEvaluator;
use grille_policy::{Finding, Masker, Operation, Severity, Treatment, Verdict};
use grille_postgres::fuzzing::Stage;
use grille_postgres::{Limits, Volume};
use grille_review::{Desk, DeskConfig, Event, Journal, Signer, Unjournaled, Unsigned};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;

#[path = "../rows.rs"]
mod rows;

/// What stands in the protected column.
const CLEAR: &[u8] = b"clear-078-05-1120";
/// `public.patients` and its column `ssn`, as catalog.tsv has them.
const PATIENTS: u32 = 16419;
const SSN: i16 = 3;
/// A ledger grows; this many sessions fill some ten megabytes.
const SESSIONS_PER_LEDGER: u64 = 2000;

const TEXTS: [&str; 18] = [
    "SELECT ssn FROM patients",
    "SELECT 1",
    "",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "blocked",
    "SELECT blocked()",
    "SELECT 1; SELECT ssn, id FROM patients",
    "COPY patients TO STDOUT",
    "COPY patients FROM STDIN",
    "PREPARE s AS SELECT ssn FROM patients",
    "EXECUTE s",
    "DECLARE c CURSOR FOR SELECT ssn FROM patients",
    "FETCH 2 FROM c",
    "SET search_path = public",
    "SET grille.reason = 'why'",
    "DISCARD ALL",
];
const NAMES: [&[u8]; 4] = [b"", b"s", b"c", b"grille own question"];

struct World {
    runtime: Runtime,
    stage: Stage,
    played: u64,
    _dir: tempfile::TempDir,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

fuzz_target!(|bytes: &[u8]| {
    WORLD.with_borrow_mut(|world| {
        if world.as_ref().is_none_or(|world| world.played >= SESSIONS_PER_LEDGER) {
            *world = None;
            *world = Some(World::new());
        }
        let world = world.as_mut().expect("made above");
        world.played += 1;
        world.play(bytes);
    });
});

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let inside = runtime.enter();
        let (signing, seal) = (SigningKey::generate().expect("a key"), SealKey::generate().expect("a key"));
        let ledger = Ledger::open(LedgerConfig::new(dir.path().join("ledger"), signing, seal)).expect("a ledger");
        let judge = |operation: &Operation| match operation {
            Operation::Statement(statement) if statement.text.contains("blocked") => {
                Verdict::Block(Finding::new("blocked", Severity::High, "blocked"))
            }
            _ => Verdict::Allow,
        };
        let evaluator = FakeEvaluator::judging(judge).protecting(|column| {
            if &*column.name.column == "ssn" { Treatment::Mask(Masker::Redact) } else { Treatment::Keep }
        });
        let desk = Desk::new(DeskConfig::default(), Arc::new(Nowhere), Arc::new(Nowhere)).expect("random bytes");
        let catalog = grille_sql::Catalog::from_rows("1", rows::rows(include_str!("../catalog.tsv")));
        let catalog = catalog.expect("a catalog of a real server");
        let limits = Limits { operation: Volume { rows: Some(20), bytes: None }, ..Limits::default() };
        let stage = Stage::new(Arc::new(evaluator), ledger, desk, catalog, limits);
        drop(inside);
        Self { runtime, stage, played: 0, _dir: dir }
    }

    fn play(&self, bytes: &[u8]) {
        let (script, answers) = bytes.split_at(bytes.len() / 2);
        let (caller, near_caller) = tokio::io::duplex(1 << 16);
        let (target, near_target) = tokio::io::duplex(1 << 16);
        let read = self.runtime.block_on(async {
            let session = self.stage.play(self.played, near_caller, near_target);
            let server =
                Server { choices: Choices(answers), transaction: b'I', has_rows: true, inbox: BytesMut::new() };
            let ((), (), read) = tokio::join!(session, server.serve(target), converse(caller, script));
            read
        });
        let mut walk = Frames::new(&read);
        for frame in walk.by_ref() {
            let frame = frame.expect("what the caller reads has sound lengths");
            let is_clear = frame.bytes.windows(CLEAR.len()).any(|window| window == CLEAR);
            assert!(!is_clear, "a protected value reached the caller in {:?}", char::from(frame.tag));
        }
    }
}

/// The caller says all of it, then listens to the end.
async fn converse(caller: DuplexStream, script: &[u8]) -> Vec<u8> {
    let (mut hear, mut say) = tokio::io::split(caller);
    let mut messages = BytesMut::new();
    let mut choices = Choices(script);
    while let Some(choice) = choices.next() {
        say_one(&mut messages, choice, &mut choices);
    }
    let mut read = Vec::new();
    let speak = async {
        // Whoever ends the session early hears no more.
        drop(say.write_all(&messages).await);
        drop(say.shutdown().await);
    };
    let ((), heard) = tokio::join!(speak, hear.read_to_end(&mut read));
    drop(heard);
    read
}

fn say_one(out: &mut BytesMut, choice: u8, choices: &mut Choices<'_>) {
    let name = |choices: &mut Choices<'_>| NAMES[usize::from(choices.some()) % NAMES.len()];
    let text = |choices: &mut Choices<'_>| TEXTS[usize::from(choices.some()) % TEXTS.len()].as_bytes();
    let done = match choice % 16 {
        0 | 1 => encode::query(out, text(choices)),
        2 => encode::parse(out, name(choices), text(choices), &[]),
        3 => {
            let format = if choices.some() % 2 == 0 { Format::Text } else { Format::Binary };
            let none = [].into_iter();
            encode::bind(out, name(choices), name(choices), none, [].into_iter(), std::iter::once(format))
        }
        4 => encode::describe(out, Target::Statement(name(choices))),
        5 => encode::describe(out, Target::Portal(name(choices))),
        6 | 7 => encode::execute(out, name(choices), i32::from(choices.some() % 3)),
        8 => encode::close(out, Target::Statement(name(choices))),
        9 => encode::close(out, Target::Portal(name(choices))),
        10 => Ok(encode::flush(out)),
        11 | 12 => Ok(encode::sync(out)),
        13 => encode::copy_data(out, b"1\tx\n"),
        14 => Ok(encode::copy_done(out)),
        _ => {
            raw(out, choices);
            Ok(())
        }
    };
    done.expect("short texts without zero bytes");
}

/// Bytes as they come, in a frame or not. Answers whether they are in one.
fn raw(out: &mut BytesMut, choices: &mut Choices<'_>) -> bool {
    let (shape, count) = (choices.some(), choices.some() % 32);
    let bytes: Vec<u8> = (0..count).map(|_| choices.some()).collect();
    if shape % 2 == 0 {
        out.put_u8(shape);
        out.put_u32(4 + u32::from(count));
    }
    out.put_slice(&bytes);
    shape % 2 == 0
}

/// A server of a few habits.
struct Server<'a> {
    choices: Choices<'a>,
    transaction: u8,
    has_rows: bool,
    inbox: BytesMut,
}

impl Server<'_> {
    async fn serve(mut self, mut socket: DuplexStream) {
        let mut out = BytesMut::new();
        let mut skips = false;
        loop {
            while let Ok(Some(head)) = frame::head(&self.inbox) {
                if self.inbox.len() < head.len {
                    break;
                }
                let message = self.inbox.split_to(head.len);
                if !self.answer(head.tag, &message, &mut skips, &mut out) {
                    // What was begun may never be whole, so nobody is left to wait for it.
                    drop(socket.write_all(&out).await);
                    return;
                }
            }
            if socket.write_all(&out).await.is_err() {
                return;
            }
            out.clear();
            if !matches!(socket.read_buf(&mut self.inbox).await, Ok(read) if read > 0) {
                return;
            }
        }
    }

    /// Answers one message; false ends the connection.
    fn answer(&mut self, tag: u8, message: &[u8], skips: &mut bool, out: &mut BytesMut) -> bool {
        if *skips && tag != b'S' {
            return true;
        }
        let is_own = message.windows(6).any(|window| window == b"grille");
        let habit = if is_own { 0 } else { self.choices.next().unwrap_or_default() };
        match habit {
            200..=219 if b"QPBDEC".contains(&tag) => {
                plain(out, b'E', b"SERROR\0C42601\0Msyntax error\0\0");
                *skips = tag != b'Q';
                if tag == b'Q' {
                    plain(out, b'Z', &[self.transaction]);
                }
                return true;
            }
            220..=229 => plain(out, b'N', b"SNOTICE\0C00000\0Mlook\0\0"),
            230..=239 => plain(out, b'S', b"TimeZone\0UTC\0"),
            240..=249 if !raw(out, &mut self.choices) => return false,
            250..=255 => return false,
            _ => {}
        }
        match tag {
            b'Q' => {
                self.result(habit, true, out);
                self.transaction = [b'I', b'T', b'E'][usize::from(habit) % 3];
                plain(out, b'Z', &[self.transaction]);
            }
            b'P' => plain(out, b'1', b""),
            b'B' => plain(out, b'2', b""),
            b'C' => plain(out, b'3', b""),
            b'D' if habit % 3 == 0 => {
                self.has_rows = false;
                plain(out, b'n', b"");
            }
            b'D' => {
                if message.get(frame::HEADER_BYTES) == Some(&b'S') {
                    plain(out, b't', &[0, 0]);
                }
                describe(out);
            }
            b'E' if is_own => {
                row(out, &[b"public", b"on"]);
                plain(out, b'C', b"SELECT 1\0");
            }
            // Who has said that there are none sends none.
            b'E' if !self.has_rows => plain(out, b'C', b"SET\0"),
            b'E' => self.result(habit, false, out),
            b'S' => {
                *skips = false;
                plain(out, b'Z', &[self.transaction]);
            }
            b'c' => plain(out, b'C', b"COPY 1\0"),
            b'X' => return false,
            _ => {}
        }
        true
    }

    fn result(&mut self, habit: u8, is_simple: bool, out: &mut BytesMut) {
        match habit % 8 {
            0 => plain(out, b'C', b"SET\0"),
            1 => plain(out, b'I', b""),
            2 if !is_simple => {
                row(out, &[CLEAR]);
                plain(out, b's', b"");
            }
            3 => {
                plain(out, b'H', &[0, 0, 1, 0, 0]);
                plain(out, b'd', b"1\tx\n");
                plain(out, b'c', b"");
                plain(out, b'C', b"COPY 1\0");
            }
            4 => plain(out, b'G', &[0, 0, 1, 0, 0]),
            _ => {
                if is_simple {
                    describe(out);
                }
                for _ in 0..habit % 40 {
                    row(out, &[CLEAR]);
                }
                plain(out, b'C', b"SELECT 3\0");
            }
        }
    }
}

fn plain(out: &mut BytesMut, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    out.put_u32(4 + u32::try_from(body.len()).expect("short"));
    out.put_slice(body);
}

/// One column, truly of the protected one.
fn describe(out: &mut BytesMut) {
    let mut body = BytesMut::new();
    body.put_u16(1);
    body.put_slice(b"ssn\0");
    body.put_u32(PATIENTS);
    body.put_i16(SSN);
    body.put_u32(25);
    body.put_i16(-1);
    body.put_i32(-1);
    body.put_i16(0);
    plain(out, b'T', &body);
}

fn row(out: &mut BytesMut, values: &[&[u8]]) {
    let mut body = BytesMut::new();
    body.put_u16(u16::try_from(values.len()).expect("few"));
    for value in values {
        body.put_u32(u32::try_from(value.len()).expect("short"));
        body.put_slice(value);
    }
    plain(out, b'D', &body);
}

/// The input, byte by byte.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn some(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }
}

/// No reviews are asked for.
struct Nowhere;

impl Journal for Nowhere {
    fn append(&self, _event: &Event) -> Result<(), Unjournaled> {
        Ok(())
    }
}

impl Signer for Nowhere {
    fn key_id(&self) -> &str {
        "none"
    }

    fn sign(&self, _bytes: &[u8]) -> Result<Vec<u8>, Unsigned> {
        Err(Unsigned("nobody signs here".into()))
    }
}
