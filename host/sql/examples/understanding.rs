//! How long a text takes to understand, alone on one core: `cargo run --release -p grille-sql --example understanding`.
//!
//! The budget of the three-way join is 25 µs cold, and 1 µs where the session remembers the text.
#![allow(clippy::print_stdout, reason = "figures are for people")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

pub use grille_sql::Catalog;
use grille_sql::{Analysis, Settings, analyse};
use tokio::time::Instant;

#[path = "../src/testing.rs"]
mod testing;

const JOIN: &str = "SELECT p.id, p.name, p.zip, b.amount, s.name, s.room FROM patients p \
     JOIN billing b ON b.patient_id = p.id JOIN staff s ON s.id = b.id \
     WHERE p.zip = '12345' AND b.amount > 100 AND s.room IS NOT NULL ORDER BY b.amount DESC LIMIT 50;";
const ROUNDS: u32 = 2_000;
const REPEATS: usize = 15;

fn main() {
    let catalog = testing::catalog();
    let settings = Settings::default();
    let union = format!("SELECT id, name FROM staff{}", " UNION ALL SELECT id, name FROM patients".repeat(127));
    for (name, text) in [("SELECT 1", "SELECT 1"), ("three-way join", JOIN), ("UNION ALL", &union)] {
        let cold = best_of(|| drop(black_box(analyse(black_box(text), &catalog, &settings))));
        let parsed = best_of(|| drop(black_box(pg_raw_parse::parse(black_box(text)))));
        let remembered: HashMap<Arc<str>, Arc<Analysis>> =
            [(Arc::from(text), Arc::new(analyse(text, &catalog, &settings).expect("SQL")))].into();
        let cached = best_of(|| drop(black_box(remembered.get(black_box(text)).cloned())));
        println!(
            "{name:<16}{:>6} bytes {cold:>9.2} µs, of it parsing {parsed:.2} µs; remembered {cached:.3} µs",
            text.len()
        );
    }
}

/// The best of several means in µs: what else the machine does only adds.
fn best_of(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let began = Instant::now();
        for _ in 0..ROUNDS {
            run();
        }
        best = best.min(began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    }
    best
}
