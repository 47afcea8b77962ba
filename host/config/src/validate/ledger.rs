use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::Check;
use crate::{Archive, ArchivePlace, Bucket, Ledger, ObjectLock, Sync, file};

/// Six years: what 45 CFR 164.316(b)(2)(i) asks of documentation.
const RETENTION: Duration = Duration::from_secs(6 * 366 * 86_400);
/// A day, so that a try can be cleaned up; a century, because nobody takes back what Object Lock has taken.
const RETENTION_RANGE: RangeInclusive<Duration> = Duration::from_secs(86_400)..=Duration::from_secs(100 * 366 * 86_400);
/// 64 segments: hours of a busy node.
const QUEUE: u64 = 4 << 30;
/// Two segments at least, or a slow upload stops the node.
const QUEUE_RANGE: RangeInclusive<u64> = (128 << 20)..=(1 << 40);
const WHERE: &str = "\"s3://bucket/prefix\" or \"file:///folder\"";

impl Check<'_> {
    /// How long contents are kept; none where nothing is said.
    pub(super) fn retention(&mut self, key: &str, text: Option<String>) -> Option<Duration> {
        text.map(|text| self.duration(key, Some(text), RETENTION, RETENTION_RANGE))
    }

    /// `longest` is the longest retention of a target.
    pub(super) fn ledger(&mut self, ledger: file::Ledger, longest: Option<Duration>) -> Ledger {
        let path = ledger.path.unwrap_or_else(|| "var/ledger".to_owned());
        if path.is_empty() {
            self.report("ledger.path", "this is empty", None);
        }
        let path = self.path(&path);
        let sync = match ledger.sync {
            None | Some(file::Sync::Interval) => Sync::Interval,
            Some(file::Sync::Strict) => Sync::Strict,
        };
        let retention = self.retention("ledger.retention", ledger.retention).unwrap_or(RETENTION);
        let locked = retention.max(longest.unwrap_or_default());
        let archive = match (ledger.segments, ledger.archive) {
            (Some(segments), archive) => self.archive(&segments, archive.unwrap_or_default(), locked),
            (None, Some(_)) => {
                let hint = format!("segments = {WHERE}");
                self.report("ledger.archive", "`ledger.segments` names no place for it", Some(hint));
                None
            }
            (None, None) => None,
        };
        Ledger {
            signing_key: self.key("ledger.signing_key", ledger.signing_key, &path, "ledger.key"),
            seal_key: self.key("ledger.seal_key", ledger.seal_key, &path, "seal.key"),
            path,
            sync,
            archive,
            retention,
            shreds_at_end: matches!(ledger.at_end, Some(file::AtEnd::Shred)),
        }
    }

    fn archive(&mut self, segments: &str, archive: file::Archive, retention: Duration) -> Option<Archive> {
        let queue = self.size("ledger.archive.queue", archive.queue, QUEUE, QUEUE_RANGE);
        let goes_on = matches!(archive.when_full, Some(file::WhenFull::GoOn));
        let key_id = self.secret("ledger.archive.key_id", archive.key_id);
        let secret_key = self.secret("ledger.archive.secret_key", archive.secret_key);
        let lock = match archive.lock {
            None | Some(file::ObjectLock::Compliance) => Some(ObjectLock { is_compliance: true, retention }),
            Some(file::ObjectLock::Governance) => Some(ObjectLock { is_compliance: false, retention }),
            Some(file::ObjectLock::None) => None,
        };
        if let Some(endpoint) = &archive.endpoint
            && !["https://", "http://"].iter().any(|scheme| endpoint.starts_with(scheme))
        {
            let hint = Some("https://s3.example.org".to_owned());
            self.report("ledger.archive.endpoint", format!("{endpoint:?} is no URL"), hint);
        }
        let bucket = segments.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")));
        let folder = segments.strip_prefix("file://").map(PathBuf::from);
        let place = match (bucket, folder) {
            (Some((name, prefix)), _) if !name.is_empty() => {
                let (Some(key_id), Some(secret_key)) = (key_id, secret_key) else {
                    let hint = "[ledger.archive] key_id = { env = \"…\" }, secret_key = { env = \"…\" }".to_owned();
                    self.report("ledger.segments", "a bucket takes an access key", Some(hint));
                    return None;
                };
                ArchivePlace::Bucket(Box::new(Bucket {
                    name: name.to_owned(),
                    prefix: prefix.trim_matches('/').to_owned(),
                    endpoint: archive.endpoint,
                    region: archive.region.unwrap_or_else(|| "us-east-1".to_owned()),
                    key_id,
                    secret_key,
                    lock,
                }))
            }
            (_, Some(folder)) if folder.is_absolute() => ArchivePlace::Folder(folder),
            _ => {
                self.report(
                    "ledger.segments",
                    format!("{segments:?} is no place for segments"),
                    Some(WHERE.to_owned()),
                );
                return None;
            }
        };
        Some(Archive { place, queue, goes_on })
    }
}
