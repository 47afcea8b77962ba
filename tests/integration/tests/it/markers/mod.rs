//! A database in which each protected cell is a value of its own, and thousands of statements: whatever the server hands
//! out, no part of such a value may reach a masked session, in no form in which it would be known again. Refusing proves
//! nothing, so what is answered is counted as well; and what touches nothing protected is the server's to the byte.
//!
//! `GRILLE_SEED` chooses the statements, `GRILLE_STATEMENTS` how many must succeed at the server.
#![allow(clippy::print_stdout, reason = "the table is what people want of it")]

mod forms;
mod generate;
mod mutate;
mod smith;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use grille_pg_codec::Format;
use grille_test_support::{Caller, Raw, Reply, World};
use tokio::time::Instant;

use crate::script::{Script, essence};
use forms::Forms;
use generate::{Class, Generator};

/// So many must succeed at the server.
const STATEMENTS: usize = 20_000;
/// So many are on their way at once.
const BATCH: usize = 20;
const WORKERS: usize = 3;
/// Leaks shown before it ends.
const ENOUGH: usize = 10;
const MAKER: Caller = Caller::of("dba", "maker");

#[derive(Default)]
struct Count {
    taken: usize,
    /// With a value in the server's own answer.
    shown: usize,
    answered: usize,
    refusals: BTreeMap<String, (usize, String)>,
}

struct Tried {
    class: Class,
    text: String,
    script: Script,
}

#[test]
fn no_form_of_a_protected_value_reaches_a_masked_session() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, statements) = (number("GRILLE_SEED", 1), number("GRILLE_STATEMENTS", STATEMENTS as u64) as usize);
    let world = world();
    let mut next = 0..;
    let mut markers = Vec::new();
    let data = generate::data(|| {
        markers.push(forms::marker(next.next().expect("endless")));
        markers.last().cloned().unwrap_or_default()
    });
    world.cluster.sql("work", &format!("SET ROLE work_app; {} {data}", generate::SCHEMA)).expect("schema and data");
    // Planning takes longer than these few rows do, and some joins of joins grow beyond all patience.
    for setting in ["jit = off", "join_collapse_limit = 1", "from_collapse_limit = 1", "statement_timeout = '1s'"] {
        world.cluster.sql("postgres", &format!("ALTER DATABASE work SET {setting}")).expect("a setting");
    }
    // Whoever analyses a table between two answers changes the plan, and with it the order of rows.
    for text in ["ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"] {
        world.cluster.sql("postgres", text).expect("a setting");
    }
    let forms = Forms::of(markers.into_iter());
    let written = smith::statements(&world, seed).expect("sqlsmith (Debian: apt-get install sqlsmith)");
    let (taken, began) = (AtomicUsize::new(0), Instant::now());
    let results: Vec<Result<_>> = thread::scope(|scope| {
        let work = |worker| {
            let own = written.iter().skip(worker).step_by(WORKERS).cloned().collect();
            let mut source = Source { generator: Generator::seeded(seed + worker as u64), written: own, names: 0 };
            work(&world, &forms, &mut source, &taken, statements)
        };
        let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || work(worker))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker reports, it does not panic")).collect()
    });
    let mut counts: BTreeMap<Class, Count> = BTreeMap::new();
    let mut problems = Vec::new();
    for result in results {
        let (counted, found) = result.unwrap_or_else(|error| panic!("seed {seed}: {error:#}\n{}", world.said()));
        problems.extend(found);
        for (class, count) in counted {
            counts.entry(class).or_default().add(count);
        }
    }
    println!("{}in {:.1} s", table(&counts), began.elapsed().as_secs_f64());
    assert!(problems.is_empty(), "seed {seed}: {} problems\n{}", problems.len(), problems.join("\n\n"));
    assert!(!world.said().contains("panicked"), "{}", world.said());
    let logged =
        world.said().lines().find_map(|line| forms.found_in(line.as_bytes()).map(|form| format!("{form}: {line}")));
    assert_eq!(logged, None, "a value stands in the gateway's own log");
    let sum = |of: fn(&Count) -> usize| counts.values().map(of).sum::<usize>();
    assert!(sum(|count| count.taken) >= statements, "too few statements succeed at the server");
    let mutated = counts[&Class::Mutated].taken;
    assert!(mutated * 20 >= statements, "too few mutated statements succeed at the server: {mutated}");
    let touching = sum(|count| count.taken) - counts[&Class::Untouched].taken;
    assert!(sum(|count| count.shown) * 2 >= touching, "the server shows too few values");
    for (class, percent) in [(Class::Untouched, 100), (Class::Direct, 100), (Class::Derived, 90), (Class::Mutated, 75)]
    {
        let count = &counts[&class];
        assert!(count.answered * 100 >= count.taken * percent, "{class:?}: refused too often: {:#?}", count.refusals);
    }
}

