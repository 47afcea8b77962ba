//! How sessions end that nobody said goodbye to: their time is over, an operator ends them, the server does, or the
//! network. The caller reads why, once, and what was asked has an outcome.

use std::time::Duration;

use grille_ledger::{Reader, Record, SealKey};
use grille_pg_codec::backend::Message;
use grille_pg_codec::frame::Frames;
use grille_pg_codec::tag::backend as tag;
use grille_test_support::{CLERK, Caller, OWNER, Raw, Reply, World};

use crate::approvals::{admin, body, guarded};
use crate::records::recorded;
use crate::relay::Relay;
use crate::scene::wait_until;
use crate::script::{Script, tags};
use crate::version::{LOGIN, greeted, key};

/// A statement that nobody waits for the end of.
const ENDLESS: &str = "SELECT pg_sleep(600)";

/// The SQLSTATE and the text of the one error that comes before the end, and nothing else.
fn last_word(session: &mut Raw) -> (String, String) {
    let last = session.reply().expect("a last word").expect("before the end");
    let Message::Error(report) = last.message() else { panic!("{last:?} is no last word") };
    assert!(report.ends_session(), "{last:?} does not end it");
    assert_eq!(session.reply().expect("an end"), None, "it is the last word");
    (last.sqlstate().unwrap_or_default(), last.text().unwrap_or_default())
}

/// Why the sessions that are over ended, as the ledger has it; as many as that are waited for.
fn closed(world: &World, count: usize) -> Vec<String> {
    let (ledger, seal) = world.ledger();
    let mut reasons = Vec::new();
    wait_until("the sessions are closed in the ledger", || {
        let seal = SealKey::from_file(&seal).expect("the key");
        let reader = Reader::open(&ledger, Some(seal)).expect("the ledger");
        let reason = |entry: grille_ledger::Entry| match entry.record() {
            Some(Record::SessionClose(close)) => Some(close.reason.to_string()),
            _ => None,
        };
        let records = reader.records().expect("records");
        reasons = records.filter_map(|entry| reason(entry.expect("a record"))).collect();
        reasons.len() >= count
    });
    reasons
}

/// Waits until the server runs such a statement.
fn runs(world: &World, like: &str) {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{like}%'");
    let mut direct = world.direct();
    wait_until("the statement runs", || direct.value(&sql).expect("a count") == "1");
}

/// Opens a session and asks at once, so that the session's time is over before the statement is, however busy the
/// machine.
fn asking(world: &World, hello: &[u8], script: &Script) -> Raw {
    let mut raw = Raw::connect(world.address).expect("connects");
    raw.send(&[hello, &script.bytes].concat()).expect("sends");
    let greeting = raw.until_ready().expect("a greeting");
    assert_eq!(greeting.iter().find_map(Reply::text), None, "{}", world.said());
    raw
}

#[test]
fn a_session_whose_time_is_over_finishes_what_was_asked() {
    let role =
        "groups = [\"dbas\"]\ntargets = [\"work\"]\nrelations = [\"*\"]\noperations = [\"*\"]\nmax_session = \"2s\"";
    let world = World::with(&format!("[roles.brief]\n{role}\n"));
    let brief = world.hello(Caller::of("dba", "brief"));
    let token = world.hello_for(OWNER, Duration::from_secs(2));
    let slow = "SELECT pg_sleep(3), 7";
    let nothing = Script::default();
    let two = Script::default().query(slow).query("SELECT 8");
    let open = Script::default().query(&format!("BEGIN; {slow}"));
    for hello in [&brief, &token] {
        let mut idle = asking(&world, hello, &nothing);
        let mut busy = asking(&world, hello, &two);
        let mut within = asking(&world, hello, &open);

        let (code, text) = last_word(&mut idle);
        assert_eq!(code, "57P01");
        assert!(text.contains("the token expired or the role's time is over"), "{text}");
        assert_eq!(tags(&two.answers(&mut busy).expect("answers")), "TDCZTDCZ", "what was asked before is answered");
        assert_eq!(last_word(&mut busy).0, "57P01");
        assert_eq!(tags(&open.answers(&mut within).expect("answers")), "CTDCZ");
        assert_eq!(within.value("SELECT 9").expect("the transaction goes on"), "9");
        assert_eq!(tags(&within.query("COMMIT").expect("commits")), "CZ");
        assert_eq!(last_word(&mut within).0, "57P01");
    }
    assert_eq!(closed(&world, 6), ["expired"; 6]);
    assert!(recorded(&world).iter().all(|(_, _, code, _)| code.is_none()));
}

