//! Prints what the detectors find: JSON lines `{"id", "text"}` on standard input become `{"id", "spans": [{"s", "e", "t"}]}`
//! with byte offsets, or `{"id", "out"}` with `--mask`.
#![forbid(unsafe_code)]

use std::io::{BufRead as _, Write as _};

use grille_mask::detect::Detector;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let masked = std::env::args().any(|argument| argument == "--mask");
    let detector = Detector::new()?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let document: serde_json::Value = serde_json::from_str(&line?)?;
        let text = document["text"].as_str().unwrap_or_default();
        let answer = if masked {
            let mut out = String::new();
            detector.mask(text, &mut out);
            serde_json::json!({ "id": document["id"], "out": out })
        } else {
            let mut hits = Vec::new();
            detector.scan(text, &mut hits);
            let spans: Vec<_> = hits
                .iter()
                .map(|hit| serde_json::json!({ "s": hit.start, "e": hit.end, "t": hit.kind.name() }))
                .collect();
            serde_json::json!({ "id": document["id"], "spans": spans })
        };
        writeln!(out, "{answer}")?;
    }
    Ok(())
}
