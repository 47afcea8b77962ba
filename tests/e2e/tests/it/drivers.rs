use std::process::Command;

use grille_e2e::{Demo, NEW_KEY, unexpected};
use grille_test_support::python;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

/// psycopg with server-side prepared statements, text and binary results, a pipeline, COPY, and what is refused.
const PSYCOPG: &str = include_str!("drivers/psycopg_tour.py");

#[test]
fn psycopg_works_unchanged() {
    let demo = Demo::start().expect("starts");
    let output = Command::new(python())
        .args(["-c", PSYCOPG])
        .arg(demo.card.listeners.pg.port().to_string())
        .env("ANALYST", demo.token("analyst").expect("a token"))
        .env("DBA", demo.token("dba").expect("a token"))
        .output()
        .expect("python runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim_end().ends_with("all of it holds"), "{said}");
    let log = demo.log().expect("a log");
    assert!(unexpected(&log, &[NEW_KEY]).is_empty(), "{log}");
}

#[tokio::test]
async fn tokio_postgres_works_unchanged() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.expect("joins").expect("starts");
    let mut config = Config::new();
    config.host("127.0.0.1").port(demo.card.listeners.pg.port()).user("analyst").dbname("clinic");
    let (client, connection) =
        config.password(demo.token("analyst").expect("a token")).connect(NoTls).await.expect("connects");
    let driver = tokio::spawn(connection);

    // Prepared, parameters and results in binary.
    let select = "SELECT id, ssn, state, birth_date::text, reminder_opt_in FROM patients WHERE id = $1";
    let prepared = client.prepare(select).await.expect("prepares");
    for id in 1i64..=3 {
        let row = client.query_one(&prepared, &[&id]).await.expect("answers");
        assert_eq!(row.get::<_, i64>(0), id);
        assert_eq!(row.get::<_, Option<&str>>(1), Some("[redacted]"));
        assert_eq!(row.get::<_, &str>(2).len(), 2, "an unprotected column stays");
    }
    let simple = client.simple_query("SELECT ssn FROM patients ORDER BY id LIMIT 2; SELECT 7").await.expect("answers");
    let rows: Vec<&str> = simple
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert_eq!(rows, ["[redacted]", "[redacted]", "7"]);

    let refused = client.query("DELETE FROM intake_drafts", &[]).await.expect_err("is refused");
    assert_eq!(refused.code().map(|code| code.code()), Some("42501"), "{refused}");
    let row = client.query_one("SELECT count(*) FROM intake_drafts", &[]).await.expect("the session goes on");
    assert_eq!(row.get::<_, i64>(0), 300);
    drop(client);
    driver.await.expect("joins").expect("the connection ends well");
    tokio::task::spawn_blocking(move || demo.stop()).await.expect("joins").expect("stops");
}
