//! How fast texts are scanned: JSON lines `{"text"}` on standard input, joined into blocks of 16 KiB, in MB/s. The first
//! round is not counted: in it the lazy automaton learns its states, once per process.
#![forbid(unsafe_code)]

use std::io::{BufRead as _, Write as _};

use grille_mask::detect::{Detector, Scratch};

const BLOCK: usize = 16 << 10;
const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut all = String::new();
    for line in std::io::stdin().lock().lines() {
        let document: serde_json::Value = serde_json::from_str(&line?)?;
        all.push_str(document["text"].as_str().unwrap_or_default());
        all.push('\n');
    }
    let detector = Detector::new()?;
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let mut round = |out: &mut Vec<u8>| {
        for block in all.as_bytes().chunks(BLOCK) {
            out.clear();
            detector.mask_bytes(block, &mut scratch, out);
        }
    };
    round(&mut out);
    #[expect(clippy::disallowed_types, reason = "a clock is all that this is about; nobody pauses it")]
    let start = std::time::Instant::now();
    for _ in 0..ROUNDS {
        round(&mut out);
    }
    let bytes = (all.len() * ROUNDS) as f64;
    writeln!(std::io::stdout(), "{:.1} MB/s", bytes / start.elapsed().as_secs_f64() / 1e6)?;
    Ok(())
}
