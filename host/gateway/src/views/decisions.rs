use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grille_admin::view::{DecisionDetail, ParameterDetail, PluginDetail, ReviewStep};
use grille_admin::{DecisionView, Unreadable};
use grille_ledger::{DecisionFound, DecisionRecord, Kept, Reader, SealKey, read_kept};
use grille_plugin::Artifact;
use grille_policy::{BoxFuture, DecisionId, Digest, Opinion, Verdict};

use super::sessions::{ended, unreadable};

/// Decisions as the ledger tells them.
#[derive(Clone)]
pub struct Decisions {
    ledger: PathBuf,
    seal: SealKey,
}

impl Decisions {
    /// The decisions in a ledger.
    #[must_use]
    pub const fn new(ledger: PathBuf, seal: SealKey) -> Self {
        Self { ledger, seal }
    }

    /// One of them, also of a log that this one follows; none if there is no such decision.
    ///
    /// # Errors
    /// The ledger cannot be read, or a record on the way is damaged.
    pub fn read(&self, id: DecisionId) -> Result<Option<DecisionDetail>, Unreadable> {
        for reader in Reader::all(&self.ledger, Some(self.seal.clone())).map_err(unreadable)? {
            if let Some(found) = reader.decision(id).map_err(unreadable)? {
                return Ok(Some(self.detail(found)));
            }
        }
        Ok(None)
    }

    /// A component that was in force once.
    ///
    /// # Errors
    /// It cannot be read, or is another one by now.
    pub fn read_component(&self, digest: Digest) -> Result<Option<Vec<u8>>, Unreadable> {
        read_kept(&self.ledger, Kept::Plugin, &digest).map_err(unreadable)
    }

    fn detail(&self, found: DecisionFound) -> DecisionDetail {
        let DecisionFound { time, open, record, facts, review, outcome, .. } = found;
        let message = outcome.as_ref().and_then(|outcome| outcome.message.as_deref().map(Into::into));
        let step = |(time, event): &(u64, grille_ledger::ReviewEvent<'_>)| ReviewStep {
            at_ms: time / 1000,
            event: event.event.as_ref().into(),
            by: event.by.as_ref().map(|by| Arc::clone(&by.name)),
            reason: event.reason.as_deref().map(Into::into),
        };
        DecisionDetail {
            id: record.id,
            at_ms: time / 1000,
            session: open.facts.into_owned(),
            masked: open.masked,
            text: record.text.as_ref().into(),
            parameters: parameters(&record),
            transaction: record.transaction,
            facts,
            opening: open.decision.map(std::borrow::Cow::into_owned),
            plugins: asked(&record.decision.opinions).map(|opinion| self.plugin(opinion)).collect(),
            request: record.request,
            review: review.iter().map(step).collect(),
            justification: record.justification.as_deref().map(Into::into),
            outcome: outcome.as_ref().map(ended),
            message: message.or_else(|| match &record.decision.verdict {
                Verdict::Block(finding) => Some(Arc::clone(&finding.message)),
                Verdict::Allow | Verdict::Review(_) => None,
            }),
            decision: record.decision.into_owned(),
        }
    }

    fn plugin(&self, opinion: &Opinion) -> PluginDetail {
        let mut problems = Vec::new();
        let mut kept = |kept: Kept, digest: &Digest, what: &str| match read_kept(&self.ledger, kept, digest) {
            Ok(Some(bytes)) => Some(bytes),
            Ok(None) => {
                problems.push(format!("its {what} are not among the ledger's plugins"));
                None
            }
            Err(error) => {
                problems.push(error.to_string());
                None
            }
        };
        let component = kept(Kept::Plugin, &opinion.plugin, "bytes");
        let settings = kept(Kept::Settings, &opinion.settings, "settings");
        let artifact = component.and_then(|bytes| Artifact::read(&bytes).ok());
        let metadata = artifact.map(|artifact| artifact.metadata).unwrap_or_default();
        PluginDetail {
            policy: Arc::clone(&opinion.policy),
            name: metadata.name.as_deref().map(Into::into),
            version: metadata.version.as_deref().map(Into::into),
            settings: settings.and_then(|bytes| String::from_utf8(bytes).ok()).map(Into::into),
            problem: (!problems.is_empty()).then(|| problems.join("; ").into()),
        }
    }
}

/// The opinions of policies; one that has no component is the gateway's own.
fn asked(opinions: &[Opinion]) -> impl Iterator<Item = &Opinion> {
    opinions.iter().filter(|opinion| opinion.plugin != Digest([0; 32]))
}

fn parameters(record: &DecisionRecord<'_>) -> Vec<ParameterDetail> {
    let detail = |(index, parameter): (usize, &grille_ledger::RecordedParameter<'_>)| {
        let own = match parameter {
            grille_ledger::RecordedParameter::Binary(oid, _) => *oid,
            _ => 0,
        };
        let type_oid = record.parameter_types.get(index).copied().unwrap_or(own);
        match parameter.value() {
            Ok((is_binary, value)) => {
                ParameterDetail { type_oid, is_binary, value: value.map(|value| STANDARD.encode(value)), missing: None }
            }
            Err(why) => ParameterDetail { type_oid, is_binary: false, value: None, missing: Some(why.into()) },
        }
    };
    record.parameters.iter().enumerate().map(detail).collect()
}

impl DecisionView for Decisions {
    fn show(&self, id: DecisionId) -> BoxFuture<'_, Result<Option<DecisionDetail>, Unreadable>> {
        let this = self.clone();
        away(move || this.read(id))
    }

    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Option<Vec<u8>>, Unreadable>> {
        let this = self.clone();
        away(move || this.read_component(digest))
    }
}

/// Reads files, so away from the threads that serve.
fn away<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Unreadable> + Send + 'static,
) -> BoxFuture<'static, Result<T, Unreadable>> {
    Box::pin(async move {
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| Err(Unreadable(error.to_string())))
    })
}
