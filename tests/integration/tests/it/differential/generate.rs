//! Random scripts: what a caller might say next, given where the server stands.

use grille_pg_codec::Format;
use grille_test_support::Chance;

use super::message::{Message, Say};
use super::oracle::{BAD_DATA, Stand, Within};
use super::session::Kind;

/// Statements and portals have the same names, and those of SQL are among them.
const NAMES: [&str; 4] = ["", "", "c", "d"];
const NEVER_BOUND: &str = "never bound";
const NAMED: [&str; 2] = ["c", "d"];
/// The value that a policy blocks, as a parameter or as a literal.
const BLOCKED_VALUE: &str = "block";

const SYNTAX_ERROR: &str = "SELEC 1";

const CALL: Message = Message { say: Say::FunctionCall, is_blocked: true };

/// The next messages: often one, sometimes the few that belong together.
pub(super) fn next(chance: &mut Chance, kind: Kind, stand: Stand) -> Vec<Message> {
    if stand.within.is_copy() {
        return vec![Message::allowed(match chance.below(20) {
            0..=4 => Say::CopyData(one(chance, &["7\tseven\n", "8\teight\n9\tni", "ne\n"])),
            5 => Say::CopyData(BAD_DATA),
            6..=9 => Say::Flush,
            10..=13 => Say::Sync,
            14..=16 => Say::CopyDone,
            _ => Say::CopyFail,
        })];
    }
    let single = |say| vec![Message::allowed(say)];
    match (stand.within, stand.status, chance.below(12)) {
        // What comes behind a failure is skipped, which is soon seen.
        (Within::Skipped, _, 0..=5) => return single(Say::Sync),
        // Most others end a pipeline, or make it fail.
        (Within::Extended, _, 0..=4) | (Within::Skipped, _, 6..=9) => return vec![undisturbing(chance, kind)],
        (Within::Simple, b'E', 0..=2) => {
            let sql = one(chance, &["ROLLBACK", "ROLLBACK TO a"]).to_owned();
            return run(chance, Message::allowed(Say::Parse { name: "", sql }), kind);
        }
        (Within::Simple | Within::Extended, b'I' | b'T', 11) => {
            let sql = format!("COPY {} FROM STDIN", kind.table());
            return match chance.below(3) {
                0 => single(Say::Query(sql)),
                _ => run(chance, Message::allowed(Say::Parse { name: "", sql }), kind),
            };
        }
        _ => {}
    }
    match chance.below(100) {
        0..=17 => vec![query(chance, kind)],
        18..=27 => vec![parse(chance, kind)],
        28..=37 => vec![bind(chance, kind)],
        38..=42 => single(Say::DescribeStatement(one(chance, &NAMES))),
        // A failed transaction keeps half-made portals, which run as if they were empty; Grille knows none of them.
        43..=47 if stand.status == b'E' => single(Say::DescribePortal(NEVER_BOUND)),
        43..=47 => single(Say::DescribePortal(one(chance, &NAMES))),
        48..=56 if stand.status == b'E' => single(Say::Execute { portal: NEVER_BOUND, max_rows: 0 }),
        48..=56 => single(execute(chance)),
        57..=60 => single(Say::CloseStatement(one(chance, &NAMES))),
        61..=64 => single(Say::ClosePortal(one(chance, &NAMES))),
        65..=68 => single(Say::Flush),
        69..=76 => single(Say::Sync),
        77 | 78 => single(Say::CopyData("7\tseven\n")),
        79 | 80 => single(Say::CopyDone),
        81 | 82 => single(Say::CopyFail),
        83 | 84 => vec![CALL],
        _ => {
            let parse = parse(chance, kind);
            run(chance, parse, kind)
        }
    }
}

/// What may come inside a pipeline and, unless it is blocked, leaves it as it is.
fn undisturbing(chance: &mut Chance, kind: Kind) -> Message {
    let say = match chance.below(12) {
        0 => Say::CloseStatement(one(chance, &NAMES)),
        1 => Say::ClosePortal(one(chance, &NAMES)),
        2 => Say::Flush,
        3 => Say::CopyData("7\tseven\n"),
        4 => Say::CopyDone,
        5 => Say::CopyFail,
        9 => return CALL,
        6 => Say::DescribeStatement(one(chance, &NAMES)),
        7 => return Message { say: Say::Query(blocked(chance, kind)), is_blocked: true },
        8 => return Message { say: Say::Parse { name: "", sql: blocked(chance, kind) }, is_blocked: true },
        _ => return bind(chance, kind),
    };
    Message::allowed(say)
}

/// How a script begins: often in a transaction, sometimes in one that has failed.
pub(super) fn beginning(chance: &mut Chance) -> Vec<Message> {
    let query = |sql: &str| Message::allowed(Say::Query(sql.to_owned()));
    match chance.below(10) {
        0..=2 => Vec::new(),
        3..=5 => vec![query("BEGIN")],
        6 => vec![query("BEGIN; SAVEPOINT a")],
        _ => vec![query("BEGIN; SAVEPOINT a"), query("SELECT 1/0")],
    }
}

