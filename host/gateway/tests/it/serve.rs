//! `grille serve` as a process: what it makes, what it follows, what it refuses, how it stops.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use grille_net::{ClientTls, ClientTlsMode, dial};

use crate::check::repository;
use crate::place::{PATIENCE, PHI, Place};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_keys_and_later_ones_want_them_back() {
    let place = Place::new();
    assert!(place.serve().stop().success(), "{}", place.log());
    for key in ["var/mask.key", "var/ledger.key", "var/seal.key"] {
        assert_eq!(mode(&place.path(key)), 0o600, "{key}");
        assert!(place.log().contains(&format!("made a new key at {}", place.path(key).display())), "{}", place.log());
    }
    let key = fs::read(place.path("var/ledger.key")).unwrap();
    assert!(place.serve().stop().success(), "{}", place.log());
    assert_eq!(fs::read(place.path("var/ledger.key")).unwrap(), key);
    fs::remove_file(place.path("var/mask.key")).unwrap();
    let said = place.refuses();
    assert!(said.contains("masking.key") && said.contains("mask.key cannot be read"), "{said}");
    assert!(!place.path("var/mask.key").exists());
}

#[test]
fn what_makes_no_gateway_is_refused_at_start() {
    let place = Place::new();
    let good = place.config(PHI);
    for (config, says) in [
        (good.replace("\"grille\"", "\"grille-demo\""), "only `grille demo` may use"),
        (good.replace("phi.wasm", "gone.wasm"), "gone.wasm cannot be read"),
        (good.replace("safe-harbor", "unsafe-harbor"), "policies.phi.settings"),
        (good.replace("allow_unsigned = true", ""), "nothing says which component"),
        (
            good.replace(
                "\"postgres\", address = \"127.0.0.1:0\"",
                "\"postgres\", auth = \"oauthbearer\", issuer = \"nobody\", address = \"127.0.0.1:0\"",
            ),
            "there is no issuer `nobody`",
        ),
        (good.replace("version = 1", "version = 1\nnonsense = 2"), "grille.toml:2:1 nonsense"),
    ] {
        place.write(&config);
        let said = place.refuses();
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[test]
fn edits_come_into_force_or_change_nothing_and_the_ledger_knows() {
    let place = Place::new();
    let good = place.config(PHI);
    let mut served = place.serve();
    place.write(&good.replace("profile = \"safe-harbor\"", "profile = \"safe-harbor\", inference = \"refuse\""));
    served.wait_for("policy epoch 2");

    place.write("version = 1\n[[[");
    served.wait_for("this is no TOML");
    place.write(&good.replace("phi.wasm", "gone.wasm"));
    served.wait_for("gone.wasm cannot be read");
    fs::remove_file(place.path("phi.wasm")).unwrap();
    place.write(&good);
    served.wait_for("phi.wasm cannot be read");
    fs::copy(repository().join("target/components/phi.wasm"), place.path("phi.wasm")).unwrap();
    served.wait_for("weaker: policy \"phi\" guards masked sessions less strictly");
    place.write(&place.config(""));
    served.wait_for("weaker: policy \"phi\" is gone");
    place.write(&good.replace("127.0.0.1:0", "127.0.0.1:6"));
    served.wait_for("[listeners] takes effect at the next start");
    assert!(served.stop().success(), "{}", place.log());

    let changes = place.changes();
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.epoch.0, change.policies.len(), change.refused.is_some(), change.weakening.len()))
        .collect();
    assert_eq!(
        told,
        [
            (1, 1, false, 0),
            (2, 1, false, 0),
            (2, 1, true, 0),
            (2, 1, true, 0),
            (2, 1, true, 0),
            (3, 1, false, 1),
            (4, 0, false, 1),
            (5, 1, false, 0)
        ],
        "{}",
        place.log()
    );
    let component = changes[0].policies["phi"].plugin;
    assert!(place.path(&format!("var/ledger/plugins/{component}.wasm")).exists());
}

#[tokio::test]
async fn new_certificates_are_shown_without_a_restart() {
    let place = Place::new();
    let issue = || {
        let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = rcgen::CertifiedIssuer::self_signed(root, rcgen::KeyPair::generate().unwrap()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &root).unwrap();
        fs::write(place.path("root.pem"), root.pem()).unwrap();
        fs::write(place.path("cert.pem"), leaf.pem()).unwrap();
        fs::write(place.path("key.pem"), key.serialize_pem()).unwrap();
    };
    issue();
    let tls = r#"address = "127.0.0.1:0", tls = { cert = "cert.pem", key = { file = "key.pem" } }"#;
    place.write(&place.config(PHI).replace(r#"address = "127.0.0.1:0""#, tls));
    let _served = place.serve();
    let log = place.log();
    let address = log.split("listener pg is ready on ").nth(1).unwrap().split(' ').next().unwrap();
    let greets = async || {
        let client =
            ClientTls::new(ClientTlsMode::VerifyFull, Some(&place.path("root.pem")), None, &[b"postgresql"]).unwrap();
        let stream = dial(address, PATIENCE).await.unwrap();
        client.connect(stream, "127.0.0.1").await.is_ok()
    };
    assert!(greets().await);
    issue();
    let deadline = SystemTime::now() + PATIENCE;
    while !greets().await {
        assert!(SystemTime::now() < deadline, "{}", place.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_signal_reloads_and_untouched_files_change_nothing() {
    let place = Place::new();
    let mut served = place.serve();
    fs::write(place.path("grille.toml"), place.config(PHI)).unwrap();
    served.signal("HUP");
    sleep(Duration::from_millis(500));
    fs::write(place.path("grille.toml"), "").unwrap();
    served.signal("HUP");
    served.wait_for("reload refused");
    place.write(&place.config(PHI));
    served.wait_for("the files agree again with what is in force");
    assert!(served.stop().success(), "{}", place.log());
    assert_eq!(place.changes().iter().filter(|change| change.refused.is_none()).count(), 1);
}
