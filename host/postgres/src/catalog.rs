//! What is known of a target's relations, types and functions: read over a connection of Grille's own, kept, and
//! looked at again when it may be stale.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grille_pg_codec::backend::{Message, field};
use grille_pg_codec::{encode, frame};
use grille_sql::{Catalog, catalog};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::io::Wire;
use crate::route::Target;
use crate::upstream::{self, Upstream};

/// One catalog question.
const PATIENCE: Duration = Duration::from_secs(30);
/// A catalog's rows in bytes: some hundred thousand columns.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The catalogs of all targets.
#[derive(Default)]
pub(crate) struct Catalogs {
    by_target: Mutex<HashMap<Arc<str>, Arc<TargetCatalog>>>,
}

impl Catalogs {
    pub(crate) fn of(&self, target: &Arc<Target>) -> Arc<TargetCatalog> {
        let mut by_target = self.by_target.lock();
        match by_target.get(&target.name) {
            Some(known) if Arc::ptr_eq(&known.target, target) => Arc::clone(known),
            _ => {
                let fresh = Arc::new(TargetCatalog::new(target));
                by_target.insert(Arc::clone(&target.name), Arc::clone(&fresh));
                fresh
            }
        }
    }
}

/// The catalog of one target.
pub(crate) struct TargetCatalog {
    target: Arc<Target>,
    known: Mutex<Known>,
    /// Whoever holds this reads the catalog; the others wait for what it finds.
    connection: tokio::sync::Mutex<Option<Wire>>,
}

struct Known {
    catalog: Option<Arc<Catalog>>,
    checked: Option<Instant>,
    /// A session that is judged by the catalog has changed definitions: its temporary relations count as well.
    temporary_too: bool,
}

/// Why there is no catalog. Masked and limited sessions are refused then.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the catalog of target \"{target}\" cannot be read: {reason}")]
pub(crate) struct NoCatalog {
    target: Arc<str>,
    reason: String,
}

impl TargetCatalog {
    fn new(target: &Arc<Target>) -> Self {
        Self {
            target: Arc::clone(target),
            known: Mutex::new(Known { catalog: None, checked: None, temporary_too: false }),
            connection: tokio::sync::Mutex::new(None),
        }
    }

    /// The catalog, looked at again if it was not for a while.
    pub(crate) async fn current(&self) -> Result<Arc<Catalog>, NoCatalog> {
        if let Some(catalog) = self.believed() {
            return Ok(catalog);
        }
        self.look(false).await
    }

    /// The catalog as it is now.
    pub(crate) async fn reread(&self) -> Result<Arc<Catalog>, NoCatalog> {
        self.look(true).await
    }

