//! The command line against an admin API over a real ledger and a real desk.

use crate::house::{House, UPDATE, said};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn people_decide_from_the_command_line() {
    let house = House::open().await;
    assert_eq!(
        house.run("rita", &["review", "list"]).await,
        said(0, "no such requests; --all lists those that are decided too\n")
    );

    let (id, waiting) = house.hold("ann", UPDATE);
    let listed = house.run("rita", &["review", "list"]).await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let mut lines = listed.stdout.lines();
    assert_eq!(
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["ID", "STATE", "WHO", "TARGET", "ENDS", "IN", "NEEDS", "WHAT"]
    );
    let line = lines.next().unwrap();
    assert!(line.starts_with(&id) && line.ends_with(UPDATE), "{line}");

    let shown = house.run("rita", &["review", "show", &id]).await.stdout;
    for part in [&*id, "pending", "ann", "clinic as analyst", "1 of reviewers", UPDATE, "ticket 4711"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let own = house.run("ann", &["review", "approve", &id, "--reason", "mine"]).await;
    assert_eq!((own.code, &*own.stdout), (1, ""));
    assert!(own.stderr.contains("is your own request"), "{}", own.stderr);
    let other = house.run("ops", &["review", "deny", &id]).await;
    assert_eq!(other.code, 1);
    assert!(other.stderr.contains("ops may not review"), "{}", other.stderr);

    let approved = house.run("rita", &["review", "approve", &id, "--reason", "agreed with the ward"]).await;
    assert_eq!(approved.code, 0, "{}", approved.stderr);
    assert!(approved.stdout.starts_with(&format!("{id} is granted: it may run once until ")), "{}", approved.stdout);
    assert!(waiting.await.unwrap());

    let late = house.run("rita", &["review", "deny", &id]).await;
    assert_eq!((late.code, late.stderr), (1, format!("grille: {id} is consumed already\n")));
    let all: Value = house.json("rita", &["review", "list", "--all", "--format", "json"]).await;
    assert_eq!(all["reviews"][0]["votes"][0]["reason"], "agreed with the ward");
    assert_eq!(house.run("rita", &["review", "list", "--state", "odd"]).await.code, 2);
    assert_eq!(house.run("rita", &["review", "show", "r-zzzz"]).await.code, 1);

    let events = house.review_events();
    assert_eq!(events, ["requested", "refused", "refused", "approved", "consumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_shown_and_replayed() {
    let house = House::open().await;
    let id = house.record_session();
    let listed = house.run("audra", &["session", "list"]).await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let line = listed.stdout.lines().find(|line| line.starts_with(&id)).unwrap();
    assert!(line.contains(" ann ") && line.ends_with("terminate"), "{line}");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[fields.len() - 3..fields.len() - 1], ["2", "1"], "asked and refused");

    let shown = house.run("audra", &["session", "show", &id]).await.stdout;
    for part in [
        "masked   yes",
        "select id, ssn from patients",
        "block",
        "42501",
        "DELETE without WHERE",
        "masked ssn: token(ssn) × 2",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let replayed = house.run("audra", &["session", "replay", &id]).await;
    assert_eq!(replayed.code, 0, "{}", replayed.stderr);
    let expected = "clinic=> select id, ssn from patients;
 id |  ssn
----+--------
  1 | tok-17
  2 | tok-25
(2 rows)

clinic=> delete from patients;
ERROR:  42501: DELETE without WHERE
";
    assert!(replayed.stdout.contains(expected), "{}", replayed.stdout);
    assert!(replayed.stdout.lines().last().unwrap().starts_with("-- closed (terminate)"));
    let lines = house.run("audra", &["session", "replay", &id, "--format", "json"]).await.stdout;
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));

    for words in [&["session", "list"][..], &["session", "show", &id], &["session", "replay", &id]] {
        let denied = house.run("ann", words).await;
        assert_eq!((denied.code, &*denied.stdout), (1, ""), "{words:?}");
    }
    assert_eq!(house.run("audra", &["session", "show", "s-zzzz"]).await.code, 1);
    let acts = house.acts();
    for act in ["audra session.list", "audra session.show", "audra session.replay", "ann refused"] {
        assert!(acts.iter().any(|known| known.starts_with(act)), "{act}: {acts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_sessions_are_ended_by_operators() {
    let house = House::open().await;
    let id = house.begin_session();
    let live: Value = house.json("audra", &["session", "list", "--live", "--format", "json"]).await;
    assert_eq!(live["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(live["sessions"][0]["is_live"], true);
    assert_eq!(house.run("audra", &["session", "kill", &id]).await.code, 1, "auditors look, operators end");
    let killed = house.run("ops", &["session", "kill", &id, "--reason", "odd hours"]).await;
    assert_eq!((killed.code, killed.stdout), (0, format!("session {id} is being ended\n")));
    assert_eq!(house.ended(), [format!("{id} ended by ops: odd hours")]);
    assert_eq!(house.run("ops", &["session", "kill", &id]).await.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_listed() {
    let house = House::open().await;
    let listed = house.run("ops", &["policy", "list"]).await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(listed.stdout.contains("guard"), "{}", listed.stdout);
    let status = house.run("ops", &["policy", "status"]).await.stdout;
    assert!(status.starts_with("policy epoch 3\n"), "{status}");
    assert!(status.contains("was refused, nothing changed\n  policies.guard: the file is truncated"), "{status}");
    assert_eq!(house.run("ann", &["policy", "list"]).await.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_asked_is_no_answer() {
    let house = House::open().await;
    let wrong = house.run("wrong", &["policy", "list"]).await;
    assert_eq!((wrong.code, &*wrong.stderr), (3, "grille: the access token was not accepted\n"));
    let nobody = house.run("", &["policy", "list"]).await;
    assert_eq!(nobody.code, 2, "{}", nobody.stderr);
    let clear = house.run("ops", &["policy", "list", "--admin", "http://example.org"]).await;
    assert_eq!(clear.code, 2, "{}", clear.stderr);
    let closed = house.run("ops", &["policy", "list", "--admin", "http://127.0.0.1:1"]).await;
    assert_eq!(closed.code, 3, "{}", closed.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_gives_out_tokens() {
    let house = House::open().await;
    let issuer = grille_demo::issuer::Issuer::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    let none = house.run("", &["token", "--demo", "analyst", "--dir", place]).await;
    assert_eq!((none.code, &*none.stdout), (3, ""));
    assert!(none.stderr.contains("start it with `grille demo`"), "{}", none.stderr);

    let card = json!({
        "listeners": { "pg": "127.0.0.1:1" },
        "admin": "http://127.0.0.1:1",
        "config": "grille.toml",
        "ledger": "ledger",
        "log": "gateway.log",
        "issuer": {
            "url": issuer.url(),
            "audience": "grille-demo",
            "token_endpoint": format!("{}/demo/token", issuer.url()),
            "secret": issuer.secret(),
            "accounts": ["analyst"],
        },
        "database": { "address": "127.0.0.1:1", "name": "clinic", "superuser": "postgres", "password_file": "p" },
        "pids": { "demo": 1, "gateway": 1, "postgres": 1 },
    });
    std::fs::write(dir.path().join("demo.json"), card.to_string()).unwrap();
    let token = house.run("", &["token", "--demo", "analyst", "--dir", place]).await;
    assert_eq!((token.code, &*token.stderr), (0, ""));
    assert_eq!(token.stdout.trim_end().split('.').count(), 3, "{}", token.stdout);
    let unknown = house.run("", &["token", "--demo", "nobody", "--dir", place]).await;
    assert_eq!((unknown.code, &*unknown.stdout), (3, ""));
    assert!(unknown.stderr.contains("analyst, dba, reviewer, agent"), "{}", unknown.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_reading_is_no_error() {
    let house = House::open().await;
    let id = house.record_session();
    for words in [&["session", "replay", &id][..], &["session", "list"]] {
        let said = house.run_unread("audra", words).await;
        assert_eq!((said.code, &*said.stderr), (0, ""), "{words:?}");
    }
}
