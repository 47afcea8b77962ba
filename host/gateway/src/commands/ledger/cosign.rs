//! A witness's signature under the published checkpoint.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use grille_ledger::{Checkpoint, VerifierKey, cosignature, witness_request};
use reqwest::{StatusCode, Url};

use crate::client::NoAnswer;

/// A witness answers from its own disk.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The line by which the witness signed this note, and when, in Unix seconds.
pub(super) async fn ask(dir: &Path, note: &str, url: &str, key: &Path) -> Result<(String, u64), NoAnswer> {
    let key = VerifierKey::from_file(key).with_context(|| format!("read the key in {}", key.display()))?;
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
                return cosignature(&text, note, &key)
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

fn is_size(answer: &reqwest::Response) -> bool {
    answer.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/x.tlog.size"))
}
