use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use crate::clinic::{APP, DATABASE, DBA};
use crate::issuer::AUDIENCE;
use crate::layout::Layout;

/// The column of a table that does not exist yet when the gateway starts. Nothing in its name betrays what it holds.
pub(crate) const LATE_COLUMN: &str = "public.referrals.label";

/// What the demo's `grille.toml` says.
#[derive(Debug, Clone)]
pub(crate) struct Parts<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) issuer: &'a str,
    pub(crate) listener: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) database: SocketAddr,
    pub(crate) has_phi: bool,
    pub(crate) has_guard: bool,
}

impl Parts<'_> {
    pub(crate) fn text(&self) -> String {
        let secret = |name: &str| quoted(&self.layout.secret(name));
        let mut text = format!(
            r#"# The demo's configuration, written anew at each start. Edit it while the demo runs: the gateway follows.
version = 1

[identity.demo]
issuer = "{issuer}"
audience = "{AUDIENCE}"

[listeners.pg]
protocol = "postgres"
address = "{listener}"

[targets.clinic]
protocol = "postgres"
address = "{database}"
database = "{DATABASE}"
login = {{ user = "{APP}", password = {{ file = {app} }} }}
logins.dba = {{ user = "{DBA}", password = {{ file = {dba} }} }}
tls = "disable"

# Wide on purpose: in the tour it is sql-guard that stops what an analyst must not do, not a missing right.
[roles.analyst]
groups = ["data-analysts"]
targets = ["clinic"]
relations = ["public.*", "!public.billing"]
operations = ["read", "write", "ddl"]

[roles.dba]
groups = ["dbas"]
targets = ["clinic"]
relations = ["*"]
operations = ["*"]
"#,
            issuer = self.issuer,
            listener = self.listener,
            database = self.database,
            app = secret(APP),
            dba = secret(DBA),
        );
        if self.has_phi {
            text.push_str(&self.policy("phi", &phi_settings("safe-harbor")));
        }
        if self.has_guard {
            text.push_str(&self.policy("sql-guard", r#"{ profile = "standard" }"#));
        }
        write!(
            text,
            r#"
[ledger]
path = {ledger}

[review]
reviewers = ["reviewers"]
hold = "120s"

[admin]
address = "{admin}"
operators = ["ops"]
owners = ["dbas"]
auditors = ["auditors"]
"#,
            ledger = quoted(&self.layout.ledger()),
            admin = self.admin,
        )
        .expect("writing to a string cannot fail");
        text
    }

    fn policy(&self, name: &str, settings: &str) -> String {
        format!(
            "\n[policies.{name}]\nplugin = {plugin}\ntargets = [\"clinic\"]\nroles = [\"*\", \"!dba\"]\nallow_unsigned = true\nsettings = {settings}\n",
            plugin = quoted(&self.layout.plugin(name)),
        )
    }
}

/// phi's settings with one of its profiles.
pub(crate) fn phi_settings(profile: &str) -> String {
    format!(r#"{{ profile = "{profile}", columns = ["{LATE_COLUMN}"] }}"#)
}

/// A path as a TOML string; Rust's escapes for what needs one are TOML's as well.
fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Layout, Parts};

    #[test]
    fn the_configuration_names_only_the_policies_there_are() {
        let layout = Layout { dir: PathBuf::from("/somewhere/with \"quotes\"") };
        let address = "127.0.0.1:1".parse().expect("an address");
        let text = |has_phi, has_guard| {
            let parts = Parts {
                layout: &layout,
                issuer: "http://127.0.0.1:2",
                listener: address,
                admin: address,
                database: address,
                has_phi,
                has_guard,
            };
            parts.text()
        };
        assert!(text(true, true).contains("[policies.phi]") && text(true, true).contains("[policies.sql-guard]"));
        assert!(!text(false, true).contains("phi"), "{}", text(false, true));
        assert!(text(true, true).contains(r#"path = "/somewhere/with \"quotes\"/ledger""#));
    }
}
