//! Drivers as applications use them, an analyst's columns masked and a dba's not: what they read, what is refused, and
//! how they go on. What a script does stands in `drivers/`.

use grille_e2e::{Demo, peer};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

fn works_unchanged(script: &str) {
    peer::works(script, &[]);
}

#[test]
fn psycopg_works_unchanged() {
    works_unchanged("psycopg_tour.py");
}

#[test]
fn asyncpg_works_unchanged() {
    works_unchanged("asyncpg_tour.py");
}

#[test]
fn sqlalchemy_works_unchanged() {
    works_unchanged("sqlalchemy_tour.py");
}

#[test]
fn node_pg_works_unchanged() {
    works_unchanged("node_pg.js");
}

#[test]
fn pgjdbc_works_unchanged() {
    works_unchanged("Jdbc.java");
}

#[test]
fn psql_works_unchanged() {
    works_unchanged("psql_tour.py");
}

#[test]
fn pgbench_pg_dump_and_pg_restore_work_unchanged() {
    works_unchanged("tools_tour.py");
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
