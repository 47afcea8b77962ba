//! What people let pass runs once, as it was approved and while that holds; and it has an outcome however it ends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use grille_pg_codec::Format;
use grille_pg_codec::backend::{Message, field};
use grille_test_support::{CLERK, OWNER, Raw, Reply, World};

use crate::records::recorded;
use crate::script::{Script, tags};

/// The guard has people asked about it.
const ALL: &str = "UPDATE notes SET body = $1";

fn world() -> World {
    guarded("", "600s")
}

/// People are asked about what the guard does not like, and callers wait so long; with more about the admin API.
pub(crate) fn guarded(admin: &str, hold: &str) -> World {
    let guard = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components/sql-guard.wasm");
    assert!(guard.is_file(), "{} is missing: run `cargo xtask components` first", guard.display());
    let world = World::with(&format!(
        "{admin}\n[policies.guard]\nplugin = {guard:?}\ntargets = [\"work\"]\nallow_unsigned = true\n\
         settings = {{ profile = \"standard\" }}\n[review]\nreviewers = [\"dbas\"]\nhold = \"{hold}\"\n"
    ));
    world.cluster.sql("work", "INSERT INTO notes VALUES (1, 'old')").unwrap();
    world
}

/// Binds the portal `p`, which is held, and has a second person approve it.
fn approved(world: &World, session: &mut Raw, sql: &str, value: &str) {
    let bound = Script::default().parse("", sql).bind("p", "", &[Some(value)], Format::Text).flush();
    session.send(&bound.bytes).unwrap();
    // The notice is Grille's own and does not wait for the server's answer to Parse.
    let mut first = [(); 2].map(|()| session.reply().unwrap().expect("an answer"));
    first.sort_by_key(|reply| reply.tag);
    assert_eq!(tags(&first), "1N");
    let request = request(&first[1]);
    let answer = post(world, &format!("/v1/reviews/{request}/approve"), r#"{"reason":"looked at it"}"#);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The id of the request that a notice or an error names.
pub(crate) fn request(reply: &Reply) -> String {
    let (Message::Notice(report) | Message::Error(report)) = reply.message() else { panic!("{reply:?} names none") };
    let hint = String::from_utf8_lossy(report.get(field::HINT).expect("a hint")).into_owned();
    hint.strip_prefix("request ").expect("the request's id").to_owned()
}

pub(crate) fn post(world: &World, path: &str, body: &str) -> String {
    admin(world, "POST", path, body)
}

/// Asks the admin API something as the owner, and answers all that it says.
pub(crate) fn admin(world: &World, method: &str, path: &str, body: &str) -> String {
    ask(world.admin, &world.token(OWNER), method, path, body)
}

/// The same of any admin API, as whoever holds the token.
pub(crate) fn ask(host: SocketAddr, token: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}",
        length = body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn body(world: &World) -> String {
    world.direct().value("SELECT string_agg(body, ',') FROM notes").unwrap()
}

#[test]
fn an_approval_is_for_the_policies_that_asked() {
    let world = world();
    let mut session = world.session(CLERK);
    approved(&world, &mut session, ALL, "new");
    world.reconfigure("allow_unsigned = true\n", "allow_unsigned = true\nroles = [\"clerk\"]\n").expect("reloads");
    let executed = Script::default().execute("p", 0).sync().play(&mut session).unwrap();
    assert_eq!(tags(&executed), "2EZ");
    assert_eq!(executed[1].sqlstate().as_deref(), Some("42501"));
    assert!(executed[1].text().unwrap().contains("the policies changed"), "{:?}", executed[1].text());
    assert_eq!(body(&world), "old");
    assert_eq!(outcomes(&world, ALL), [Some("42501".to_owned())]);
}

#[test]
fn an_approval_that_is_used_has_an_outcome_and_so_has_one_that_is_not() {
    let world = world();
    let mut session = world.session(CLERK);
    approved(&world, &mut session, ALL, "new");
    let executed = Script::default().execute("p", 0).sync().play(&mut session).unwrap();
    assert_eq!((tags(&executed).as_str(), body(&world).as_str()), ("2CZ", "new"));
    assert_eq!(outcomes(&world, ALL), [None]);

    approved(&world, &mut session, ALL, "closed");
    let closed = Script::default().close_portal("p").sync().play(&mut session).unwrap();
    assert_eq!(tags(&closed), "23Z");
    approved(&world, &mut session, ALL, "over");
    let over = Script::default().sync().play(&mut session).unwrap();
    assert_eq!(tags(&over), "2Z");
    approved(&world, &mut session, "UPDATE notes SET id = $1", "no number");
    let refused = Script::default().execute("p", 0).sync().play(&mut session).unwrap();
    assert_eq!((tags(&refused).as_str(), refused[0].sqlstate().as_deref()), ("EZ", Some("22P02")));
    approved(&world, &mut session, ALL, "gone");
    session.finish();
    session.until_closed().unwrap();

    assert_eq!(body(&world), "new");
    let all = outcomes(&world, ALL);
    assert_eq!((all.len(), all.iter().filter(|code| code.is_none()).count()), (4, 1), "{all:?}");
    assert_eq!(outcomes(&world, "UPDATE notes SET id = $1").len(), 1);
}

/// The SQLSTATEs of its outcomes, in the order of the decisions; each decision must have one.
pub(crate) fn outcomes(world: &World, sql: &str) -> Vec<Option<String>> {
    recorded(world).into_iter().filter(|(text, ..)| text == sql).map(|(_, _, code, _)| code).collect()
}