/// What ends every script: the session is as new, and what the script left behind is part of the answers.
pub(super) fn ending(stand: Stand, table: &str) -> Vec<Message> {
    let mut end = Vec::new();
    if stand.within.is_copy() {
        end.push(Say::CopyFail);
    }
    end.push(Say::Sync);
    end.extend(["ROLLBACK", &contents(table), "DISCARD ALL"].map(|sql| Say::Query(sql.to_owned())));
    end.into_iter().map(Message::allowed).collect()
}

/// All that a script can leave behind.
pub(super) fn contents(table: &str) -> String {
    format!("SELECT string_agg(id || '=' || v, ', ' ORDER BY id) FROM {table}")
}

/// Parse, Bind and Execute of one statement.
fn run(chance: &mut Chance, mut parse: Message, kind: Kind) -> Vec<Message> {
    let portal = one(chance, &NAMES);
    let name = match &parse.say {
        Say::Parse { sql, .. } => name_for(chance, sql),
        _ => "",
    };
    let mut bind = bind(chance, kind);
    if let Say::Parse { name: parsed, .. } = &mut parse.say {
        *parsed = name;
    }
    if let (Say::Bind { portal: bound, statement, values, .. }, Say::Parse { sql, .. }) = (&mut bind.say, &parse.say) {
        (*bound, *statement) = (portal, name);
        values.truncate(sql.matches('$').count());
        bind.is_blocked &= !values.is_empty();
    }
    let mut run = vec![parse, bind];
    if chance.below(3) == 0 {
        run.push(Message::allowed(Say::DescribePortal(portal)));
    }
    run.push(Message::allowed(Say::Execute { portal, max_rows: rows(chance) }));
    run
}

fn query(chance: &mut Chance, kind: Kind) -> Message {
    if chance.below(7) == 0 {
        let mut sql = blocked(chance, kind);
        if chance.below(3) == 0 {
            let before = statement_among_others(chance, kind);
            // What does not parse hides the blocked one from every policy, and fails by itself.
            sql = match before.as_str() {
                SYNTAX_ERROR => sql,
                // The policy of a masked session looks at the first literal.
                _ if kind.reads_values() => format!("{sql}; {before}"),
                _ => format!("{before}; {sql}"),
            };
        }
        return Message { say: Say::Query(sql), is_blocked: true };
    }
    let count = [1, 1, 1, 1, 2, 3][chance.below(6)];
    let mut sql: Vec<String> = match count {
        1 => vec![statement(chance, kind)],
        _ => (0..count).map(|_| statement_among_others(chance, kind)).collect(),
    };
    if sql.iter().any(|sql| sql.starts_with("COPY")) {
        // Beside an EXECUTE of what nobody prepared a COPY cannot be followed, and the guard blocks that.
        sql.retain(|sql| !sql.starts_with("EXECUTE"));
    }
    // Behind what may change the meaning of names a limited session is refused an EXECUTE in the same text.
    sql.sort_by_key(|sql| !sql.starts_with("EXECUTE"));
    Message::allowed(Say::Query(sql.join("; ")))
}

fn parse(chance: &mut Chance, kind: Kind) -> Message {
    let (mut sql, is_blocked) = if chance.below(8) == 0 {
        (blocked(chance, kind), true)
    } else {
        (statement_among_others(chance, kind), false)
    };
    // Where names are resolved Grille asks the target questions inside the pipeline, and behind one the server takes
    // what must stand alone for a part of a transaction.
    if sql == "DISCARD ALL" && kind != Kind::Judged {
        sql.clear();
    }
    // For the same reason one that must stand in a transaction would be taken where the server itself refuses it.
    if kind != Kind::Judged && sql.starts_with("DECLARE") {
        sql = sql.replace("CURSOR FOR", "CURSOR WITH HOLD FOR");
    }
    Message { say: Say::Parse { name: name_for(chance, &sql), sql }, is_blocked }
}

/// A name for a statement. One that controls transactions gets none that EXECUTE knows: PostgreSQL 15 itself breaks down
/// when EXECUTE runs such a one.
fn name_for(chance: &mut Chance, sql: &str) -> &'static str {
    let controls = ["BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"];
    if controls.iter().any(|word| sql.starts_with(word)) { one(chance, &["", "t"]) } else { one(chance, &NAMES) }
}

fn bind(chance: &mut Chance, kind: Kind) -> Message {
    let is_blocked = kind.reads_values() && chance.below(2) == 0;
    let mut values = vec![if is_blocked { BLOCKED_VALUE } else { one(chance, &["1", "2", "5"]) }];
    match chance.below(4) {
        0 => values.push("two"),
        1 if !is_blocked => values.clear(),
        _ => {}
    }
    let result = if chance.below(4) == 0 { Format::Binary } else { Format::Text };
    let (portal, statement) = (one(chance, &NAMES), one(chance, &NAMES));
    Message { say: Say::Bind { portal, statement, values, result }, is_blocked }
}

