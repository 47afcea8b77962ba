use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Who runs the server: we ourselves, or an unprivileged account when we are root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    /// Chooses the account: ourselves unless root, then `postgres`, then `nobody`.
    ///
    /// # Errors
    /// Root without either of the two.
    pub fn for_server() -> Result<Self> {
        let uid = fs::metadata("/proc/self").context("look at /proc/self")?.uid();
        if uid != 0 {
            return Ok(Self { ids: None });
        }
        let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        let ids = ["postgres", "nobody"].iter().find_map(|name| lookup(&passwd, name));
        ensure!(
            ids.is_some(),
            "PostgreSQL refuses to run as root and there is neither a `postgres` nor a `nobody` account: run as another user"
        );
        Ok(Self { ids })
    }

    /// A command run by this account. It starts in `/`, which every account can enter.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null());
        if let Some((uid, gid)) = self.ids {
            // Dropping from root this way also clears the supplementary groups.
            command.uid(uid).gid(gid);
        }
        command
    }

    pub(super) fn own(&self, path: &Path) -> Result<()> {
        match self.ids {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).with_context(|| format!("give {} to the server", path.display()))
            }
            None => Ok(()),
        }
    }

    /// Whether this account can go through every directory down to `path`.
    pub(super) fn reaches(&self, path: &Path) -> Result<bool> {
        if self.ids.is_none() {
            return Ok(true);
        }
        let status = self.command(Path::new("/bin/sh")).args(["-c", r#"test -x "$1""#, "sh"]).arg(path).status();
        Ok(status.context("run sh")?.success())
    }
}

fn lookup(passwd: &str, wanted: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some((uid, fields.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::lookup;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres2:x:7:7::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        assert_eq!(lookup(passwd, "postgres"), Some((101, 104)));
        assert_eq!(lookup(passwd, "nobody"), None);
        assert_eq!(lookup("broken:x\n:\n", "broken"), None);
    }
}
