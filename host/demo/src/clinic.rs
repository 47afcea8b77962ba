//! The clinic's data: made by a generator of our own from a fixed seed, so that every machine shows the same tour.

mod dates;
mod people;
mod random;
mod records;
mod words;

use std::io::{self, BufWriter, Write};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use people::Patient;
use random::Random;
use records::Visit;

/// The database's name in the cluster, and the target's in the demo's configuration.
pub const DATABASE: &str = "clinic";
/// The login that the gateway uses for everybody else: may read and write rows, owns one small table, is no superuser.
pub const APP: &str = "grille_app";
/// The login that the gateway uses for database administrators.
pub const DBA: &str = "grille_dba";

/// How much of everything there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows of `patients`.
    pub patients: usize,
    /// Rows of `encounters`.
    pub encounters: usize,
    /// Rows of `clinical_notes`.
    pub notes: usize,
    /// Rows of `billing`.
    pub bills: usize,
}

impl Size {
    /// What the demo shows.
    pub const FULL: Self = Self { patients: 20_000, encounters: 200_000, notes: 50_000, bills: 120_000 };
    /// Enough for a test that does not look at speed.
    pub const SMALL: Self = Self { patients: 500, encounters: 2_000, notes: 600, bills: 800 };
}

/// The passwords of the gateway's two logins.
#[derive(Clone)]
pub struct Passwords {
    /// Of [`APP`].
    pub app: String,
    /// Of [`DBA`].
    pub dba: String,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

/// Makes the clinic in a fresh cluster, unless it is there already, and sets the passwords of the two logins.
///
/// # Errors
/// What `psql` said.
pub fn install(cluster: &Cluster, size: Size, passwords: &Passwords) -> Result<()> {
    let there = cluster.sql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{DATABASE}'"))?;
    if there != "1" {
        // Loaded under another name: a load that was cut off is never taken for a clinic.
        let half = format!("{DATABASE}_loading");
        cluster.sql("postgres", &format!("DROP DATABASE IF EXISTS {half}"))?;
        cluster.sql("postgres", &format!("CREATE DATABASE {half}"))?;
        load(cluster, &half, size)?;
        cluster.sql("postgres", &format!("ALTER DATABASE {half} RENAME TO {DATABASE}"))?;
    }
    for (login, password) in [(APP, &passwords.app), (DBA, &passwords.dba)] {
        ensure!(
            password.bytes().all(|b| b.is_ascii_alphanumeric()),
            "the password of {login} is not letters and digits"
        );
        cluster.sql("postgres", &format!("ALTER ROLE {login} LOGIN PASSWORD '{password}'"))?;
    }
    Ok(())
}

fn load(cluster: &Cluster, database: &str, size: Size) -> Result<()> {
    for role in [APP, DBA, "clinic_owner"] {
        let make = format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role}; END IF; END $$"
        );
        cluster.sql("postgres", &make)?;
    }
    // One transaction: COPY into a table made in it skips the write-ahead log.
    let mut psql = cluster
        .psql(database)
        .args(["-1", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("run psql")?;
    let pipe = psql.stdin.take().context("psql has no stdin")?;
    let written = write_script(size, &mut BufWriter::with_capacity(256 * 1024, pipe));
    let output = psql.wait_with_output().context("wait for psql")?;
    ensure!(output.status.success(), "loading the clinic failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    written.context("write to psql")?;
    cluster.sql(database, "VACUUM ANALYZE")?;
    Ok(())
}

/// Everything `psql` needs to make the clinic: tables, rows, then keys, views and rights.
fn write_script(size: Size, out: &mut impl Write) -> io::Result<()> {
    const SEED: u64 = 0x0067_7269_6c6c_6531;
    /// Doctors; the encounters name them by number.
    const PROVIDERS: usize = 120;

    let mut random = Random::new(SEED);
    out.write_all(include_bytes!("clinic/schema.sql"))?;

    begin_copy(out, "providers")?;
    records::providers(PROVIDERS, &mut random, out)?;
    end_copy(out)?;

    begin_copy(out, "patients")?;
    let mut patients = Vec::with_capacity(size.patients);
    for id in 1..=size.patients {
        let patient = Patient::new(id, &mut random);
        patient.row(&mut random, out)?;
        patients.push(patient);
    }
    end_copy(out)?;

    begin_copy(out, "encounters")?;
    let mut visits = Vec::with_capacity(size.encounters);
    for id in 1..=size.encounters {
        let visit = Visit::new(id, &mut random);
        visit.row(whose(&patients, id), 120, &mut random, out)?;
        visits.push(visit);
    }
    end_copy(out)?;

    begin_copy(out, "clinical_notes")?;
    for id in 1..=size.notes {
        let visit = visits[spread(id, size.notes, size.encounters)];
        records::note(id, whose(&patients, visit.id), visit, &mut random, out)?;
    }
    end_copy(out)?;

    begin_copy(out, "billing")?;
    for id in 1..=size.bills {
        let visit = visits[spread(id, size.bills, size.encounters)];
        records::bill(id, whose(&patients, visit.id), visit, &mut random, out)?;
    }
    end_copy(out)?;

    out.write_all(include_bytes!("clinic/finish.sql"))?;
    out.flush()
}

/// Patients take turns, in an order that does not look like one.
fn whose(patients: &[Patient], visit: usize) -> &Patient {
    &patients[visit.wrapping_mul(7_907) % patients.len()]
}

/// The `index`-th (from 1) of `count` things, laid evenly over `over` places.
fn spread(index: usize, count: usize, over: usize) -> usize {
    (index - 1) * over / count
}

fn begin_copy(out: &mut impl Write, table: &str) -> io::Result<()> {
    // FREEZE: the rows need no later vacuum, so the first queries are as fast as all others.
    writeln!(out, "COPY {table} FROM STDIN WITH (FREEZE);")
}

fn end_copy(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\\.\n")
}

#[cfg(test)]
mod tests;
