//! A witness's signature under the published checkpoint.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use grille_ledger::{Checkpoint, VerifierKey, cosignature, witness_request};
use reqwest::{StatusCode, Url};

use crate::client::NoAnswer;

/// A witness answers from its own disk.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The line by which the witness signed this note, and when, in Unix seconds.
pub(super) async fn ask(dir: &Path, note: &str, url: &str, key: &VerifierKey) -> Result<(String, u64), NoAnswer> {
    if !key.is_witness() {
        return Err(NoAnswer::Usage(format!(
            "`{}` is a log's key: a witness prints its own when it starts",
            key.origin()
        )));
    }
    let url: Url = format!("{}/add-checkpoint", url.trim_end_matches('/'))
        .parse()
        .map_err(|_| NoAnswer::Usage(format!("`{url}` is no address of a witness, such as http://127.0.0.1:6490")))?;
    let builder = || reqwest::Client::builder().timeout(ANSWER_TIME_MAX).redirect(reqwest::redirect::Policy::none());
    let http = grille_identity::build_client(builder).context("prepare the HTTP client")?;
    // It may know nothing of this log yet; else it says from where on it wants the proof.
    let mut old = 0;
    loop {
        let request = witness_request(dir, old, note).context("prove how the log grew")?;
        let Some(request) = request else {
            let size = Checkpoint::peek(note).map(|checkpoint| checkpoint.size).unwrap_or_default();
            let why =
                format!("the witness has signed a tree of {old} records, and this log's checkpoint covers {size}");
            return Err(NoAnswer::No(format!("{why}: the log was cut or replaced")));
        };
        let answer = http.post(url.clone()).body(request).send().await.with_context(|| format!("ask {url}"))?;
        let (status, is_size) = (answer.status(), is_size(&answer));
        let text = answer.text().await.with_context(|| format!("ask {url}"))?;
        match status {
            StatusCode::OK => {
                return cosignature(&text, note, key)
                    .map_err(|error| NoAnswer::No(format!("the witness's answer: {error}")));
            }
            StatusCode::CONFLICT if is_size && old == 0 => {
                old = text.trim().parse().map_err(|_| anyhow!("{url} names no size: {text:?}"))?;
                if old == 0 {
                    return Err(anyhow!("{url} contradicts itself").into());
                }
            }
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                return Err(NoAnswer::No("FORKED: the witness has signed another beginning of this log".to_owned()));
            }
            StatusCode::NOT_FOUND => return Err(NoAnswer::No("the witness does not watch this log".to_owned())),
            StatusCode::FORBIDDEN => {
                return Err(NoAnswer::No("the witness knows this log by another key".to_owned()));
            }
            status => return Err(anyhow!("{url} answered {status}").into()),
        }
    }
}

/// The note to add signatures to: what was kept of the same checkpoint, else this one alone. What witnesses saw of a
/// larger tree is not given up for a smaller one.
pub(super) fn go_on(kept: &Path, note: &str) -> Result<String, NoAnswer> {
    let old = match fs::read_to_string(kept) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(note.to_owned()),
        Err(error) => return Err(anyhow!(error).context(format!("read {}", kept.display())).into()),
    };
    let told = |note: &str| Checkpoint::peek(note).with_context(|| format!("the checkpoint in {}", kept.display()));
    let (was, is) = (told(&old)?, told(note)?);
    if was.size > is.size {
        let (name, was, is) = (kept.display(), was.size, is.size);
        let why = format!("{name} covers {was} records and the log's checkpoint {is}: the log was cut or replaced");
        return Err(NoAnswer::No(why));
    }
    if was.size == is.size && was != is {
        return Err(NoAnswer::No(format!("FORKED: {} shows another log of as many records", kept.display())));
    }
    Ok(if was == is { old } else { note.to_owned() })
}

/// Writes what was signed in one piece.
pub(super) fn keep(kept: &Path, note: &str) -> std::io::Result<()> {
    let partial = kept.with_extension("part");
    let mut file = fs::File::create(&partial)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, kept)
}

fn is_size(answer: &reqwest::Response) -> bool {
    answer.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/x.tlog.size"))
}
