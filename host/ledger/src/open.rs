//! Opening: the tree is derived from the write-ahead log again, a torn tail is cut, and what was signed must still hold.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grille_policy::Digest;

use crate::background::{Edge, Signer, Threads, sync};
use crate::clock::Clock;
use crate::frame::{Frame, FrameReader, Next, segment_path};
use crate::leaf::Leaf;
use crate::ledger::{Ledger, LedgerConfig, Parts, Shared};
use crate::merkle::{Frontier, TILE_WIDTH, leaf_hash};
use crate::note::{Checkpoint, LastSigned, NoteError, show_root};
use crate::seal::KeyFile;
use crate::settled::Settled;
use crate::sha256::{Sha256, sha256, to_base64};
use crate::ship::{self, SEGMENT_AGE, Shipping};
use crate::shred;
use crate::tiles::{self, Durability, Sort, hashes_to_bytes, push_entry, replace, tile_path};
use crate::wal::Wal;
use crate::{NodeStart, OpenError, Record, Recovered, VerifierKey};

pub(crate) fn open(config: LedgerConfig) -> Result<Ledger, OpenError> {
    let dir = config.path.clone();
    for part in ["wal", "keys", "tile", "plugins"] {
        let path = dir.join(part);
        fs::create_dir_all(&path).map_err(|source| OpenError::Io { action: "make", path, source })?;
    }
    let lock = lock(&dir)?;
    let origin = origin(&config)?;
    let verifier_key = config.signing_key.verifier_key(&origin)?;
    let last = last_signed(&dir, &verifier_key)?;
    let signed = last.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size);
    let Scan { edge, segment, offset, is_torn } = scan(&dir, last.as_ref().map(|(checkpoint, _)| checkpoint))?;
    let recovered = is_torn.then(|| cut(&dir, segment, offset)).transpose().map_err(|source| OpenError::Io {
        action: "cut the torn tail of",
        path: segment_path(&dir, segment),
        source,
    })?;
    let size = edge.frontier.size();

    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { action, path, source }
    };
    if let Some(Shipping { archive, .. }) = &config.shipping {
        ship::claim(&dir, &origin, archive).map_err(|source| OpenError::Claim { origin: origin.clone(), source })?;
    }
    let path = segment_path(&dir, segment);
    let wal = Wal::resume(&dir, config.segment_bytes, (segment, offset), size, Clock::start())
        .map_err(io("go on with", &path))?
        .with_segment_age(config.shipping.as_ref().map(|_| SEGMENT_AGE));
    let reader = FrameReader::open_at(&dir, segment, wal.offset(), size).map_err(io("read", &path))?;
    let holds = shred::holds(&dir, &config.seal_key).map_err(|source| OpenError::Holds { source: Box::new(source) })?;
    let interrupted = shred::interrupted(&dir).map_err(io("read", &dir.join("shredding")))?;
    let keys = KeyFile::open(&dir).map_err(io("open the wrapped keys in", &dir.join("keys")))?;
    let path = dir.join("log.vkey");
    keep(&path, &format!("{verifier_key}\n")).map_err(io("write", &path))?;
    if let Some((_, note)) = &last {
        let path = dir.join("checkpoint");
        keep(&path, note).map_err(io("write", &path))?;
    }

    let edge = Edge { reader, ..edge };
    let signer = Signer::new(&dir, config.signing_key.clone(), verifier_key.id(), origin.clone(), edge, signed);
    let origin: Arc<str> = origin.into();
    let archive = config.shipping.as_ref().map(|shipping| shipping.archive.clone());
    let shared = Arc::new(Shared::new(Parts { config, origin, verifier_key, wal, keys, signed, holds }));
    if !shared.make_reserve() {
        tracing::warn!(path = %dir.display(), "no space could be set aside for the ends of what is under way");
    }
    let threads =
        Threads::start(Arc::clone(&shared), signer, archive, lock).map_err(io("start the threads of", &dir))?;
    let mut first = vec![Record::NodeStart(NodeStart {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        size,
        checkpoint: last.map(|(_, note)| Cow::Owned(note)),
        verifier_key: Some(shared.verifier_key.to_string().into()),
        seal_key: Some(to_base64(&shared.seal_key().id()).into()),
    })];
    first.extend(recovered.map(Record::Recovered));
    first.extend(interrupted.iter().cloned().map(Record::Shred));
    shared.begin_node(&first)?;
    shared.count_waiting();
    if !interrupted.is_empty() {
        // Whether the records were safe before is unknown; they are now.
        sync(&shared).map_err(|why| shared.stop_for_good(why.into()))?;
        shred::destroy(&dir, &interrupted).map_err(io("destroy the keys in", &dir.join("keys")))?;
    }
    Ok(Ledger::from_parts(shared, Arc::new(threads)))
}

fn keep(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).ok().as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    replace(path, text.as_bytes(), Durability::Synced)
}

pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| OpenError::Io { action: "open", path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { action: "lock", path, source }),
    }
}

