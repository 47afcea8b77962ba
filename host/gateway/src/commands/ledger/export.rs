use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use grille_admin::{EvidenceView as _, Quarter};
use grille_gateway::{Custody, owner, read_config};
use grille_policy::SessionId;

use crate::client::{Client, NoAnswer, Reach};
use crate::commands::wanted::Wanted;
use crate::commands::{Outcome, answer, say, waiting};

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// This session, or a unique beginning of its id; may be repeated
    #[arg(long, value_name = "ID")]
    session: Vec<String>,
    #[command(flatten)]
    wanted: Wanted,
    /// What this quarter shows for each paragraph of the HIPAA Security Rule, such as 2026-Q3, with samples and gaps
    #[arg(long, value_name = "QUARTER", conflicts_with_all = ["session", "subject", "target", "from", "to", "relation"])]
    hipaa: Option<Quarter>,
    /// The bundle, a new file that only you can read
    #[arg(long, value_name = "FILE.tar")]
    out: PathBuf,
    /// Add the keys that open what the callers of these sessions sent and saw
    #[arg(long)]
    with_contents: bool,
    /// Read the configuration's own ledger while no gateway runs
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Export) -> anyhow::Result<Outcome> {
    answer(async {
        if args.session.is_empty() && args.wanted.is_all() && args.hipaa.is_none() {
            let hint =
                "what is to be exported? Say --session, --subject, --target, --from, --to, --relation or --hipaa";
            return Err(NoAnswer::Usage(hint.to_owned()));
        }
        let mut file = Bundle::create(&args.out)?;
        if args.offline {
            offline(args, &mut file).await?
        } else {
            online(args, &mut file).await?
        }
        let bytes = file.finish()?;
        let name = args.out.display();
        let page = if args.hipaa.is_some() { "hipaa.html" } else { "report.html" };
        say(&format!(
            "{name}: {bytes} bytes of evidence; open {page} in it, and let others check it:\n\
             tar -xf {name} verify.py && python3 verify.py {name} --key LOG.vkey\n"
        ));
        Ok(())
    })
}

async fn online(args: &Export, file: &mut Bundle) -> Result<(), NoAnswer> {
    let mut query = args.wanted.query();
    if !args.session.is_empty() {
        query.push(("session", args.session.join(",")));
    }
    if let Some(quarter) = args.hipaa {
        query.push(("hipaa", quarter.to_string()));
    }
    if args.with_contents {
        query.push(("contents", "true".to_owned()));
    }
    let client = Client::patient(&args.reach)?;
    let waiting = waiting("the gateway reads its log");
    let mut answer = client.download(&["v1", "ledger", "export"], &query).await?;
    let mut bytes = 0;
    while let Some(piece) = answer.chunk().await.context("receive the bundle")? {
        file.out.write_all(&piece).with_context(|| format!("write {}", file.partial.display()))?;
        bytes += piece.len();
        waiting.set_message(format!("{} MiB of evidence", bytes >> 20));
    }
    waiting.finish_and_clear();
    Ok(())
}

/// Whoever holds the keys needs no gateway. It is a record all the same, which is why nobody else may be writing.
async fn offline(args: &Export, file: &mut Bundle) -> Result<(), NoAnswer> {
    let mut search = args.wanted.search();
    for text in &args.session {
        let id: Result<SessionId, _> = text.parse();
        search.sessions.push(id.map_err(|_| NoAnswer::Usage(format!("`{text}` is no whole session id")))?);
    }
    let config = read_config(args.reach.config_path())?;
    let custody = Custody::open(&config)?;
    let evidence = custody.evidence();
    let asked = args.hipaa.map_or_else(|| evidence.describe(&search), |quarter| format!("hipaa={quarter}"));
    let said = asked + if args.with_contents { " with contents" } else { "" };
    custody.record_look("ledger.export", &said)?;
    let unreadable = |error: grille_admin::Unreadable| anyhow!("{error}");
    let selection = evidence.select(&search, args.hipaa).await.map_err(unreadable)?;
    let is_empty = selection.is_empty();
    let by = owner();
    let by = format!("{} on the machine of the gateway", by.name);
    if !is_empty {
        evidence.write(selection, args.with_contents, &by, &mut file.out).map_err(unreadable)?;
    }
    custody.close().await?;
    if is_empty { Err(NoAnswer::No("no session matches".to_owned())) } else { Ok(()) }
}

/// A file that is there whole or not at all.
struct Bundle {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<fs::File>,
    is_done: bool,
}

impl Bundle {
    fn create(path: &Path) -> Result<Self, NoAnswer> {
        if path.exists() {
            return Err(NoAnswer::Usage(format!("{} is there already: name another file", path.display())));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
        let file = file.with_context(|| format!("create {}", partial.display()))?;
        Ok(Self { path: path.to_owned(), partial, out: BufWriter::new(file), is_done: false })
    }

    fn finish(mut self) -> anyhow::Result<u64> {
        let file = self.out.get_ref().try_clone();
        self.out.flush().with_context(|| format!("write {}", self.partial.display()))?;
        let bytes = file.and_then(|file| file.sync_all().and_then(|()| file.metadata())).map(|file| file.len());
        let bytes = bytes.with_context(|| format!("write {}", self.partial.display()))?;
        fs::rename(&self.partial, &self.path).with_context(|| format!("write {}", self.path.display()))?;
        self.is_done = true;
        Ok(bytes)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if !self.is_done {
            // Half a bundle helps nobody.
            drop(fs::remove_file(&self.partial));
        }
    }
}