    /// Takes a catalog for what the target has now.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn believe(&self, catalog: &Arc<Catalog>) {
        *self.known.lock() =
            Known { catalog: Some(Arc::clone(catalog)), checked: Some(Instant::now()), temporary_too: false };
    }

    /// Definitions changed: the next operation of any session looks first. Temporary ones matter only where the session
    /// that made them is judged by the catalog.
    pub(crate) fn invalidate(&self, temporary_too: bool) {
        let mut known = self.known.lock();
        known.checked = None;
        known.temporary_too |= temporary_too;
    }

    /// The catalog as long as it needs no other look: DDL that passes through Grille is noticed at once, DDL by other
    /// ways within `catalog_refresh`.
    fn believed(&self) -> Option<Arc<Catalog>> {
        let (known, patience) = (self.known.lock(), self.target.catalog_refresh);
        known.checked.filter(|checked| checked.elapsed() < patience).and_then(|_| known.catalog.clone())
    }

    async fn look(&self, now: bool) -> Result<Arc<Catalog>, NoCatalog> {
        let asked = Instant::now();
        let mut connection = self.connection.lock().await;
        // Somebody else may have looked while this one waited.
        let looked_since = self.known.lock().checked.is_some_and(|checked| checked >= asked);
        if (looked_since || !now)
            && let Some(catalog) = self.believed()
        {
            return Ok(catalog);
        }
        let (known, temporary_too) = {
            let mut known = self.known.lock();
            (known.catalog.clone(), std::mem::take(&mut known.temporary_too))
        };
        // A name that is missing may be a temporary relation's.
        let temporary_too = temporary_too || now;
        let started = Instant::now();
        // A connection that broke since it was last used is worth one more try on a fresh one.
        let had_connection = connection.is_some();
        let mut found = self.ask(&mut connection, known.as_ref(), temporary_too).await;
        if found.is_err() && had_connection {
            *connection = None;
            found = self.ask(&mut connection, known.as_ref(), temporary_too).await;
        }
        match found {
            Ok(catalog) => {
                let mut known = self.known.lock();
                (known.catalog, known.checked) = (Some(Arc::clone(&catalog)), Some(started));
                Ok(catalog)
            }
            Err(reason) => {
                *connection = None;
                self.known.lock().temporary_too |= temporary_too;
                Err(NoCatalog { target: Arc::clone(&self.target.name), reason })
            }
        }
    }

    async fn ask(
        &self,
        connection: &mut Option<Wire>,
        known: Option<&Arc<Catalog>>,
        temporary_too: bool,
    ) -> Result<Arc<Catalog>, String> {
        let wire = match connection {
            Some(wire) => wire,
            None => connection.insert(self.connect().await?),
        };
        let version = rows(wire, catalog::VERSION).await?;
        let [lasting, temporary] =
            <[_; 2]>::try_from(version.into_iter().next().unwrap_or_default()).map_err(|_| "no version".to_owned())?;
        let (lasting, temporary) = (lasting.unwrap_or_default(), temporary.unwrap_or_default());
        let version = format!("{lasting} {temporary}");
        if let Some(known) = known
            && (known.version() == version
                || !temporary_too && known.version().split(' ').next() == Some(lasting.as_str()))
        {
            return Ok(Arc::clone(known));
        }
        let mut parts = Vec::new();
        for (_, sql) in catalog::queries() {
            parts.push(rows(wire, sql).await?);
        }
        tracing::info!(target = %self.target.name, %version, "catalog read");
        Catalog::from_rows(&version, parts).map(Arc::new).map_err(|error| error.to_string())
    }

    async fn connect(&self) -> Result<Wire, String> {
        let parameters = [
            ("application_name".to_owned(), "grille catalog".to_owned()),
            ("client_encoding".to_owned(), "UTF8".to_owned()),
            ("search_path".to_owned(), "pg_catalog".to_owned()),
        ];
        let Upstream { wire, .. } = upstream::connect(&self.target, &self.target.login, &parameters)
            .await
            .map_err(|error| error.to_string())?;
        Ok(wire)
    }
}

/// A row of text values.
pub(crate) type TextRow = Vec<Option<String>>;

/// Runs one statement over a connection that nobody else uses.
pub(crate) async fn rows(wire: &mut Wire, sql: &str) -> Result<Vec<TextRow>, String> {
    tokio::time::timeout(PATIENCE, async {
        wire.outbox.put(|out| encode::query(out, sql.as_bytes())).map_err(|error| error.to_string())?;
        wire.flush().await.map_err(|error| error.to_string())?;
        let (mut rows, mut error, mut bytes) = (Vec::new(), None, 0);
        loop {
            while let Some(head) = frame::head(&wire.inbox).map_err(|error| error.to_string())? {
                bytes += head.len;
                if bytes > ANSWER_BYTES_MAX {
                    return Err("it is too large".to_owned());
                }
                if wire.inbox.len() < head.len {
                    bytes -= head.len;
                    break;
                }
                let message = wire.inbox.split_to(head.len);
                let body = message.get(frame::HEADER_BYTES..).unwrap_or_default();
                match Message::parse(head.tag, body).map_err(|error| error.to_string())? {
                    Message::DataRow(row) => rows.push(text_row(row.values())?),
                    Message::Error(report) => {
                        error = report.get(field::MESSAGE).map(|text| String::from_utf8_lossy(text).into_owned());
                    }
                    Message::ReadyForQuery(_) => return error.map_or(Ok(rows), Err),
                    _ => {}
                }
            }
            if wire.read().await.map_err(|error| error.to_string())? == 0 {
                return Err("the connection ended".to_owned());
            }
        }
    })
    .await
    .map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
}

/// The values of a row as text.
pub(crate) fn text_row<'a>(
    values: impl Iterator<Item = Result<Option<&'a [u8]>, grille_pg_codec::Malformed>>,
) -> Result<TextRow, String> {
    values
        .map(|value| match value {
            Ok(value) => Ok(value.map(|bytes| String::from_utf8_lossy(bytes).into_owned())),
            Err(error) => Err(error.to_string()),
        })
        .collect()
}
