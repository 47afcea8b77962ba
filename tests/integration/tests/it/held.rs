//! What a caller reads while people are asked, and when they said something else than yes.

use grille_pg_codec::backend::{Message, field};
use grille_test_support::{CLERK, OWNER, READER, Raw, Reply, World};

use crate::approvals::{admin, body, guarded, outcomes, post, request};
use crate::scene::wait_until;
use crate::script::{Script, tags};

/// The guard has people asked about it.
const ALL: &str = "UPDATE notes SET body = 'new'";

fn script() -> Script {
    Script::default()
}

/// Sends, reads that it is held, and answers the id of the request.
fn held(session: &mut Raw, asked: &Script) -> String {
    session.send(&asked.bytes).unwrap();
    let notice = session.reply().unwrap().expect("a notice");
    assert!(said(&notice).starts_with("held for review: "), "{notice:?}");
    request(&notice)
}

/// The text of a notice.
fn said(reply: &Reply) -> String {
    let Message::Notice(report) = reply.message() else { panic!("{reply:?} is no notice") };
    String::from_utf8_lossy(report.get(field::MESSAGE).unwrap_or_default()).into_owned()
}

fn decide(world: &World, request: &str, verb: &str) {
    let answer = post(world, &format!("/v1/reviews/{request}/{verb}"), r#"{"reason":"looked at it"}"#);
    assert!(answer.starts_with("HTTP/1.1 200"), "{verb}: {answer}");
}

/// How the desk has it now.
fn state(world: &World, request: &str) -> String {
    let answer = admin(world, "GET", &format!("/v1/reviews/{request}"), "");
    let state = answer.split("\"state\":\"").nth(1).and_then(|rest| rest.split('"').next());
    state.unwrap_or_else(|| panic!("no state in {answer}")).to_owned()
}

/// The SQLSTATE and text of the only error among them.
fn error(replies: &[Reply]) -> (String, String) {
    let errors: Vec<&Reply> = replies.iter().filter(|reply| reply.sqlstate().is_some()).collect();
    let [error] = errors[..] else { panic!("not one error: {replies:?}") };
    (error.sqlstate().unwrap_or_default(), error.text().unwrap_or_default())
}

#[test]
fn a_no_is_an_error_in_the_answers_place() {
    let world = guarded("", "600s");
    let mut session = world.session(CLERK);
    let extended = script().run(ALL, &[]).run("SELECT 1", &[]).sync();
    for (asked, expected) in [(script().query(ALL), "EZ"), (script().query(ALL).query("SELECT 1"), "EZTDCZ")] {
        let request = held(&mut session, &asked);
        decide(&world, &request, "deny");
        let replies = asked.answers(&mut session).unwrap();
        assert_eq!(tags(&replies), expected);
        let (code, text) = error(&replies);
        assert_eq!(code, "42501");
        assert!(text.starts_with("denied by ") && text.ends_with(": looked at it"), "{text}");
        assert_eq!(self::request(&replies[0]), request);
    }
    session.send(&extended.bytes).unwrap();
    let mut first = [(); 2].map(|()| session.reply().unwrap().expect("an answer"));
    first.sort_by_key(|reply| reply.tag);
    assert_eq!(tags(&first), "1N");
    decide(&world, &request(&first[1]), "deny");
    let replies = extended.answers(&mut session).unwrap();
    assert_eq!((tags(&replies).as_str(), error(&replies).0.as_str()), ("EZ", "42501"), "the rest is skipped");
    assert_eq!(body(&world), "old");
    assert_eq!(outcomes(&world, ALL), vec![Some("42501".to_owned()); 3]);
}

#[test]
fn what_is_sent_behind_it_waits_and_then_runs() {
    let world = guarded("", "600s");
    let (mut session, mut beside) = (world.session(CLERK), world.session(CLERK));
    let asked = script().query(ALL).query("SELECT body FROM notes").run("SELECT body FROM notes", &[]).sync();
    let request = held(&mut session, &asked);
    // Others are neither held nor slowed down by it.
    assert_eq!(beside.value("SELECT body FROM notes").unwrap(), "old");
    assert_eq!(beside.value("UPDATE notes SET body = 'mine' WHERE id = 1 RETURNING body").unwrap(), "mine");
    assert_eq!(state(&world, &request), "pending");
    decide(&world, &request, "approve");
    let replies = asked.answers(&mut session).unwrap();
    assert_eq!(tags(&replies), "CZTDCZ12TDCZ", "{:?}", replies.iter().find_map(Reply::text));
    for row in replies.iter().filter(|reply| reply.tag == b'D') {
        assert!(row.body.ends_with(b"new"), "what runs behind it sees what it did: {row:?}");
    }
    assert_eq!(outcomes(&world, ALL), [None]);
}

/// The one test here that waits for a clock: the second notice comes after 15 s.
#[test]
fn who_is_held_hears_of_it_until_the_time_is_over() {
    let world = guarded("", "20s");
    let mut session = world.session(CLERK);
    let request = held(&mut session, &script().query(ALL));
    let still = session.reply().unwrap().expect("a second notice");
    assert!(said(&still).starts_with("still held for review after "), "{still:?}");
    assert_eq!(self::request(&still), request);
    let replies = session.until_ready().unwrap();
    assert_eq!(tags(&replies), "EZ");
    let (code, text) = error(&replies);
    assert_eq!(code, "57014");
    assert!(text.contains("nobody decided"), "{text}");
    assert_eq!(state(&world, &request), "timed-out");
    assert_eq!((session.value("SELECT body FROM notes").unwrap().as_str(), &*body(&world)), ("old", "old"));
    assert_eq!(outcomes(&world, ALL), [Some("57014".to_owned())]);
}

#[test]
fn in_a_transaction_nobody_is_held_and_the_second_try_runs_once() {
    let world = guarded("", "600s");
    let mut session = world.session(CLERK);
    let insert = "INSERT INTO notes VALUES (2, 'first')";
    let begin = script().query("BEGIN");
    let simple = script().query(ALL);
    let extended = script().run(ALL, &[]).sync();
    let cases = [
        (begin.clone(), &simple, "EZ", b'E'),
        (begin.clone().query(insert), &extended, "1EZ", b'E'),
        // What was executed since the last Sync holds locks as well.
        (script(), &script().run(insert, &[]).run(ALL, &[]).sync(), "12nC1EZ", b'I'),
    ];
    let mut requests = Vec::new();
    for (before, asked, expected, status) in cases {
        before.play(&mut session).unwrap();
        let replies = asked.play(&mut session).unwrap();
        assert_eq!(tags(&replies), expected);
        let (code, text) = error(&replies);
        assert_eq!(code, "42501");
        assert!(text.starts_with("approval needed: "), "{text}");
        assert_eq!(replies.last().map(|last| last.body[0]), Some(status), "{expected}");
        requests.extend(replies.iter().find(|reply| reply.sqlstate().is_some()).map(request));
        session.query("ROLLBACK").unwrap();
    }
    assert!(requests.windows(2).all(|two| two[0] == two[1]), "the same question is one request: {requests:?}");
    decide(&world, &requests[0], "approve");
    begin.play(&mut session).unwrap();
    assert_eq!(tags(&simple.play(&mut session).unwrap()), "CZ");
    assert_eq!(tags(&session.query("COMMIT").unwrap()), "CZ");
    assert_eq!(body(&world), "new");
    begin.play(&mut session).unwrap();
    let replies = simple.play(&mut session).unwrap();
    assert_eq!((tags(&replies).as_str(), error(&replies).0.as_str()), ("EZ", "42501"), "a yes is good once");
    assert_ne!(request(&replies[0]), requests[0]);
}

#[test]
fn who_leaves_takes_the_question_back() {
    let world = guarded("", "600s");
    for leaves_politely in [true, false] {
        let mut session = world.session(CLERK);
        let request = held(&mut session, &script().query(ALL).query("SELECT 1"));
        assert_eq!(state(&world, &request), "pending");
        if leaves_politely {
            session.finish();
            session.until_closed().unwrap();
        }
        drop(session);
        wait_until("the question is taken back", || state(&world, &request) == "withdrawn");
        let late = post(&world, &format!("/v1/reviews/{request}/approve"), r#"{"reason":"too late"}"#);
        assert!(late.starts_with("HTTP/1.1 409"), "{late}");
    }
    assert_eq!(body(&world), "old");
    let all = outcomes(&world, ALL);
    assert!(all.len() == 2 && all.iter().all(Option::is_some), "{all:?}");
}

#[test]
fn other_policies_end_the_wait() {
    let world = guarded("", "600s");
    let mut session = world.session(CLERK);
    let request = held(&mut session, &script().query(ALL));
    world.reconfigure("allow_unsigned = true\n", "allow_unsigned = true\nroles = [\"owner\"]\n").unwrap();
    let replies = session.until_ready().unwrap();
    assert_eq!(tags(&replies), "EZ");
    let (code, text) = error(&replies);
    assert_eq!(code, "42501");
    assert!(text.contains("the policies changed while it waited"), "{text}");
    assert_eq!((state(&world, &request).as_str(), body(&world).as_str()), ("superseded", "old"));
    assert_eq!(outcomes(&world, ALL), [Some("42501".to_owned())]);
    assert_eq!(tags(&session.query(ALL).unwrap()), "CZ", "the new ones ask nobody");
}

/// A yes is to what the text meant when it was read: a table of that name that hides another one is not meant.
#[test]
fn what_means_something_else_by_then_is_judged_as_that() {
    let role = "groups = [\"reviewers\"]\ntargets = [\"work\"]\nrelations = [\"*\", \"!public.numbers\"]\noperations = [\"read\", \"write\"]";
    let world = guarded(&format!("[roles.careful]\n{role}"), "600s");
    let mut session = world.session_on("work", "careful", grille_test_support::Caller::of("reviewer", "careful"));
    let all = "UPDATE notes SET name = 'new'";
    world.session(OWNER).query("ALTER TABLE notes RENAME body TO name").unwrap();
    let request = held(&mut session, &script().query(all));
    let moved = "ALTER TABLE notes RENAME TO kept; CREATE VIEW notes AS SELECT id, name FROM numbers";
    assert_eq!(tags(&world.session(OWNER).query(moved).unwrap()), "CCZ");
    decide(&world, &request, "approve");
    let replies = session.until_ready().unwrap();
    assert_eq!(tags(&replies), "EZ");
    let (code, text) = error(&replies);
    assert_eq!(code, "42501");
    assert!(text.contains("public.numbers"), "{text}");
    assert_eq!(world.direct().value("SELECT count(*) FROM numbers WHERE name = 'new'").unwrap(), "0");
    assert_eq!(outcomes(&world, all), [Some("42501".to_owned())]);
}

#[test]
fn the_server_may_end_while_somebody_is_held() {
    let world = guarded("", "600s");
    let mut session = world.session(CLERK);
    session.query("SET idle_session_timeout = '1s'").unwrap();
    let request = held(&mut session, &script().query(ALL));
    let last = session.reply().unwrap().expect("a last word");
    assert_eq!(last.sqlstate().as_deref(), Some("57P05"), "{:?}", last.text());
    assert_eq!(session.reply().unwrap(), None);
    wait_until("the question is taken back", || state(&world, &request) == "withdrawn");
    assert_eq!(outcomes(&world, ALL).len(), 1);
    assert_eq!(body(&world), "old");
    assert_eq!(world.session(READER).value("SELECT 7").unwrap(), "7");
}

#[test]
fn in_a_transaction_that_was_sent_at_once_nobody_is_held() {
    let world = guarded("", "600s");
    let mut session = world.session(CLERK);
    let insert = "INSERT INTO notes VALUES (2, 'first')";
    for asked in [
        script().query("BEGIN").query(ALL),
        script().query("BEGIN").query(insert).query(ALL),
        script().run("BEGIN", &[]).sync().run(ALL, &[]).sync(),
    ] {
        session.send(&asked.bytes).unwrap();
        loop {
            let reply = session.reply().unwrap().expect("an answer");
            assert_ne!(reply.tag, b'N', "held in a transaction: {}", said(&reply));
            if reply.tag == b'E' {
                assert!(reply.text().unwrap().starts_with("approval needed: "), "{reply:?}");
                break;
            }
        }
        session.until_ready().unwrap();
        session.query("ROLLBACK").unwrap();
    }
}
