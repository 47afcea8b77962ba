//! Promotions by people: who may, what is written down, and what stays when something is wrong.

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use grille_config::Lock;
use grille_demo::issuer::Issuer;
use grille_ledger::By;
use grille_policy::Mode;
use serde_json::Value;

use crate::check::component;
use crate::place::{PHI, Place, Served};

/// A gateway with an issuer: `dba` is an operator there, `reviewer` an owner.
struct World {
    place: Place,
    issuer: Issuer,
}

impl World {
    async fn new() -> Self {
        let (place, issuer) = (Place::new(), Issuer::start().await.unwrap());
        let config = place
            .config(PHI)
            .replace("http://127.0.0.1:1", issuer.url())
            .replace("audience = \"grille\"", "audience = \"grille-demo\"")
            + "[admin]\naddress = \"127.0.0.1:0\"\noperators = [\"dbas\"]\nowners = [\"ops\"]\n";
        place.write(&config);
        Self { place, issuer }
    }

    fn serve(&self) -> Served<'_> {
        let mut served = self.place.serve_with(&["--permit-demo-issuer"]);
        served.wait_for("admin API is ready on ");
        served
    }

    fn admin(&self) -> String {
        let log = self.place.log();
        format!("http://{}", log.split("admin API is ready on ").nth(1).unwrap().lines().next().unwrap())
    }

    fn run(&self, who: &str, words: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grille"));
        command.args(words).env_clear().env("GRILLE_ADMIN", self.admin());
        command.env("GRILLE_TOKEN", self.issuer.token(who).unwrap());
        // Somebody else's turn: the issuer answers on this runtime.
        let Output { status, stdout, stderr } = tokio::task::block_in_place(|| command.output().unwrap());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }

    /// What must work; how long it took.
    fn done(&self, who: &str, words: &[&str]) -> (String, Duration) {
        let began = SystemTime::now();
        let (code, stdout, stderr) = self.run(who, words);
        assert_eq!((code, &*stderr), (Some(0), ""), "{words:?}: {stdout}");
        (stdout, began.elapsed().unwrap())
    }

    fn no(&self, who: &str, words: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(who, words);
        assert_eq!((code, &*stdout), (Some(1), ""), "{words:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "one line says why: {stderr}");
        stderr
    }

    fn phi(&self) -> Value {
        let status = self.done("dba", &["policy", "status", "--format", "json"]).0;
        serde_json::from_str::<Value>(&status).unwrap()["policies"][0].clone()
    }

    fn lock(&self) -> Option<String> {
        fs::read_to_string(self.place.path("grille.lock")).ok()
    }
}

