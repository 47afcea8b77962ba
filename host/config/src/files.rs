use std::path::Path;

use crate::{ArchivePlace, CertPair, Config, KeyRef, ListenerTls, Problem, SecretRef};

/// Whether the files that are named can be read. Keys that are generated on first start may be missing then.
#[must_use]
pub fn check_files(config: &Config) -> Vec<Problem> {
    let mut check = Files { config, problems: Vec::new() };
    for listener in &config.listeners {
        check.tls(&format!("listeners.{}", listener.name), listener.tls.as_ref());
    }
    if let Some(admin) = &config.admin {
        check.tls("admin", admin.tls.as_ref());
    }
    for target in &config.targets {
        let key = format!("targets.{}", target.name);
        check.secret(&format!("{key}.login.password"), target.login.password.as_ref());
        for (role, login) in &target.logins {
            check.secret(&format!("{key}.logins.{role}.password"), login.password.as_ref());
        }
        if let Some(path) = &target.tls.root_cert {
            check.file(&format!("{key}.tls.root_cert"), path);
        }
        if let Some(pair) = &target.tls.pair {
            check.pair(&format!("{key}.tls"), pair);
        }
    }
    for policy in &config.policies {
        check.file(&format!("policies.{}.plugin", policy.name), &policy.plugin);
    }
    for lookup in &config.lookups {
        check.secret(&format!("lookups.{}.header.value", lookup.name), lookup.header.as_ref().map(|(_, value)| value));
    }
    check.key("masking.key", &config.masking.key);
    check.key("ledger.signing_key", &config.ledger.signing_key);
    check.key("ledger.seal_key", &config.ledger.seal_key);
    if let Some(ArchivePlace::Bucket(bucket)) = config.ledger.archive.as_ref().map(|archive| &archive.place) {
        check.secret("ledger.archive.key_id", Some(&bucket.key_id));
        check.secret("ledger.archive.secret_key", Some(&bucket.secret_key));
    }
    check.problems.sort_by_key(|problem| (problem.line, problem.column));
    check.problems
}

struct Files<'a> {
    config: &'a Config,
    problems: Vec<Problem>,
}

impl Files<'_> {
    fn file(&mut self, key: &str, path: &Path) {
        let failure = match std::fs::File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => return,
            Ok(_) => "it is not a file".to_owned(),
            Err(error) => error.to_string(),
        };
        let message = format!("{} cannot be read: {failure}", path.display());
        let beside = path.parent().and_then(|folder| {
            let name = path.file_name()?.to_str()?;
            let there: Vec<String> =
                std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
                    .ok()?
                    .take(NEIGHBOURS_MAX)
                    .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                    .collect();
            crate::closest(name, there.iter().map(String::as_str)).map(|meant| format!("did you mean `{meant}`?"))
        });
        self.problems.push(self.config.locations.problem(key, message, beside));
    }

    fn secret(&mut self, key: &str, secret: Option<&SecretRef>) {
        if let Some(SecretRef::File(path)) = secret {
            self.file(&format!("{key}.file"), path);
        }
    }

    fn tls(&mut self, key: &str, tls: Option<&ListenerTls>) {
        if let Some(tls) = tls {
            self.pair(&format!("{key}.tls"), &tls.pair);
            if let Some(asked) = &tls.client_certs {
                self.file(&format!("{key}.tls.client_ca"), &asked.ca);
            }
        }
    }

    fn pair(&mut self, key: &str, pair: &CertPair) {
        self.file(&format!("{key}.cert"), &pair.cert);
        self.secret(&format!("{key}.key"), Some(&pair.key));
    }

    /// A key that is missing although there is a ledger already is lost, not new.
    fn key(&mut self, key: &str, reference: &KeyRef) {
        let SecretRef::File(path) = &reference.source else { return };
        if path.exists() || self.config.ledger.path.exists() {
            self.file(key, path);
        }
    }
}

/// For the suggestion only.
const NEIGHBOURS_MAX: usize = 1_000;
