//! What a server says of its own accord comes wherever it likes: notices between rows, notifications behind a
//! transaction, settings in between.

use grille_pg_codec::backend::Message;
use grille_test_support::{OWNER, Reply, World};

use crate::masked::{MAKER, hands_out, masked};
use crate::script::{Script, essence, tags};

const NOISY: &str = "CREATE FUNCTION noisy(id int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        RAISE NOTICE 'row %', id;
        IF id % 2 = 0 THEN PERFORM set_config('application_name', 'row ' || id, false); END IF;
        RETURN id;
    END $$";

#[test]
fn notices_and_settings_stay_between_the_rows_that_they_belong_to() {
    let world = World::shared();
    world.session(OWNER).query(NOISY).unwrap();
    let rows = "SELECT id, noisy(id) FROM numbers WHERE id <= 5 ORDER BY id";
    let script = Script::default()
        .query(rows)
        .run(rows, &[])
        .run("SELECT 1", &[])
        .sync()
        .query(&format!("{rows}; {rows}"))
        .query(&format!("COPY ({rows}) TO STDOUT"));
    let expected = script.play(&mut world.direct()).unwrap();
    assert!(tags(&expected).starts_with("TNDNDNDNDNDC"), "the server says it in between: {}", tags(&expected));
    assert!(tags(&expected).contains('S'), "and settings: {}", tags(&expected));
    let got = script.play(&mut world.session(OWNER)).unwrap();
    assert_eq!(tags(&got), tags(&expected));
    assert!(essence(&got) == essence(&expected), "the bytes differ");
}

#[test]
fn a_notification_comes_once_and_between_results() {
    let world = World::shared();
    let mut others = world.direct();
    for mut session in [world.direct(), world.session(OWNER)] {
        let open = Script::default().query("LISTEN jobs").query("BEGIN");
        assert_eq!(tags(&open.play(&mut session).unwrap()), "CZCZ");
        others.query("NOTIFY jobs, 'seven'").unwrap();
        let long = "SELECT repeat('x', 1000) FROM generate_series(1, 2000)";
        let script = Script::default().query(long).query("COMMIT").query("SELECT 1");
        let replies = script.play(&mut session).unwrap();
        let said = tags(&replies).replace('D', "");
        // The server hands it over when the transaction has ended.
        assert_eq!(said, "TCZCAZTCZ");
        let notification = replies.iter().find(|reply| reply.tag == b'A').expect("it is there");
        assert!(notification.body.ends_with(b"jobs\0seven\0"), "{notification:?}");
    }
}

/// Notices may quote what rows hide, so where rows are treated there are none; the rows stay, in order.
#[test]
fn in_a_treated_result_notices_fall_out_and_rows_stay() {
    let world = masked("maker");
    // The server asks the table's own policy about every row, whatever the statement says.
    let loud = "CREATE FUNCTION loud(name text) RETURNS bool LANGUAGE plpgsql AS $$
            BEGIN RAISE NOTICE 'it is %', name; RETURN true; END $$;
        CREATE POLICY loud ON numbers USING (loud(name));
        ALTER TABLE numbers ENABLE ROW LEVEL SECURITY;
        ALTER TABLE numbers FORCE ROW LEVEL SECURITY";
    world.session(OWNER).query(loud).unwrap();
    let rows = "SELECT id, name FROM numbers WHERE id BETWEEN 5 AND 9";
    let script = Script::default().query(rows).run(rows, &[]).run("SELECT 1", &[]).sync();
    let direct = script.play(&mut world.direct()).unwrap();
    assert!(hands_out(&direct) && tags(&direct).contains("NDNDNDNDND"), "the server quotes them: {}", tags(&direct));
    let got = script.play(&mut world.session(MAKER)).unwrap();
    assert_eq!(tags(&got), tags(&direct).replace('N', ""));
    assert!(!hands_out(&got));
    let first = |reply: &Reply| match reply.message() {
        Message::DataRow(row) => row.values().next().and_then(|id| Some(id.ok()??.to_vec())),
        _ => None,
    };
    let ids = |replies: &[Reply]| replies.iter().filter_map(first).collect::<Vec<_>>();
    assert_eq!(ids(&got), ids(&direct));
}