/// The name of the log: it never changes while there is one.
pub(crate) fn origin(config: &LedgerConfig) -> Result<String, OpenError> {
    let path = config.path.join("log.vkey");
    let found = match fs::read_to_string(&path) {
        Ok(text) => Some(VerifierKey::from_text(&text)?.origin().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(OpenError::Io { action: "read", path, source }),
    };
    match (found, &config.origin) {
        (Some(found), Some(configured)) if found != *configured => {
            Err(OpenError::Origin { path: config.path.clone(), found, configured: configured.clone() })
        }
        (Some(found), _) => Ok(found),
        (None, Some(configured)) => Ok(configured.clone()),
        (None, None) => {
            let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let name = name.trim();
            Ok(format!("grille/{}", if crate::keys::is_origin(name) { name } else { "localhost" }))
        }
    }
}

/// The newest checkpoint that was signed, with its note. Nothing else is ever signed again: older trees only where this one
/// goes on from them.
fn last_signed(dir: &Path, key: &VerifierKey) -> Result<Option<(Checkpoint, String)>, OpenError> {
    let read = |name: &str| {
        let path = dir.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OpenError::Io { action: "read", path, source }),
        }
    };
    let open = |path: &Path, note: &str| match Checkpoint::open(note, key) {
        Ok(checkpoint) => Ok(checkpoint),
        Err(NoteError::Unsigned) => Err(OpenError::ForeignKey { path: path.to_owned() }),
        Err(NoteError::Origin) => Err(OpenError::Origin {
            path: dir.to_owned(),
            found: Checkpoint::peek(note).map(|checkpoint| checkpoint.origin).unwrap_or_default(),
            configured: key.origin().to_owned(),
        }),
        Err(error) => Err(backwards(dir, format!("{}: {error}", path.display()))),
    };
    let published = match read("checkpoint")? {
        Some((path, note)) => Some((open(&path, &note)?, note)),
        None => None,
    };
    let Some((path, text)) = read("last_signed")? else { return Ok(published) };
    let last = LastSigned::parse(&text).ok_or_else(|| backwards(dir, format!("{} is damaged", path.display())))?;
    let checkpoint = open(&path, &last.note)?;
    if let Some((published, _)) = published
        && (published.size > checkpoint.size || published.size == checkpoint.size && published != checkpoint)
    {
        let why = format!(
            "a checkpoint over {} records is published, but the last signed one covers {}",
            published.size, checkpoint.size
        );
        return Err(backwards(dir, why));
    }
    Ok(Some((checkpoint, last.note)))
}

struct Scan {
    edge: Edge,
    /// Where the log goes on.
    segment: u32,
    offset: u64,
    /// Whether something stands behind that is no record.
    is_torn: bool,
}

/// Whether the log could be gone on with. Nothing of it is changed but tiles that are missing.
pub(crate) fn examine(config: &LedgerConfig) -> Result<(), OpenError> {
    let key = config.signing_key.verifier_key(&origin(config)?)?;
    let last = last_signed(&config.path, &key)?;
    scan(&config.path, last.as_ref().map(|(checkpoint, _)| checkpoint)).map(drop)
}

/// Derives the tree: from where its tiles are settled, and from the beginning where that does not meet what was signed.
fn scan(dir: &Path, last: Option<&Checkpoint>) -> Result<Scan, OpenError> {
    let settled = Settled::read(dir).filter(|settled| last.is_some_and(|last| last.size >= settled.size));
    if let Some((reader, frontier)) = settled.and_then(|settled| settled.resume(dir)) {
        match scan_from(dir, last, reader, frontier) {
            Ok(scan) => return Ok(scan),
            Err(error) => tracing::warn!(%error, "the whole log is derived again"),
        }
    }
    let signed = last.map_or(0, |last| last.size);
    let first = segment_path(dir, 0);
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { action, path, source }
    };
    if !first.exists() {
        if signed > 0 {
            return Err(backwards(dir, format!("{signed} records were signed and {} is missing", first.display())));
        }
        File::create(&first).map_err(io("make", &first))?;
    }
    let reader = FrameReader::open(dir).map_err(io("read", &first))?;
    scan_from(dir, last, reader, Frontier::default())
}

