//! A driver that pipelines, prefers binary and cancels: tokio-postgres, unchanged.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use grille_test_support::{Caller, OWNER, READER, World};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, error::SqlState};

async fn connect(world: &World, caller: Caller) -> Client {
    let (client, connection) = tokio_postgres::connect(&world.driver(caller), NoTls)
        .await
        .unwrap_or_else(|error| panic!("{error:?}; the gateway said:\n{}", world.said()));
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn statements_of_every_kind() {
    let world = World::shared();
    let client = connect(&world, OWNER).await;

    let rows = client.simple_query("SELECT id, name FROM numbers WHERE id <= 2; SELECT NULL").await.unwrap();
    let values: Vec<_> = rows
        .iter()
        .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(row.get(0)) } else { None })
        .collect();
    assert_eq!(values, [Some("1"), Some("2"), None]);

    let statement = client.prepare("SELECT id, name, ratio, payload FROM numbers WHERE id = $1").await.unwrap();
    for id in [1_i32, 500, 1000] {
        let row = client.query_one(&statement, &[&id]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), id);
        assert_eq!(row.get::<_, String>(1), format!("number {id}"));
        assert!((row.get::<_, f64>(2) - f64::from(id) / 8.0).abs() < f64::EPSILON);
        assert_eq!(row.get::<_, Vec<u8>>(3), id.to_be_bytes());
    }
    assert!(client.query_opt(&statement, &[&0_i32]).await.unwrap().is_none());
    assert_eq!(client.query("SELECT id FROM numbers", &[]).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn transactions_keep_and_give_back() {
    let world = World::shared();
    let mut client = connect(&world, OWNER).await;
    let insert = "INSERT INTO notes VALUES ($1, $2)";

    let kept = client.transaction().await.unwrap();
    assert_eq!(kept.execute(insert, &[&301_i32, &"kept"]).await.unwrap(), 1);
    kept.commit().await.unwrap();

    let mut dropped = client.transaction().await.unwrap();
    dropped.execute(insert, &[&302_i32, &"dropped"]).await.unwrap();
    let nested = dropped.savepoint("halfway").await.unwrap();
    let twice = nested.execute(insert, &[&302_i32, &"again"]).await.unwrap_err();
    assert_eq!(twice.code(), Some(&SqlState::UNIQUE_VIOLATION));
    nested.rollback().await.unwrap();
    assert_eq!(dropped.query("SELECT 1 FROM notes WHERE id = 302", &[]).await.unwrap().len(), 1);
    dropped.rollback().await.unwrap();

    let ids = client.query("SELECT id FROM notes WHERE id IN (301, 302)", &[]).await.unwrap();
    assert_eq!(ids.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>(), [301]);
}

#[tokio::test]
async fn portals_with_a_row_limit() {
    let world = World::shared();
    let mut client = connect(&world, OWNER).await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id FROM numbers ORDER BY id", &[]).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 300).await.unwrap();
        if rows.is_empty() {
            break;
        }
        seen.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
    }
    assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn copy_both_ways() {
    let world = World::shared();
    let client = connect(&world, OWNER).await;
    client.batch_execute("CREATE TEMP TABLE copied (id int, text text)").await.unwrap();
    let sink = client.copy_in("COPY copied FROM STDIN").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for block in 0..200 {
        let lines: String = (0..100).map(|line| format!("{}\tline {line}\n", block * 100 + line)).collect();
        sink.send(Bytes::from(lines)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 20_000);

    let stream = client.copy_out("COPY copied TO STDOUT").await.unwrap();
    let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
    let text = chunks.concat();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 20_000);
    assert!(text.starts_with(b"0\tline 0\n"));
}

#[tokio::test]
async fn a_pipeline_with_an_error_in_its_middle() {
    let world = World::shared();
    let client = connect(&world, OWNER).await;
    let good = client.prepare("SELECT $1::int").await.unwrap();
    let bad = client.prepare("SELECT 1 / $1::int").await.unwrap();
    let (first, second, third) = future::join3(
        client.query_one(&good, &[&1_i32]),
        client.query_one(&bad, &[&0_i32]),
        client.query_one(&good, &[&3_i32]),
    )
    .await;
    assert_eq!(first.unwrap().get::<_, i32>(0), 1);
    assert_eq!(second.unwrap_err().code(), Some(&SqlState::DIVISION_BY_ZERO));
    assert_eq!(third.unwrap().get::<_, i32>(0), 3);

    let numbers: Vec<i32> = (0..200).collect();
    let answers = future::try_join_all(numbers.iter().map(|number| {
        let good = &good;
        let client = &client;
        async move { client.query_one(good, &[number]).await.map(|row| row.get::<_, i32>(0)) }
    }));
    assert_eq!(answers.await.unwrap(), numbers);
}

#[tokio::test]
async fn a_refusal_says_why_and_the_session_goes_on() {
    let world = World::shared();
    let client = connect(&world, READER).await;
    let refused = client.execute("INSERT INTO notes VALUES (400, 'x')", &[]).await.unwrap_err();
    let refused = refused.as_db_error().expect("an error from the other end");
    assert_eq!(refused.code(), &SqlState::INSUFFICIENT_PRIVILEGE, "{refused:?}");
    assert!(!refused.message().is_empty());
    assert_eq!(client.query("SELECT id FROM numbers WHERE id < 4", &[]).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_cancel_stops_the_statement_and_not_the_next() {
    let world = World::shared();
    let client = connect(&world, OWNER).await;
    let cancel = client.cancel_token();
    let asleep = client.simple_query("SELECT pg_sleep(60)");
    let stop = async {
        // Cancel again until it meets the statement: the first may come before it runs.
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cancel.cancel_query(NoTls).await.unwrap();
        }
    };
    let stopped = tokio::select! {
        result = asleep => result.unwrap_err(),
        () = stop => unreachable!("it goes on until the statement ends"),
    };
    assert_eq!(stopped.code(), Some(&SqlState::QUERY_CANCELED));
    for _ in 0..5 {
        let next = client.query_one("SELECT 1", &[]).await;
        assert_eq!(next.unwrap().get::<_, i32>(0), 1, "a late cancel hit the next statement");
    }
}

#[tokio::test]
async fn notifications_arrive_while_idle() {
    let world = World::shared();
    let (client, mut connection) = tokio_postgres::connect(&world.driver(OWNER), NoTls).await.unwrap();
    let (sender, mut heard) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let tokio_postgres::AsyncMessage::Notification(note) = message {
                sender.send((note.channel().to_owned(), note.payload().to_owned())).await.unwrap();
            }
        }
    });
    client.batch_execute("LISTEN jobs").await.unwrap();
    world.cluster.sql("work", "NOTIFY jobs, 'from elsewhere'").unwrap();
    let note = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await.expect("in time");
    assert_eq!(note, Some(("jobs".to_owned(), "from elsewhere".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_at_once() {
    let world = World::shared();
    let sessions = (0..40).map(|number: i32| {
        let world = std::sync::Arc::clone(&world);
        tokio::spawn(async move {
            let client = connect(&world, if number % 2 == 0 { OWNER } else { READER }).await;
            for round in 0..10 {
                let id = number * 10 + round + 1;
                let row = client.query_one("SELECT name FROM numbers WHERE id = $1", &[&id]).await.unwrap();
                assert_eq!(row.get::<_, String>(0), format!("number {id}"));
            }
        })
    });
    for session in sessions.collect::<Vec<_>>() {
        session.await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_token_opens_nothing() {
    let world = World::shared();
    let settings = world.driver(OWNER);
    let (before, _) = settings.split_once("password=").unwrap();
    for wrong in ["nonsense", "a.b.c", ""] {
        let refused = tokio_postgres::connect(&format!("{before}password='{wrong}'"), NoTls).await;
        let Err(error) = refused else { panic!("{wrong:?} opened a session") };
        assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD), "{error:?}");
        assert!(!format!("{error:?}").contains("battery"), "{error:?}");
    }
}
