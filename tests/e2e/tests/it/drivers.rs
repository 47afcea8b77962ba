//! Drivers as applications use them, an analyst's columns masked and a dba's not: what they read, what is refused, and
//! how they go on. What a script does stands in `drivers/`.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join3;
use grille_e2e::{Demo, peer};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

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

/// One name for each driver, so that a second server can be chosen for.
macro_rules! over_tls {
    ($($name:ident: $script:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            peer::works_over_tls($script);
        })*
    };
}

over_tls! {
    psycopg_over_tls: "psycopg_tour.py",
    asyncpg_over_tls: "asyncpg_tour.py",
    sqlalchemy_over_tls: "sqlalchemy_tour.py",
    node_pg_over_tls: "node_pg.js",
    pgjdbc_over_tls: "Jdbc.java",
    psql_over_tls: "psql_tour.py",
}

/// A demo, and an analyst's session by tokio-postgres.
async fn analyst() -> (Demo, Client) {
    let demo = spawn_blocking(Demo::start).await.expect("joins").expect("starts");
    let mut config = Config::new();
    config.host("127.0.0.1").port(demo.card.listeners.pg.port()).user("analyst").dbname("clinic");
    let (client, connection) =
        config.password(demo.token("analyst").expect("a token")).connect(NoTls).await.expect("connects");
    tokio::spawn(connection);
    (demo, client)
}

async fn stop(demo: Demo) {
    spawn_blocking(move || demo.stop()).await.expect("joins").expect("stops");
}

const REFUSED: &str = "DELETE FROM intake_drafts";

#[tokio::test]
async fn tokio_postgres_works_unchanged() {
    let (demo, client) = analyst().await;

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

    // Three at once, each with its Sync: the refusal of one is nobody else's.
    let (first, refused, third) = join3(
        client.query_one(&prepared, &[&1i64]),
        client.query(REFUSED, &[]),
        client.query_one("SELECT count(*) FROM intake_drafts", &[]),
    )
    .await;
    assert_eq!(first.expect("answers").get::<_, i64>(0), 1);
    assert_eq!(refused.expect_err("is refused").code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    assert_eq!(third.expect("the session goes on").get::<_, i64>(0), 300);

    let copied = client.copy_out("COPY (SELECT id, ssn FROM patients) TO STDOUT").await.expect("copies");
    let text = copied.try_collect::<Vec<_>>().await.expect("all of it").concat();
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert!(lines.len() == 20_000 && lines.iter().all(|line| line.ends_with(b"\t[redacted]")), "{:?}", lines.first());
    drop(client);
    stop(demo).await;
}

#[tokio::test]
async fn tokio_postgres_in_transactions() {
    let (demo, mut client) = analyst().await;

    // Portals with a row limit, masked in binary.
    let transaction = client.transaction().await.expect("begins");
    let portal = transaction.bind("SELECT id, ssn FROM patients ORDER BY id", &[]).await.expect("binds");
    let mut seen = 0;
    loop {
        let rows = transaction.query_portal(&portal, 1500).await.expect("answers");
        if rows.is_empty() {
            break;
        }
        assert!(rows.iter().all(|row| row.get::<_, &str>(1) == "[redacted]"));
        seen += rows.len();
    }
    assert_eq!(seen, 20_000);
    transaction.commit().await.expect("commits");

    // A refusal fails the transaction as an error of the server's own would, and only that.
    let transaction = client.transaction().await.expect("begins");
    let insert = "INSERT INTO intake_drafts VALUES (9001, 'desk', current_date, 'open')";
    assert_eq!(transaction.execute(insert, &[]).await.expect("inserts"), 1);
    let refused = transaction.execute(REFUSED, &[]).await.expect_err("is refused");
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused}");
    let failed = transaction.query("SELECT 1", &[]).await.expect_err("the transaction has failed");
    assert_eq!(failed.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION), "{failed}");
    transaction.rollback().await.expect("rolls back");

    // Held, cancelled, and on. The first cancel may come before anything is held.
    let cancel = client.cancel_token();
    let held = client.execute("UPDATE intake_drafts SET state = 'all'", &[]);
    let stop_it = async {
        loop {
            sleep(Duration::from_millis(100)).await;
            cancel.cancel_query(NoTls).await.expect("cancels");
        }
    };
    let cancelled = tokio::select! {
        result = held => result.expect_err("nobody approved it"),
        () = stop_it => unreachable!("it goes on until the statement ends"),
    };
    assert_eq!(cancelled.code(), Some(&SqlState::QUERY_CANCELED), "{cancelled}");
    let left = "SELECT count(*), count(*) FILTER (WHERE state = 'all') FROM intake_drafts";
    let row = client.query_one(left, &[]).await.expect("the session goes on");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (300, 0));
    drop(client);
    stop(demo).await;
}
