use std::fs;

use grille_author::Listing;
use grille_plugin::{Artifact, CaseFile, cases_schema};

use crate::support::{component, failed, host, play, repository};

#[tokio::test]
async fn the_first_party_plugins_keep_their_promises() {
    for name in ["phi", "sql-guard"] {
        let results = play(&component(name)).await;
        assert!(results.len() >= 12 && failed(&results).is_empty(), "{name}: {:?}", failed(&results));
    }
}

#[tokio::test]
async fn a_listing_names_facts_claims_and_grants() {
    let bytes = fs::read(component("sql-guard")).expect("read");
    let listing = Listing::new(Artifact::read(&bytes).expect("a component"), bytes.len());
    assert_eq!((listing.name.as_deref(), listing.hooks.as_slice()), (Some("sql-guard"), &["sql"][..]));
    assert!(listing.imports.contains(&"sql-data".to_owned()) && listing.stand_ins.is_empty());
    assert!(listing.stateless && listing.wanted.is_empty() && listing.granted.is_none());
    assert_eq!(listing.settings, ["profile"]);
    let staged = host().stage(&component("sql-guard")).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(staged.fresh_memory().await.expect("it starts") >= 64 << 10);
}

/// Every key of the format stands in the committed schema, which editors read.
#[test]
fn the_schema_of_cases_is_committed() {
    let path = repository().join("sdk/cases.schema.json");
    let schema = format!("{}\n", serde_json::to_string_pretty(&cases_schema()).expect("JSON"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &schema).expect("write");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == schema, "{} is old: run the test once with UPDATE_EXPECT=1", path.display());
}

#[test]
fn files_of_cases_are_read_strictly() {
    let case = |rest: &str| format!("[{{ \"name\": \"n\", {rest} \"expect\": {{}} }}]");
    assert!(CaseFile::parse(&case("\"open\": {},")).is_ok());
    for (text, expected) in [
        (case(""), "it asks nothing"),
        (case("\"open\": {}, \"columns\": [],"), "more than one thing"),
        (case("\"opne\": {},"), "unknown field `opne`"),
        (case("\"open\": {\"roles\": []},"), "`open` takes no keys"),
        (case("\"statement\": {\"text\": \"SELECT 1\"},"), "unknown field `text`, expected one of `sql`"),
        ("{\"cases\": [], \"case\": []}".to_owned(), "unknown field `case`"),
        ("[{\"name\": \"n\", \"open\": {}}]".to_owned(), "missing field `expect`"),
        ("nothing".to_owned(), "it is no file of cases"),
        (
            "[{\"name\": \"n\", \"open\": {}, \"expect\": {}}, {\"name\": \"n\", \"open\": {}, \"expect\": {}}]"
                .to_owned(),
            "two cases are called",
        ),
    ] {
        let said = CaseFile::parse(&text).expect_err("it is wrong");
        assert!(said.contains(expected) && !said.contains('\n'), "{said}");
    }
}
