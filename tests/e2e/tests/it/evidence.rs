//! Evidence of a real gateway before a real database, judged by somebody who has nothing of ours but the log's key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use grille_e2e::{Demo, grille, peer};
use grille_test_support::python;
use serde_json::Value;
use tokio::time::Instant;

const MASKED: &str = "SELECT ssn FROM patients ORDER BY id LIMIT 2";
const BLOCKED: &str = "DELETE FROM intake_drafts";
/// What somebody writes who wants to be read by a browser.
const HOSTILE: &str = "SELECT '<script>alert(1)</script><img src=/x onerror=alert(2)>' AS wide, \
                       'averyveryverylongwordwithoutanyblankaveryveryverylongwordwithoutanyblank' AS word";
const HELD: &str = "UPDATE patients SET reminder_opt_in = true";
/// A debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(demo: &Demo, token: &str, words: &[&str]) -> Output {
    let mut command = Command::new(grille().expect("a binary"));
    command.args(words).env("GRILLE_ADMIN", &demo.card.admin).env("GRILLE_TOKEN", token);
    command.output().expect("runs")
}

fn psql(demo: &Demo, token: &str, statement: &str) -> Command {
    let mut command = Command::new("psql");
    let port = demo.card.listeners.pg.port().to_string();
    command.args(["-X", "-A", "-t", "-h", "127.0.0.1", "-p", &port, "-U", "analyst", "-d", "clinic"]);
    command.args(["-c", statement]).env("PGPASSWORD", token);
    command
}

/// Somebody asks for what waits for people, and somebody else lets it pass.
fn held(demo: &Demo, analyst: &str, reviewer: &str) {
    let waiting = psql(demo, analyst, HELD).spawn().expect("psql runs");
    let deadline = Instant::now() + PATIENCE;
    let request = loop {
        let list = run(demo, reviewer, &["review", "list", "--format", "json"]);
        let list: Value = serde_json::from_slice(&list.stdout).unwrap_or_default();
        if let Some(id) = list["reviews"][0]["id"].as_str() {
            break id.to_owned();
        }
        assert!(Instant::now() < deadline, "no request came: {list}");
        sleep(Duration::from_millis(50));
    };
    let approved = run(demo, reviewer, &["review", "approve", &request, "--reason", "agreed with the ward"]);
    assert!(approved.status.success(), "{}", text(&approved.stderr));
    assert!(waiting.wait_with_output().expect("ends").status.success());
}

/// The verifier from the repository, not the one in the bundle.
fn judge(bundle: &Path, key: &Path) -> (Option<i32>, Value) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/ledger/verifier/verify.py");
    let mut command = Command::new(python());
    let output = command.arg(script).arg(bundle).arg("--key").arg(key).args(["--format", "json"]).output();
    let output = output.expect("Python runs");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The quarter of now, as a bundle is asked for it.
fn quarter() -> String {
    let now = Command::new("date").args(["-u", "+%Y %m"]).output().expect("date runs");
    let now = text(&now.stdout);
    let (year, month) = now.trim().split_once(' ').expect("two words");
    format!("{year}-Q{}", month.parse::<u8>().expect("a month").div_ceil(3))
}

/// The pages, as people have them before them: wide, narrow, dark, by keyboard and on paper. What they looked like stays
/// in `target/tmp/pages`.
fn read_in_a_browser(pages: &[PathBuf]) {
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&shots).expect("a directory");
    let mut script = peer::command("pages/report.js").expect("node and its libraries");
    script.arg("chromium").arg(shots).args(pages);
    peer::holds(&mut script, "pages/report.js").expect("pages that can be read");
}

#[test]
fn a_stranger_verifies_what_happened() {
    let demo = Demo::start().expect("starts");
    let (analyst, auditor) = (demo.token("analyst").expect("a token"), demo.token("reviewer").expect("a token"));
    for statement in [MASKED, BLOCKED, HOSTILE] {
        psql(&demo, &analyst, statement).output().expect("psql runs");
    }
    held(&demo, &analyst, &auditor);
    let dir = tempfile::tempdir().expect("a directory");
    // As somebody wrote it down when the log was young.
    let key = dir.path().join("log.vkey");
    fs::copy(demo.card.ledger.join("log.vkey"), &key).expect("a key");
    let name = |what: &str| dir.path().join(what);
    let export = |token: &str, out: &Path, words: &[&str]| {
        run(&demo, token, &[&["ledger", "export", "--out", &out.to_string_lossy()], words].concat())
    };
    let denied = export(&analyst, &name("denied.tar"), &["--relation", "patients"]);
    assert_eq!(denied.status.code(), Some(1), "{}", text(&denied.stderr));

    for (what, words) in
        [("sealed.tar", &["--relation", "patients"][..]), ("open.tar", &["--target", "clinic", "--with-contents"])]
    {
        let bundle = name(what);
        let output = export(&auditor, &bundle, words);
        assert!(output.status.success(), "{what}: {}", text(&output.stderr));
        let (code, said) = judge(&bundle, &key);
        assert_eq!((code, &said["damage"]), (Some(0), &Value::Array(Vec::new())), "{what}: {said:#}");
        assert_eq!(said["sessions"], if what == "sealed.tar" { 2 } else { 4 }, "{said:#}");
        assert_eq!(said["approvals"], 1, "{said:#}");
        assert_eq!(said["closed"], said["sessions"], "{said:#}");
        let opened = said["texts_opened"].as_u64().expect("a number");
        assert_eq!(opened > 6, what == "open.tar", "{said:#}");

        // Whichever byte it is, it is noticed.
        let whole = fs::read(&bundle).expect("is there");
        for place in [3, 5, 7] {
            let mut bytes = whole.clone();
            let at = bytes.len() * place / 9;
            bytes[at] ^= 1;
            let altered = name("altered.tar");
            fs::write(&altered, bytes).expect("writes");
            assert_eq!(judge(&altered, &key).0, Some(1), "{what} at byte {at}");
        }
    }
    let quarter = export(&auditor, &name("quarter.tar"), &["--hipaa", &quarter()]);
    assert!(quarter.status.success(), "{}", text(&quarter.stderr));
    for (bundle, page) in [("open.tar", "report.html"), ("quarter.tar", "hipaa.html")] {
        let tar = Command::new("tar").arg("-xf").arg(name(bundle)).arg("-C").arg(dir.path()).arg(page).status();
        assert!(tar.expect("tar runs").success());
    }
    let report = fs::read_to_string(name("report.html")).expect("a report");
    for part in [
        "analyst (analyst at http",
        MASKED,
        BLOCKED,
        "ssn",
        "redact",
        "sql-guard",
        "phi",
        "approved, signed",
        "agreed with the ward",
        "Their tokens were checked by these keys",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    read_in_a_browser(&[name("report.html"), name("hipaa.html")]);
    if let Some(keep) = std::env::var_os("GRILLE_KEEP_EVIDENCE") {
        fs::copy(name("open.tar"), keep).expect("keeps");
    }
}