fn scan_from(
    dir: &Path,
    last: Option<&Checkpoint>,
    mut reader: FrameReader,
    mut frontier: Frontier,
) -> Result<Scan, OpenError> {
    let signed = last.map_or(0, |last| last.size);
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { action, path, source }
    };
    let mut entries = Vec::new();
    let mut published = Vec::new();
    let mut tear = None;
    meet(dir, last, &frontier, &entries, &mut published)?;
    let torn = loop {
        let path = reader.path();
        match reader.next().map_err(io("read", &path))? {
            Next::Frame(frame) if frame.index >= signed && !is_own(&frame) => {
                tear = Some((frame.segment, frame.offset));
                break true;
            }
            Next::Frame(frame) => {
                push_entry(&mut entries, frame.leaf);
                frontier.push(leaf_hash(frame.leaf), |tile| {
                    let bytes = hashes_to_bytes(&tile.hashes);
                    let end = (tile.number + 1) << (8 * (u32::from(tile.level) + 1));
                    restore(&tile_path(dir, Sort::Hashes(tile.level), tile.number, TILE_WIDTH), &bytes, end > signed)?;
                    // Readers of an older checkpoint had them until now; a power loss may have emptied them.
                    tiles::drop_partial(dir, Sort::Hashes(tile.level), tile.number);
                    if tile.level == 0 {
                        tiles::drop_partial(dir, Sort::Entries, tile.number);
                        restore(&tile_path(dir, Sort::Entries, tile.number, TILE_WIDTH), &entries, end > signed)?;
                        entries.clear();
                    }
                    Ok::<_, OpenError>(())
                })?;
                meet(dir, last, &frontier, &entries, &mut published)?;
            }
            Next::End { torn } => break torn > 0,
            Next::Bad(bad) => {
                let why = format!("record {} in {} is damaged at byte {}", frontier.size(), path.display(), bad.offset);
                if frontier.size() < signed {
                    return Err(backwards(dir, format!("{why}, and {signed} records were signed")));
                }
                break true;
            }
        }
    };
    if frontier.size() < signed {
        let why = format!("it holds {} records, and {signed} were signed", frontier.size());
        return Err(backwards(dir, why));
    }
    let edge = tiles::edge(dir, &frontier, &entries).into_iter().map(|(path, _)| path);
    for path in edge.chain(published.clone()) {
        drop_others(&path, &published).map_err(io("clear the folder of", &path))?;
    }
    let (segment, offset) = tear.unwrap_or_else(|| (reader.segment(), reader.offset()));
    Ok(Scan { edge: Edge { reader, frontier, entries }, segment, offset, is_torn: torn })
}

/// Where the tree has the size that was signed last, it is the tree that was signed, and its edge is there to be read.
fn meet(
    dir: &Path,
    last: Option<&Checkpoint>,
    frontier: &Frontier,
    entries: &[u8],
    published: &mut Vec<PathBuf>,
) -> Result<(), OpenError> {
    let Some(last) = last.filter(|last| last.size == frontier.size()) else { return Ok(()) };
    if last.root != frontier.root() {
        let (is, was) = (show_root(&frontier.root()), show_root(&last.root));
        let why = format!("the first {} records have the root {is}, and {was} was signed", last.size);
        return Err(backwards(dir, why));
    }
    for (path, bytes) in tiles::edge(dir, frontier, entries) {
        restore(&path, &bytes, false)?;
        published.push(path);
    }
    Ok(())
}

/// Whether a record that nothing vouches for yet is where and what it says. It is signed only then.
fn is_own(frame: &Frame<'_>) -> bool {
    Leaf::parse(frame.leaf).is_some_and(|leaf| {
        leaf.is_at(frame.segment, frame.offset)
            && leaf.len == frame.sealed.len() as u64
            && leaf.ciphertext_hash() == Some(sha256(frame.sealed))
    })
}

/// Writes a tile that is missing, or that a power loss left without its bytes; one that is whole and covered by a signature
/// is left for `verify` to judge.
fn restore(path: &Path, bytes: &[u8], overwrite: bool) -> Result<(), OpenError> {
    let is_whole = fs::metadata(path).is_ok_and(|tile| tile.len() == bytes.len() as u64);
    if !overwrite && is_whole {
        return Ok(());
    }
    replace(path, bytes, Durability::Derived).map_err(|source| OpenError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// Removes the partial tiles beside this one that are not published, for the same reason.
fn drop_others(path: &Path, published: &[PathBuf]) -> io::Result<()> {
    let partial = match path.parent().map(fs::read_dir) {
        Some(Ok(partial)) => partial,
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => return Ok(()),
    };
    for other in partial {
        let other = other?.path();
        if !published.contains(&other) {
            fs::remove_file(other)?;
        }
    }
    Ok(())
}

/// Moves everything from `offset` of `segment` on out of the log, into `cut/`: nothing is thrown away.
fn cut(dir: &Path, segment: u32, offset: u64) -> io::Result<Recovered> {
    let cut_dir = dir.join("cut");
    fs::create_dir_all(&cut_dir)?;
    let mut kept = File::create(cut_dir.join(format!("{segment:08}-{offset}")))?;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 64 << 10];
    let mut number = segment;
    loop {
        let path = segment_path(dir, number);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        if number == segment {
            file.seek(SeekFrom::Start(offset))?;
        }
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            kept.write_all(&buffer[..read])?;
            bytes += read as u64;
        }
        number += 1;
    }
    kept.sync_all()?;
    File::open(&cut_dir)?.sync_all()?;
    // Later segments first: the log never has a hole, whenever this is interrupted.
    for later in (segment + 1..number).rev() {
        fs::remove_file(segment_path(dir, later))?;
    }
    tracing::warn!(segment, offset, bytes, "a torn tail of the ledger was cut and kept under cut/");
    Ok(Recovered { segment, offset, bytes, digest: Digest(hash.finish()) })
}

fn backwards(dir: &Path, why: String) -> OpenError {
    OpenError::Backwards { path: dir.to_owned(), why }
}
