use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use grille_ledger::{SigningKey, VerifierKey, WITNESS_REQUEST_BYTES_MAX, Witness, WitnessAnswer};

use super::{Outcome, complain, say};

/// Speaks the C2SP tlog-witness protocol: it signs a log's checkpoint only with the proof that the log goes on from what
/// it signed before. Run it where those who run the log have no say. It holds nothing secret but its own key, and needs
/// no TLS of its own: everything that it hears and says is signed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The witness's name, such as witness.example.org/audit
    #[arg(long)]
    name: String,
    /// Its key, a file; made if it is missing
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where it remembers what it has signed
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The verifier key of a log that it watches, a file; may be repeated
    #[arg(long, value_name = "FILE", required = true)]
    log: Vec<PathBuf>,
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6490")]
    listen: SocketAddr,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut logs = Vec::new();
    for file in &args.log {
        let key = VerifierKey::from_file(file).with_context(|| format!("read the key in {}", file.display()))?;
        if key.is_witness() {
            bail!("{} holds a witness's key, not a log's", file.display());
        }
        logs.push(key);
    }
    let key = own_key(&args.key, &args.state)?;
    fs::create_dir_all(&args.state).with_context(|| format!("make {}", args.state.display()))?;
    let witness = Witness::new(&args.state, &args.name, key, logs).context("the witness's name")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await;
        let listener = listener.with_context(|| format!("listen on {}", args.listen))?;
        let address = listener.local_addr().context("read the address")?;
        say(&format!("{}\nlistening on http://{address}\n", witness.verifier_key()));
        let router = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .layer(DefaultBodyLimit::max(WITNESS_REQUEST_BYTES_MAX))
            .with_state(Arc::new(witness));
        axum::serve(listener, router).await.context("serve")
    })?;
    Ok(Outcome::Done)
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, request: String) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let answered = tokio::task::spawn_blocking(move || witness.add_checkpoint(&request, now)).await;
    let answer = match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            complain(&format!("what was signed before cannot be read or written: {error}"));
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    match answer {
        WitnessAnswer::Cosigned(line) => line.into_response(),
        WitnessAnswer::Elsewhere(size) => {
            let kind = [(header::CONTENT_TYPE, "text/x.tlog.size")];
            (StatusCode::CONFLICT, kind, format!("{size}\n")).into_response()
        }
        WitnessAnswer::Malformed => StatusCode::BAD_REQUEST.into_response(),
        WitnessAnswer::Unsigned => StatusCode::FORBIDDEN.into_response(),
        WitnessAnswer::Unknown => StatusCode::NOT_FOUND.into_response(),
        WitnessAnswer::Forked => {
            complain("a log showed another tree of the size that was signed before: it was not signed");
            StatusCode::CONFLICT.into_response()
        }
        WitnessAnswer::Unproven => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
    }
}

/// The key in a file. One that is missing is made, but not beside a memory: whoever signed that had another one.
fn own_key(path: &Path, state: &Path) -> anyhow::Result<SigningKey> {
    if path.exists() {
        return SigningKey::from_file(path).with_context(|| format!("read the key in {}", path.display()));
    }
    if state.exists() {
        bail!("{} is missing although {} remembers what it signed: restore it", path.display(), state.display());
    }
    let key = SigningKey::generate().context("make a key")?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(key.to_text().as_bytes()).and_then(|()| file.sync_all()));
    written.with_context(|| format!("write {}", path.display()))?;
    complain(&format!("made a new key at {}: keep a copy of it in a safe place", path.display()));
    Ok(key)
}
