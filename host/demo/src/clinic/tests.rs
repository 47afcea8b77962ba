use std::collections::HashSet;

use super::*;
use crate::cluster::Options;

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let script = |size| {
        let mut out = Vec::new();
        write_script(size, &mut out).expect("a vector takes everything");
        out
    };
    let first = script(Size::SMALL);
    assert!(first == script(Size::SMALL), "two runs differ");
    assert!(String::from_utf8(first).expect("text").contains("COPY clinical_notes FROM STDIN"));
}

#[test]
fn no_two_patients_share_a_number() {
    let mut random = Random::new(1);
    let patients: Vec<_> = (1..=Size::FULL.patients).map(|id| Patient::new(id, &mut random)).collect();
    for field in [|p: &Patient| p.ssn.clone(), |p: &Patient| p.mrn.clone(), |p: &Patient| p.email.clone()] {
        assert_eq!(patients.iter().map(field).collect::<HashSet<_>>().len(), patients.len());
    }
    assert!(patients.iter().all(|p| !p.birth_date.to_string().ends_with("-01-01")));
    assert!(patients.iter().all(|p| p.ssn.len() == 11 && !p.ssn.starts_with("000") && !p.ssn.starts_with("666")));
}

#[test]
fn a_real_server_takes_the_clinic() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("pg"), &Options::default()).expect("starts");
    let passwords = Passwords { app: "appsecret".to_owned(), dba: "dbasecret".to_owned() };
    install(&cluster, Size::SMALL, &passwords).expect("loads");
    install(&cluster, Size::SMALL, &passwords).expect("a second time changes nothing");

    let ask = |question: &str| cluster.sql(DATABASE, question).unwrap_or_else(|e| panic!("{question}: {e:#}"));
    assert_eq!(ask("SELECT count(*) FROM patients"), "500");
    assert_eq!(ask("SELECT count(*) FROM patient_overview"), "500");
    assert_ne!(ask("SELECT count(*) FROM patients_by_city('Bellhaven')"), "0");
    let named = "SELECT count(*) FROM clinical_notes n JOIN patients p ON p.id = n.patient_id \
                 WHERE n.body LIKE '%' || p.last_name || '%' OR n.body LIKE '%' || p.mrn || '%'";
    assert_eq!(ask(named), "600", "every note names its patient");
    assert_eq!(
        ask("SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname LIKE 'grille_app' OR rolname = 'grille_dba'"),
        "f"
    );

    let app = |text: &str| cluster.psql_as(APP, "appsecret", DATABASE).args(["-c", text]).output().expect("psql runs");
    assert!(app("UPDATE patients SET reminder_opt_in = true WHERE id = 1").status.success());
    assert!(!app("DROP TABLE patients").status.success(), "the gateway's login owns no patients");
    assert!(app("BEGIN; DROP TABLE intake_drafts; ROLLBACK").status.success(), "nothing but a gate stands before this");
    let dba =
        cluster.psql_as(DBA, "dbasecret", DATABASE).args(["-c", "ALTER TABLE patients ADD COLUMN extra text"]).output();
    assert!(dba.expect("psql runs").status.success());
}