/// As people read it.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_pinned_waits_is_promoted_and_rolled_back() {
    let world = World::new().await;
    let served = world.serve();
    let old = world.phi()["digest"].as_str().unwrap().to_owned();
    let (said, _) = world.done("dba", &["policy", "promote", "phi"]);
    assert!(said.contains("which it runs already"), "{said}");
    assert!(world.no("dba", &["policy", "rollback", "phi"]).contains("nothing to go back to"));

    let mut served = served;
    world.place.install(&component("demo/phi-next.wasm"), "phi.wasm");
    served.wait_for("policy \"phi\": new digest waiting");
    let phi = world.phi();
    assert_eq!((&phi["state"], &phi["digest"]), (&Value::from("new digest waiting"), &Value::from(&*old)));
    let new = phi["waiting"].as_str().unwrap().to_owned();
    let (said, took) = world.done("dba", &["policy", "promote", "phi"]);
    println!("promoted in {} ms", took.as_millis());
    assert!(said.starts_with(&format!("policy phi runs {} (enforce); policy epoch 2", short(&new))), "{said}");
    assert_eq!(world.phi()["digest"], *new);

    // What the file no longer holds comes from the ledger.
    fs::write(world.place.path("phi.wasm"), "overwritten").unwrap();
    let (said, took) = world.done("dba", &["policy", "rollback", "phi"]);
    println!("rolled back in {} ms", took.as_millis());
    assert!(said.starts_with(&format!("policy phi runs {} (enforce); policy epoch 3", short(&old))), "{said}");
    let (said, _) = world.done("dba", &["policy", "promote", "phi", "--digest", short(&new)]);
    assert!(said.contains("policy epoch 4"), "{said}");
    world.done("dba", &["policy", "rollback", "phi"]);
    assert!(served.stop().success(), "{}", world.place.log());

    let served = world.serve();
    assert_eq!(world.phi()["digest"], *old, "what was chosen outlives the gateway");
    assert_eq!(world.phi()["version"], "0.1.0");
    assert!(served.stop().success());
    let changes = world.place.changes();
    let by_person = changes.iter().filter(|change| matches!(&change.by, By::Subject(by) if &*by.sub == "dba"));
    let told: Vec<_> = by_person.map(|change| (change.epoch.0, change.policies["phi"].plugin.to_string())).collect();
    assert_eq!(told, [(2, new.clone()), (3, old.clone()), (4, new), (5, old)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn weakening_takes_an_owner() {
    let world = World::new().await;
    let served = world.serve();
    let why = world.no("dba", &["policy", "promote", "phi", "--mode", "monitor"]);
    assert!(why.contains("policy \"phi\" only monitors") && why.contains("ops ([admin] owners)"), "{why}");
    assert_eq!(world.lock(), None, "nothing was written");
    let (said, _) = world.done("reviewer", &["policy", "promote", "phi", "--mode", "monitor"]);
    assert!(said.ends_with("weaker: policy \"phi\" only monitors\n"), "{said}");
    assert_eq!(world.phi()["mode"], "monitor");
    let lock = Lock::parse(&world.lock().unwrap()).unwrap().policies["phi"];
    assert_eq!((lock.mode, lock.previous.unwrap().mode), (Some(Mode::Monitor), None));
    world.done("dba", &["policy", "promote", "phi", "--mode", "enforce"]);
    let why = world.no("dba", &["policy", "rollback", "phi"]);
    assert!(why.contains("only monitors"), "the way back weakens, too: {why}");
    // Nobody weakens by a component that judges less, either.
    world.place.install(&component("sql-guard.wasm"), "phi.wasm");
    let why = world.no("analyst", &["policy", "promote", "phi"]);
    assert!(why.contains("dbas, ops ([admin] operators, [admin] owners)"), "{why}");
    assert!(served.stop().success());
    let changes = world.place.changes();
    let told: Vec<_> = changes.iter().map(|change| (change.epoch.0, change.weakening.len())).collect();
    assert_eq!(told, [(1, 0), (2, 1), (3, 0)]);
    assert!(matches!(&changes[1].by, By::Subject(by) if &*by.sub == "reviewer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_load_changes_nothing() {
    let world = World::new().await;
    let mut served = world.serve();
    world.done("dba", &["policy", "promote", "phi"]);
    let (lock, before) = (world.lock(), world.phi()["digest"].clone());
    let phi = fs::read(component("phi.wasm")).unwrap();
    for (bytes, says) in [
        (&phi[..phi.len() / 2], "the file is damaged or not complete"),
        (b"#!/bin/sh", "the file is not WebAssembly"),
        (&fs::read(component("sql-guard.wasm")).unwrap()[..], "settings"),
    ] {
        fs::write(world.place.path("new.wasm"), bytes).unwrap();
        fs::rename(world.place.path("new.wasm"), world.place.path("phi.wasm")).unwrap();
        let why = world.no("dba", &["policy", "promote", "phi"]);
        assert!(why.contains(says), "{says}: {why}");
        assert_eq!((world.lock(), &world.phi()["digest"]), (lock.clone(), &before));
    }
    assert!(
        world.no("dba", &["policy", "promote", "phi", "--digest", "0123456789"]).contains("no component 0123456789")
    );
    assert!(world.no("dba", &["policy", "promote", "ph"]).contains("did you mean `phi`?"));
    for words in [&["--digest", "xyz"][..], &["--mode", "enforce", "--digest", "0123456789"], &["--mode", "off"]] {
        let words = [&["policy", "promote", "phi"], words].concat();
        assert_eq!(world.run("dba", &words).0, Some(2), "{words:?}");
    }
    // A configuration that is broken meanwhile keeps nobody from going back.
    world.place.install(&component("demo/phi-next.wasm"), "phi.wasm");
    world.done("dba", &["policy", "promote", "phi"]);
    world.place.write("version = 1\n[[[");
    served.wait_for("this is no TOML");
    world.done("dba", &["policy", "rollback", "phi"]);
    assert_eq!(world.phi()["digest"], before);
    assert!(served.stop().success());
    let changes = world.place.changes();
    let refused = changes.iter().filter(|change| change.refused.is_some() && matches!(change.by, By::Subject(_)));
    assert_eq!(refused.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_and_the_figures_are_seen() {
    let world = World::new().await;
    let mut served = world.serve();
    fs::remove_file(world.place.path("phi.wasm")).unwrap();
    served.wait_for("phi.wasm cannot be read");
    assert_eq!(world.phi()["state"], "missing");
    let (text, _) = world.done("dba", &["policy", "status"]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.contains("phi  enforce, missing\n"), "{text}");
    let http = reqwest::Client::new();
    let ask = async |who: &str| {
        let token = world.issuer.token(who).unwrap();
        http.get(format!("{}/metrics", world.admin())).bearer_auth(token).send().await.unwrap()
    };
    assert_eq!(ask("analyst").await.status(), 403);
    let text = ask("dba").await.text().await.unwrap();
    for line in ["grille_policy_epoch 1", "grille_reload_ok 0", "grille_policy_epoch_sessions{epoch=\"1\"} 0"] {
        assert!(text.lines().any(|known| known == line), "{line}: {text}");
    }
    assert!(text.contains("grille_policy_calls_total{policy=\"phi\",plugin=\"phi\",version=\"0.1.0\","), "{text}");
    assert!(served.stop().success());
}