fn world() -> World {
    let phi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components/phi.wasm");
    assert!(phi.is_file(), "{} is missing: run `cargo xtask components` first", phi.display());
    let columns: Vec<String> = generate::PROTECTED.iter().map(|column| format!("\"public.{column}\"")).collect();
    World::with(&format!(
        r#"[roles.maker]
groups = ["dbas"]
targets = ["work"]
relations = ["public.*"]
operations = ["*"]

[policies.phi]
plugin = {phi:?}
targets = ["work"]
roles = ["maker"]
allow_unsigned = true
settings = {{ profile = "safe-harbor", columns = [{}] }}
"#,
        columns.join(", ")
    ))
}

/// Where the statements come from.
struct Source {
    generator: Generator,
    written: Vec<String>,
    names: usize,
}

impl Source {
    fn next(&mut self) -> Tried {
        if let Some(text) = if self.generator.below(12) == 0 { self.written.pop() } else { None } {
            return Tried { class: Class::Wild, script: Script::default().query(&text), text };
        }
        let class = match self.generator.below(16) {
            0 => Class::Untouched,
            1..6 => Class::Direct,
            6..11 => Class::Derived,
            11..14 => Class::Mutated,
            _ => Class::Wild,
        };
        let query = match class {
            Class::Mutated => {
                let text = mutate::statement(self.generator.chance());
                return Tried { class, script: Script::default().query(&text), text };
            }
            Class::Wild => self.spliced(),
            class => self.generator.query(class),
        };
        self.names += 1;
        let n = self.names;
        let simple = |text: String| (Script::default().query(&text), text);
        let (script, text) = match self.generator.below(16) {
            0 => simple(format!("COPY ({query}) TO STDOUT")),
            1 => simple(format!("COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER)")),
            2 => simple(format!("COPY ({query}) TO STDOUT WITH (FORMAT binary)")),
            3 => simple(format!("DECLARE c{n} CURSOR FOR {query}; FETCH ALL FROM c{n}; CLOSE c{n}")),
            4 => simple(format!("PREPARE p{n} AS {query}; EXECUTE p{n}; DEALLOCATE p{n}")),
            5..8 => {
                let parsed = Script::default().parse("", &query).bind("", "", &[], Format::Binary);
                (parsed.describe_portal("").execute("", 0).sync(), query)
            }
            8 if class == Class::Direct => {
                let text = self.returning();
                (Script::default().query(&format!("BEGIN; {text}")).query("ROLLBACK"), text)
            }
            _ => simple(query),
        };
        Tried { class, script, text }
    }

    fn returning(&mut self) -> String {
        let id = 1 + self.generator.below(4);
        match self.generator.below(5) {
            0 => format!("DELETE FROM visits WHERE id = {id} RETURNING remark, id"),
            1 => format!("UPDATE visits SET kind = 'x' WHERE id = {id} RETURNING *"),
            2 => format!("WITH d AS (DELETE FROM visits WHERE id = {id} RETURNING remark AS r) SELECT r FROM d"),
            3 => format!(
                "UPDATE subjects s SET size = 3 FROM visits v WHERE v.subject_id = s.id AND v.id = {id} RETURNING v.remark, s.code"
            ),
            _ => format!("DELETE FROM extended WHERE id = {id} RETURNING extended.code"),
        }
    }

    /// Pieces of one statement put into another.
    fn spliced(&mut self) -> String {
        let (one, other) = (self.generator.query(Class::Derived), self.generator.query(Class::Direct));
        let mut words: Vec<&str> = one.split(' ').collect();
        let pieces: Vec<&str> = other.split(' ').collect();
        for _ in 0..=self.generator.below(2) {
            let from = self.generator.below(pieces.len());
            let piece = &pieces[from..(from + 1 + self.generator.below(3)).min(pieces.len())];
            let at = self.generator.below(words.len());
            let end = (at + self.generator.below(3)).min(words.len());
            words.splice(at..end, piece.iter().copied());
        }
        words.join(" ")
    }
}

