use super::*;
use crate::clinic::{self, APP, Passwords, Size};
use crate::cluster::{Cluster, Options};
use crate::tour::clear::Clear;

/// Straight at a real server, which stands where the gateway will.
#[test]
fn psql_answers_once_and_in_an_open_session_and_the_wire_is_kept() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("pg"), &Options::default()).expect("starts");
    let passwords = Passwords { app: "appsecret".to_owned(), dba: "dbasecret".to_owned() };
    clinic::install(&cluster, Size::SMALL, &passwords).expect("loads");
    let psql = Psql {
        program: cluster.binaries().psql().to_owned(),
        gateway: cluster.address(),
        user: APP.to_owned(),
        token: passwords.app,
    };

    let once = psql.run("SELECT count(*) FROM patients").expect("psql runs");
    assert_eq!((once.stdout.as_str(), once.success), ("500\n", true));
    let failed = psql.run("SELECT no_such").expect("psql runs");
    assert!(!failed.success && failed.stderr.contains("ERROR:  42703"), "{}", failed.stderr);

    let mut session = psql.open().expect("opens");
    assert_eq!(session.ask("SELECT 1;").expect("answers").stdout, "1\n");
    let noisy = session.ask("DO $$ BEGIN RAISE NOTICE 'hear me'; END $$; SELECT 2;").expect("answers");
    assert!(noisy.stdout == "2\n" && noisy.stderr.contains("hear me"), "{noisy:?}");
    session.send("DO $$ BEGIN RAISE NOTICE 'waiting'; PERFORM pg_sleep(0.3); END $$; SELECT 3;").expect("sends");
    let found = session.notice(Duration::from_secs(10), |text| text.contains("waiting").then_some(()));
    assert!(found.expect("a notice").0.contains("NOTICE"));
    assert_eq!(session.answer(Duration::from_secs(10)).expect("answers").stdout, "3\n");

    let clear = Clear::read(&cluster).expect("reads");
    let row = session.ask("SELECT upper(last_name), ssn FROM patients WHERE id = 1;").expect("answers");
    assert!(clear.none_at(&row).is_err(), "clear values on the wire go unnoticed");
    assert_eq!(clear.found_in(row.stdout.as_bytes()).len(), 2);
    // The wire of a session holds all its answers; the last column of a row is followed by the next message's letter.
    let wire = crate::tour::tap::readable(&psql.run("SELECT ssn FROM patients LIMIT 3").expect("psql runs").wire);
    assert_eq!(clear.found_in(&wire).len(), 3);
    let other = psql.run("SELECT id, icd10 FROM encounters LIMIT 50").expect("psql runs");
    clear.none_at(&other).expect("no clear values here");
    clear.none_in("XIbanezX 1234-56-78901").expect("only whole words count");
    drop(session);
}
