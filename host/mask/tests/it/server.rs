//! A PostgreSQL of its own for one test, reached over a socket in a temporary folder.

use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub(crate) struct Server {
    folder: TempDir,
}

impl Server {
    /// Starts the newest installed server; a missing one is a clear failure.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if is_root() {
            let user = |flag| stdout_of(Command::new("id").args([flag, "postgres"])).trim().parse().ok();
            chown(folder.path(), user("-u"), user("-g")).expect("give the folder to the user postgres");
        }
        let server = Self { folder };
        let data = server.data();
        server
            .as_postgres("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "-N"])
            .check();
        let options = format!("-c listen_addresses= -c fsync=off -k {}", server.folder.path().display());
        let log = server.folder.path().join("log");
        server
            .as_postgres("pg_ctl")
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(log)
            .args(["-w", "-o", &options, "start"])
            .check();
        server
    }

    /// Runs SQL that must succeed.
    pub(crate) fn run(&self, sql: &str) {
        self.psql(&["-f", "-"], sql.as_bytes());
    }

    /// The one value of a query.
    pub(crate) fn ask(&self, sql: &str) -> String {
        String::from_utf8(self.psql(&["-At", "-c", sql], b"")).expect("UTF-8").trim_end().to_owned()
    }

    /// What a COPY TO STDOUT sends.
    pub(crate) fn copy_out(&self, copy: &str) -> Vec<u8> {
        self.psql(&["-c", copy], b"")
    }

    /// Gives data to a COPY FROM STDIN, which must take them.
    pub(crate) fn copy_in(&self, copy: &str, data: &[u8]) {
        self.psql(&["-c", copy], data);
    }

    fn psql(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut psql = Command::new(binary("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(self.folder.path())
            .args(arguments)
            .env("PGTZ", "America/New_York")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start psql");
        let mut stdin = psql.stdin.take().expect("psql has a standard input");
        let output = std::thread::scope(|scope| {
            // psql may refuse early and leave the rest unread: its own words are the better failure.
            scope.spawn(move || stdin.write_all(input).is_ok());
            psql.wait_with_output().expect("wait for psql")
        });
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "psql {arguments:?}: {error}");
        output.stdout
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// PostgreSQL's programs refuse to run as root.
    fn as_postgres(&self, program: &str) -> Command {
        let program = binary(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.as_postgres("pg_ctl").arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]).output();
        assert!(stopped.is_ok() || std::thread::panicking(), "stop the server");
    }
}

trait Check {
    fn check(&mut self);
}

impl Check for Command {
    fn check(&mut self) {
        // Not `output`: the server that pg_ctl starts would hold the pipe open.
        let status = self.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("start a program of PostgreSQL");
        assert!(status.success(), "{self:?} ended with {status}");
    }
}

fn is_root() -> bool {
    stdout_of(Command::new("id").arg("-u")).trim() == "0"
}

fn stdout_of(command: &mut Command) -> String {
    let output = command.output().expect("run id");
    String::from_utf8(output.stdout).expect("numbers")
}

/// A program of the newest version under Debian's folder.
fn binary(program: &str) -> PathBuf {
    let versions =
        Path::new("/usr/lib/postgresql").read_dir().expect("PostgreSQL is installed (apt-get install postgresql-15)");
    let version = versions.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let version = version.expect("a version of PostgreSQL is installed").to_string();
    Path::new("/usr/lib/postgresql").join(version).join("bin").join(program)
}