type Found = (BTreeMap<Class, Count>, Vec<String>);

fn work(world: &World, forms: &Forms, source: &mut Source, taken: &AtomicUsize, statements: usize) -> Result<Found> {
    let (mut direct, mut session) = (world.direct(), world.session(MAKER));
    let mut counts: BTreeMap<Class, Count> = BTreeMap::new();
    let mut problems = Vec::new();
    while taken.load(Ordering::Relaxed) < statements && problems.len() < ENOUGH {
        let tried: Vec<Tried> = (0..BATCH).map(|_| source.next()).collect();
        let answers = play(&mut direct, &tried).context("direct")?;
        let succeeded = |replies: &Vec<Reply>| replies.iter().all(|reply| reply.sqlstate().is_none());
        let (tried, expected): (Vec<Tried>, Vec<_>) =
            tried.into_iter().zip(answers).filter(|(_, replies)| succeeded(replies)).unzip();
        taken.fetch_add(tried.len(), Ordering::Relaxed);
        let answers = play(&mut session, &tried).with_context(|| {
            let texts: Vec<&str> = tried.iter().map(|tried| tried.text.as_str()).collect();
            format!("the session did not go on with one of\n{}", texts.join("\n"))
        })?;
        for ((tried, expected), got) in tried.iter().zip(&expected).zip(&answers) {
            // Slow enough at the server to be too slow the second time.
            if got.iter().any(|reply| reply.sqlstate().as_deref() == Some("57014")) {
                taken.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let count = counts.entry(tried.class).or_default();
            count.taken += 1;
            count.shown += usize::from(leak(forms, expected).is_some());
            match got.iter().find(|reply| reply.sqlstate().is_some()) {
                None => count.answered += 1,
                Some(error) => count.refuse(error, &tried.text),
            }
            if let Some(form) = leak(forms, got) {
                let said: String = got.iter().flat_map(|reply| reply.body.escape_ascii()).map(char::from).collect();
                problems.push(format!("LEAK of {form}: {}\n{said:.2000}", tried.text));
            }
            if tried.class == Class::Untouched && essence(got) != essence(expected) {
                problems.push(format!("not the server's own answer: {}", tried.text));
            }
        }
    }
    Ok((counts, problems))
}

/// Sends all at once, and sorts the answers by statement.
fn play(session: &mut Raw, tried: &[Tried]) -> Result<Vec<Vec<Reply>>> {
    let bytes: Vec<u8> = tried.iter().flat_map(|tried| tried.script.bytes.to_vec()).collect();
    session.send(&bytes)?;
    tried.iter().map(|tried| tried.script.answers(session)).collect()
}

fn leak(forms: &Forms, replies: &[Reply]) -> Option<String> {
    replies.iter().find_map(|reply| forms.found_in(&reply.body))
}

impl Count {
    fn refuse(&mut self, error: &Reply, text: &str) {
        let why = format!("{} {}", error.sqlstate().unwrap_or_default(), error.text().unwrap_or_default());
        let why: String = why.chars().filter(|c| !c.is_ascii_digit()).take(90).collect();
        self.refusals.entry(why).or_insert_with(|| (0, text.to_owned())).0 += 1;
    }

    fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.shown += other.shown;
        self.answered += other.answered;
        for (why, (count, text)) in other.refusals {
            self.refusals.entry(why).or_insert_with(|| (0, text)).0 += count;
        }
    }
}

fn table(counts: &BTreeMap<Class, Count>) -> String {
    let mut text = format!("{:<12}{:>10}{:>10}{:>10}{:>10}\n", "class", "succeed", "shown", "answered", "refused");
    for class in Class::ALL {
        let Some(count) = counts.get(&class) else { continue };
        let (name, refused) = (format!("{class:?}"), count.taken - count.answered);
        let (taken, shown, answered) = (count.taken, count.shown, count.answered);
        text += &format!("{name:<12}{taken:>10}{shown:>10}{answered:>10}{refused:>10}\n");
        for (why, (count, example)) in &count.refusals {
            let example: String = example.chars().take(160).collect();
            text += &format!("    {count:>6} {why}\n           {example}\n");
        }
    }
    text
}
