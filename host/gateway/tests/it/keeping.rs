//! Legal holds and the end of contents, by the commands.

use crate::house::House;

#[tokio::test]
async fn a_session_is_held_let_go_and_shredded_by_an_auditor() {
    let house = House::open().await;
    let id = house.record_session();
    let run = async |token: &str, words: &[&str]| house.run(token, words).await;
    let hold = ["ledger", "hold", "add", "--session", &id, "--reason", "case 4711"];
    let shred = ["ledger", "shred", "--session", &id, "--reason", "the case is settled"];
    for words in [&hold[..], &shred] {
        let refused = run("ann", words).await;
        assert_eq!(refused.code, 1, "{words:?} takes the auditor right: {}{}", refused.stdout, refused.stderr);
    }
    assert_eq!(run("audra", &hold[..5]).await.code, 2, "a hold takes a reason");
    let held = run("audra", &hold).await;
    assert_eq!((held.code, &*held.stdout), (0, "the legal hold is in force; 1 in force\n"), "{}", held.stderr);
    assert_eq!(run("audra", &["ledger", "hold", "add", "--subject", "bob", "--reason", "case 4712"]).await.code, 0);
    let listed = run("audra", &["ledger", "hold", "list"]).await.stdout;
    assert!(listed.contains(&id) && listed.contains("case 4711") && listed.contains("all of bob"), "{listed}");

    let refused = run("audra", &shred).await;
    assert!(refused.code == 1 && refused.stderr.contains("is under a legal hold (case 4711)"), "{}", refused.stderr);
    assert_eq!(run("audra", &["session", "replay", &id, "--speed", "1000"]).await.code, 0);
    let lifted = run("audra", &["ledger", "hold", "remove", "--session", &id, "--reason", "closed"]).await;
    assert_eq!(lifted.code, 0, "{}", lifted.stderr);
    let shown = run("audra", &["session", "show", &id]).await.stdout;
    assert!(shown.contains("2196 days (ledger), until 20"), "{shown}");
    let refused = run("audra", &shred).await;
    assert!(refused.code == 1 && refused.stderr.contains(&format!("session {id} is kept until 20")), "{refused:?}");
    assert!(
        refused.stderr.contains(", 2196 days (ledger) from its end on: `--early` destroys it before"),
        "{refused:?}"
    );
    assert_eq!(run("audra", &["session", "replay", &id, "--speed", "1000"]).await.code, 0);
    let done = run("audra", &[&shred[..], &["--early"]].concat()).await;
    assert_eq!(
        (done.code, done.stdout),
        (0, format!("the contents of session {id} are destroyed\n")),
        "{}",
        done.stderr
    );

    for words in [["session", "replay"], ["session", "show"]] {
        let gone = run("audra", &[&words[..], &[&id]].concat()).await;
        let said = format!("session {id} was shredded by ");
        assert!(gone.code == 1 && gone.stderr.contains(&said), "{}", gone.stderr);
        let told = ", before the end of its 2196 days (ledger): the case is settled";
        assert!(gone.stderr.contains("audra") && gone.stderr.contains(told), "{}", gone.stderr);
    }
    assert_eq!(house.acts().iter().filter(|act| act.contains("ledger.shred")).count(), 3, "{:?}", house.acts());
}
