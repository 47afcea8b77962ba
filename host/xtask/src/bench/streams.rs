//! A million rows in one answer: what the proxies' processors take per GB, and what the gateway's memory grows by.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::measure::{Way, cpu_nanos};
use super::world::World;
use crate::shell::{read, run as run_command, say};

const ROWS: u32 = 1_000_000;
/// For memory: what grows with the rows shows here at the latest.
const ROWS_LONG: u32 = 5_000_000;
const ROUNDS: usize = 5;
/// Processor time per GB beside PgBouncer's.
const UNTREATED_MAX: f64 = 1.0;
const MASKED_MAX: f64 = 1.3;
const GROWTH_MAX_MIB: f64 = 16.0;

/// The same bytes under a name that no policy minds and under one that it masks.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS bench_stream AS SELECT n::bigint AS id, 'code-' || n % 1000 AS code, \
                     lpad(n::text, 11, '7') AS ticket, lpad(n::text, 11, '7') AS ssn, 'mg/dl' AS unit, \
                     (n % 10000) / 10.0 AS value FROM generate_series(1, 1000000) n; \
                     GRANT SELECT ON bench_stream TO PUBLIC";
const CASES: [(&str, &str, f64); 2] =
    [("no column treated", "ticket", UNTREATED_MAX), ("1 of 5 masked", "ssn", MASKED_MAX)];

/// Prints processor time per GB of rows through both proxies, and the growth of the gateway's memory.
pub(super) fn run(world: &World) -> Result<()> {
    let direct = world.direct();
    run_command(&mut psql(&direct, TABLE))?;
    let bytes = "SELECT sum(27 + length(id::text) + length(code) + length(ticket) + length(unit) + length(value::text)) \
                 FROM bench_stream";
    let gigabytes = read(&mut psql(&direct, bytes))?.trim().parse::<f64>().context("a number of bytes")? / 1e9;
    println!(
        "\n{ROWS} rows, {:.0} MB of DataRow, s of CPU per GB   PgBouncer   Grille   ratio   budget",
        gigabytes * 1e3
    );
    for (what, column, budget) in CASES {
        say(what);
        let query = format!("SELECT id, code, {column}, unit, value FROM bench_stream");
        let (mut bouncer, mut grille) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bouncer.push(seconds(&world.bouncer(), &query)? / gigabytes);
            grille.push(seconds(&world.grille()?, &query)? / gigabytes);
        }
        let (bouncer, grille) = (median(bouncer), median(grille));
        println!("  {what:<46}{bouncer:>10.2}{grille:>9.2}{:>8.2}{budget:>9.1}", grille / bouncer);
    }
    let times = ROWS_LONG / ROWS;
    let query = format!("SELECT id, code, ssn, unit, value FROM bench_stream, generate_series(1, {times})");
    println!(
        "  memory of the gateway over {ROWS_LONG} masked rows: +{:.1} MiB (budget {GROWTH_MAX_MIB})",
        growth(&world.grille()?, &query)?
    );
    Ok(())
}

/// The processor time that the proxy took for one query, in seconds.
fn seconds(way: &Way, query: &str) -> Result<f64> {
    let pid = way.pid.context("a proxy has a process")?;
    let before = cpu_nanos(pid)?;
    run_command(psql(way, query).args(["-o", "/dev/null"]))?;
    Ok((cpu_nanos(pid)? - before) as f64 / 1e9)
}

/// What the process's resident memory grew by at its highest, in MiB.
fn growth(way: &Way, query: &str) -> Result<f64> {
    let pid = way.pid.context("a proxy has a process")?;
    // Forgets the highest so far; see proc(5).
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("reset the peak of its memory")?;
    let before = kib(pid, "VmRSS:")?;
    // By COPY: psql would keep all rows.
    let copy = format!("COPY ({query}) TO STDOUT");
    run_command(psql(way, &copy).args(["-o", "/dev/null"]))?;
    Ok((kib(pid, "VmHWM:")? - before) / 1024.0)
}

fn kib(pid: u32, field: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("read the proxy's status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).context("the status names it")?;
    line.trim().trim_end_matches(" kB").parse().context("a number of KiB")
}

fn psql(way: &Way, sql: &str) -> Command {
    let mut command = Command::new("psql");
    let (ip, port) = (way.address.ip().to_string(), way.address.port().to_string());
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", &ip, "-p", &port, "-U", &way.user]);
    command.args(["-d", &way.database, "-c", sql]).env("PGPASSWORD", &way.password).env("PGSSLMODE", "disable");
    command
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