fn execute(chance: &mut Chance) -> Say {
    Say::Execute { portal: one(chance, &NAMES), max_rows: rows(chance) }
}

fn rows(chance: &mut Chance) -> i32 {
    one(chance, &[0, 0, 1, 2])
}

/// A statement that a policy blocks by its text.
fn blocked(chance: &mut Chance, kind: Kind) -> String {
    let table = kind.table();
    if kind.reads_values() {
        match chance.below(4) {
            0 => format!("SELECT '{BLOCKED_VALUE}'"),
            1 => format!("EXECUTE {}('{BLOCKED_VALUE}')", one(chance, &NAMED)),
            2 => format!("COPY {table} FROM STDIN (NULL '{BLOCKED_VALUE}')"),
            _ => format!("DECLARE {} CURSOR FOR SELECT '{BLOCKED_VALUE}'", one(chance, &NAMED)),
        }
    } else {
        match chance.below(4) {
            0 => format!("DROP TABLE {table}"),
            1 => format!("PREPARE {} AS DELETE FROM {table}", one(chance, &NAMED)),
            2 => format!("COPY {table} FROM PROGRAM 'cat'"),
            _ => format!("DELETE FROM {table}"),
        }
    }
}

/// The same where something before it may succeed. A masked session refuses a prepared statement or cursor that it never
/// saw at once, with everything around it, where the server would find out later.
fn statement_among_others(chance: &mut Chance, kind: Kind) -> String {
    loop {
        let sql = statement(chance, kind);
        if kind != Kind::Masked || !(sql.starts_with("EXECUTE") || sql.starts_with("FETCH")) {
            return sql;
        }
    }
}

/// A statement that every policy allows: some work, some fail, some only now and then.
fn statement(chance: &mut Chance, kind: Kind) -> String {
    let table = kind.table();
    let (name, number) = (one(chance, &NAMED), chance.below(6));
    match chance.below(50) {
        0..=2 => format!("SELECT id, v FROM {table} ORDER BY id"),
        3 => format!("SELECT id FROM {table} WHERE v = $1"),
        4 => "SELECT $1::text".to_owned(),
        5 => "VALUES (1), (2), (3), (4)".to_owned(),
        6 | 7 => format!("INSERT INTO {table} VALUES ({number}, 'new')"),
        8 => format!("INSERT INTO {table} VALUES ($1::int, $2) RETURNING v"),
        // Two rows of one value: it fails when the transaction ends.
        9 | 10 => format!("UPDATE {table} SET v = 'one' WHERE id = 2"),
        11 => format!("DELETE FROM {table} WHERE id = {number} RETURNING id"),
        12 | 13 => "SELECT 1/0".to_owned(),
        14 => "SELECT nothing".to_owned(),
        15 => SYNTAX_ERROR.to_owned(),
        16 | 17 => String::new(),
        18 | 19 => "BEGIN".to_owned(),
        20 => "START TRANSACTION READ ONLY".to_owned(),
        21 | 22 => "COMMIT".to_owned(),
        23 | 24 => "ROLLBACK".to_owned(),
        25 => "COMMIT AND CHAIN".to_owned(),
        26 => "SAVEPOINT a".to_owned(),
        27 | 28 => "ROLLBACK TO a".to_owned(),
        29 => "RELEASE a".to_owned(),
        30 => format!("SET application_name = 'set {number}'"),
        31 => "SHOW application_name".to_owned(),
        32 => "SET LOCAL search_path = public".to_owned(),
        33 => format!("PREPARE {name} AS SELECT v FROM {table} WHERE id = $1"),
        34 => format!("PREPARE {name} (text) AS SELECT $1"),
        35 => format!("PREPARE {name} AS VALUES (7), (8)"),
        36 | 37 => format!("EXECUTE {name}"),
        38 => format!("EXECUTE {name}(1)"),
        39 => format!("DEALLOCATE {name}"),
        40 => "DEALLOCATE ALL".to_owned(),
        41 | 42 => format!("DECLARE {name} CURSOR FOR SELECT id FROM {table} ORDER BY id"),
        43 => format!("DECLARE {name} CURSOR WITH HOLD FOR SELECT id FROM {table} ORDER BY id"),
        44 => format!("FETCH {} FROM {name}", one(chance, &["1", "2", "ALL"])),
        45 => format!("CLOSE {}", one(chance, &["c", "d", "ALL"])),
        46 | 47 => format!("COPY {table} FROM STDIN"),
        48 => format!("COPY (SELECT id FROM {table} ORDER BY id) TO STDOUT"),
        _ => "DISCARD ALL".to_owned(),
    }
}

fn one<T: Copy>(chance: &mut Chance, list: &[T]) -> T {
    list[chance.below(list.len())]
}