#[test]
fn an_operator_ends_a_session_whatever_it_does() {
    let world = guarded("operators = [\"dbas\"]\nauditors = [\"dbas\"]", "600s");
    let script = Script::default;
    let update = "UPDATE notes SET body = 'never'";
    let cases = [
        ("idle", script(), 0),
        ("in a transaction", script().query("BEGIN"), 2),
        ("running", script().query(ENDLESS), 0),
        ("held", script().query(update), 1),
        ("held, with more behind it", script().query(update).query("SELECT 1"), 1),
    ];
    for (what, asked, answers) in cases {
        let mut session = world.session(CLERK);
        session.send(&asked.bytes).expect("sends");
        for _ in 0..answers {
            session.reply().expect("an answer").expect("before the end");
        }
        if what == "running" {
            runs(&world, ENDLESS);
        }
        let list = admin(&world, "GET", "/v1/sessions?live=true", "");
        let id = list.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let id = id.unwrap_or_else(|| panic!("{what}: no session in {list}"));
        let answer = admin(&world, "DELETE", &format!("/v1/sessions/{id}?reason=enough"), "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
        let (code, text) = last_word(&mut session);
        assert_eq!(code, "57P01", "{what}: {text}");
        assert!(text.contains("ended by") && text.ends_with(": enough"), "{what}: {text}");
        wait_until("it is not live any more", || {
            let again = admin(&world, "DELETE", &format!("/v1/sessions/{id}"), "");
            again.starts_with("HTTP/1.1 409")
        });
    }
    assert_eq!(closed(&world, 5), ["killed"; 5]);
    let outcomes = recorded(&world);
    assert_eq!(outcomes.len(), 4, "all that was asked has an outcome: {outcomes:?}");
    assert!(outcomes.iter().all(|(text, _, code, _)| code.is_some() == (text != "BEGIN")), "{outcomes:?}");
    let waiting = admin(&world, "GET", "/v1/reviews?state=pending", "");
    assert!(waiting.ends_with("{\"reviews\":[]}"), "nobody is asked about it any more: {waiting}");
    assert_eq!(body(&world), "old");
}

#[test]
fn the_servers_last_word_is_passed_once() {
    let world = World::shared();
    for (what, asked) in [("idle", None), ("running", Some(ENDLESS))] {
        let (mut session, greeting) = greeted(world.address, 0, LOGIN, &world.token(OWNER));
        let (pid, _) = key(&greeting);
        if let Some(sql) = asked {
            session.send(&Script::default().query(sql).bytes).expect("sends");
            runs(&world, sql);
        }
        world.cluster.sql("postgres", &format!("SELECT pg_terminate_backend({pid})")).expect("ends it");
        if asked.is_some() {
            // The description of what it never answered: the server sends it along with the error.
            assert_eq!(session.reply().expect("an answer").map(|reply| reply.tag), Some(tag::ROW_DESCRIPTION));
        }
        let (code, text) = last_word(&mut session);
        assert_eq!(code, "57P01", "{what}");
        assert!(text.contains("administrator command"), "{what}: {text}");
    }
    assert_eq!(recorded(&world), [(ENDLESS.to_owned(), 0, Some("57P01".to_owned()), vec![])]);
    world.serves();
}

/// A way to the server of its own, by which the role `far` comes.
pub(crate) fn relayed() -> (World, Relay) {
    let relay = Relay::new();
    let world = World::with(&format!(
        r#"[targets.relayed]
protocol = "postgres"
address = "{address}"
database = "work"
login = {{ user = "work_app", password = {{ file = "{{secret}}" }} }}
tls = "disable"
[roles.far]
groups = ["dbas"]
targets = ["relayed"]
relations = ["*"]
operations = ["*"]
"#,
        address = relay.address
    ));
    relay.leads_to(world.cluster.address());
    (world, relay)
}

#[test]
fn a_server_that_is_gone_without_a_word() {
    let (world, relay) = relayed();
    let far = || world.session_on("relayed", "far", Caller::of("dba", "far"));
    let (mut idle, mut busy) = (far(), far());
    let script = Script::default().run(ENDLESS, &[]).run("SELECT 1", &[]).sync();
    busy.send(&script.bytes).expect("sends");
    runs(&world, ENDLESS);
    relay.cut();
    for session in [&mut idle, &mut busy] {
        let (code, text) = last_word(session);
        assert_eq!((code.as_str(), text.as_str()), ("08006", "the target closed the connection"));
    }
    let gone = |text: &str| (text.to_owned(), 0, Some("08006".to_owned()), vec![]);
    assert_eq!(recorded(&world), [gone(ENDLESS), gone("SELECT 1")]);
    assert_eq!(closed(&world, 2), ["target"; 2]);
    assert_eq!(far().value("SELECT 7").expect("the next session works"), "7");
}

/// An error in the middle of a message would be read as the rest of that message.
#[test]
fn a_server_that_is_gone_in_the_middle_of_a_row() {
    let (world, relay) = relayed();
    let mut session = world.session_on("relayed", "far", Caller::of("dba", "far"));
    let sql = "SELECT 'first' UNION ALL SELECT repeat('x', 64 << 20)";
    session.send(&Script::default().query(sql).bytes).expect("sends");
    let first: Vec<_> = (0..2).map(|_| session.reply().expect("an answer").expect("before the end")).collect();
    assert_eq!(tags(&first), "TD");
    relay.cut();
    let rest = session.until_closed().expect("an end");
    let mut frames = Frames::new(&rest);
    assert_eq!(frames.by_ref().count(), 0, "no message is whole");
    assert_eq!((rest.first(), frames.incomplete()), (Some(&tag::DATA_ROW), rest.len()));
    assert!(rest.iter().skip(11).all(|byte| *byte == b'x'), "nothing was written into the row");
    let told = recorded(&world);
    assert_eq!(told.first().and_then(|(_, _, code, _)| code.as_deref()), Some("08006"), "{told:?}");
    assert_eq!(closed(&world, 1), ["target"]);
}

#[test]
fn what_a_session_runs_ends_with_it() {
    let world = guarded("operators = [\"dbas\"]\nauditors = [\"dbas\"]", "600s");
    let mut session = world.session(CLERK);
    let sql = "UPDATE notes SET body = 'by a session that was ended' FROM pg_sleep(5) WHERE id = 1";
    session.send(&Script::default().query(sql).bytes).expect("sends");
    runs(&world, "UPDATE notes");
    let list = admin(&world, "GET", "/v1/sessions?live=true", "");
    let id = list.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a session");
    let answer = admin(&world, "DELETE", &format!("/v1/sessions/{id}?reason=enough"), "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(last_word(&mut session).0, "57P01");
    let mut direct = world.direct();
    let runs = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'UPDATE notes%'";
    wait_until("it runs no more", || direct.value(runs).expect("a count") == "0");
    assert_eq!(body(&world), "old", "what was ended was not done");
}
