//! The ledger's archive in a bucket with Object Lock: what is there cannot be deleted, and what happens while the store is
//! away. Another implementation of S3 stands in for the store, and its own client looks.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use grille_archive::{Access, Archive, ArchiveError, Lock, LockMode};
use grille_test_support::{OWNER, Raw, World, free_address, program, python};
use tokio::time::Instant;

use crate::approvals::{admin, post};

const PATIENCE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// A store with a bucket `evidence`. Dropping it stops it; what was in it is gone then.
struct Store {
    address: SocketAddr,
    child: Child,
}

impl Store {
    fn start() -> Self {
        let address = free_address().unwrap();
        let mut store = Self { address, child: serve(address) };
        store.wait();
        store.python(
            "s3.create_bucket(Bucket='evidence', ObjectLockEnabledForBucket=True)\n\
             s3.put_bucket_versioning(Bucket='evidence', VersioningConfiguration={'Status': 'Enabled'})",
        );
        store
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "is moto installed? `cargo xtask test` installs it");
            sleep(Duration::from_millis(50));
        }
    }

    /// Holds the store's process still: connections open and nothing answers.
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Runs a script of the store's own client, `s3`; what it prints.
    fn python(&self, script: &str) -> String {
        let client = format!(
            "import boto3\ns3 = boto3.client('s3', endpoint_url='http://{}', region_name='us-east-1',\n\
             aws_access_key_id='key', aws_secret_access_key='secret')\n{script}",
            self.address
        );
        let output = Command::new(python()).args(["-c", &client]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn archive(&self, mode: LockMode) -> Archive {
        let access = Access {
            endpoint: Some(format!("http://{}", self.address)),
            region: "us-east-1".to_owned(),
            key_id: "key".to_owned(),
            secret_key: "secret".to_owned(),
        };
        let lock = Some(Lock { mode, retention: 6 * YEAR });
        Archive::bucket("evidence", "grille/prod", &access, lock).unwrap()
    }
}

fn serve(address: SocketAddr) -> Child {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut server = Command::new(python());
    server.args(["-m", "moto.server", "-H", &host, "-p", &port]).stdout(Stdio::null()).stderr(Stdio::null());
    server.spawn().expect("the tests' Python")
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_written_once_locked_and_held() {
    let store = Store::start();
    let archive = store.archive(LockMode::Compliance);
    let bytes = Bytes::from(vec![7; 300_000]);
    archive.put("node/wal/0", bytes.clone(), false).await.unwrap();
    archive.put("node/wal/0", bytes.clone(), false).await.unwrap();
    let other = archive.put("node/wal/0", Bytes::from_static(b"something else"), false).await;
    assert!(matches!(other, Err(ArchiveError::Conflict { .. })), "{other:?}");
    assert_eq!(archive.get("node/wal/0").await.unwrap(), Some(bytes));
    assert_eq!(archive.get("node/wal/1").await.unwrap(), None);
    let said = store.python(
        "r = s3.head_object(Bucket='evidence', Key='grille/prod/node/wal/0')\n\
         print(r['ObjectLockMode'], r['ObjectLockRetainUntilDate'].year)\n\
         v = s3.list_object_versions(Bucket='evidence')['Versions']\n\
         print(len(v))\n\
         try:\n  s3.delete_object(Bucket='evidence', Key='grille/prod/node/wal/0', VersionId=v[0]['VersionId'])\n\
         except Exception as e: print('refused', e.response['Error']['Code'])",
    );
    let lines: Vec<_> = said.lines().collect();
    let year = 1970 + (std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() + 6 * YEAR).as_secs() / 31_556_952;
    assert_eq!(lines, [&format!("COMPLIANCE {year}"), "1", "refused AccessDenied"], "{said}");

    // A legal hold from the beginning, and one that comes and goes.
    let governed = store.archive(LockMode::Governance);
    governed.put("node/wal/1", Bytes::from_static(b"held"), true).await.unwrap();
    let held = |name: &str| {
        store.python(&format!(
            "print(s3.get_object_legal_hold(Bucket='evidence', Key='grille/prod/{name}')['LegalHold']['Status'])"
        ))
    };
    assert_eq!(held("node/wal/1"), "ON");
    governed.hold("node/wal/1", false).await.unwrap();
    assert_eq!(held("node/wal/1"), "OFF");
    archive.hold("node/wal/0", true).await.unwrap();
    assert_eq!(held("node/wal/0"), "ON");
    assert!(archive.hold("node/wal/none", true).await.is_err());
}

/// A gateway whose ledger goes into the store; `more` stands in `[ledger.archive]`.
fn gateway(store: &Store, more: &str) -> World {
    let world = World::with("");
    let keys = tempfile::tempdir().unwrap().keep();
    for (name, text) in [("id", "key"), ("secret", "secret")] {
        std::fs::write(keys.join(name), text).unwrap();
    }
    let archive = format!(
        "[ledger]\nsegments = \"s3://evidence/prod\"\narchive = {{ endpoint = \"http://{}\", \
         key_id = {{ file = {:?} }}, secret_key = {{ file = {:?} }}{more} }}\n",
        store.address,
        keys.join("id"),
        keys.join("secret")
    );
    world.edit(|text| {
        text.replace("[ledger]\n", &archive)
            .replace("[admin]\n", "[admin]\noperators = [\"dbas\"]\nauditors = [\"dbas\"]\n")
    });
    world.restart(&[]);
    world
}

#[test]
fn a_gateway_anchors_its_ledger_and_says_how_far() {
    let store = Store::start();
    let world = gateway(&store, "");
    let answer = world.session(OWNER).value("SELECT 1").unwrap();
    assert_eq!(answer, "1");
    let deadline = Instant::now() + PATIENCE;
    let kept = "print('\\n'.join(o['Key'] for o in s3.list_objects_v2(Bucket='evidence').get('Contents', [])))";
    while !store.python(kept).contains("/checkpoint/0000") {
        assert!(Instant::now() < deadline, "{}\n{}", store.python(kept), world.said());
        sleep(Duration::from_millis(200));
    }
    let names = store.python(kept);
    assert!(names.lines().all(|name| name.starts_with("prod/grille/")) && names.contains("/writer"), "{names}");
    assert!(!names.contains("keys"), "{names}");
    let metrics = admin(&world, "GET", "/metrics", "");
    for name in [
        "grille_ledger_unsigned_tail ",
        "grille_ledger_unsigned_tail_seconds ",
        "grille_ledger_unanchored_tail ",
        "grille_ledger_unanchored_tail_seconds ",
        "grille_ledger_archive_reachable 1",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    assert!(!metrics.contains("unwitnessed"), "no witness has signed it: {metrics}");
}

#[test]
fn a_store_that_is_away_stops_nothing_until_the_cap() {
    let store = Store::start();
    let world = gateway(&store, ", queue = \"128MiB\"");
    let mut session = world.session(OWNER);
    store.signal("-STOP");
    // Each statement is kept whole, and nothing of it compresses: a few of them are more than the cap.
    let mut state = 1u64;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
    });
    let text: String = letters.take(14 << 20).collect();
    let deadline = Instant::now() + 2 * PATIENCE;
    let refused = loop {
        let answer = session.query(&format!("SELECT length('{text}')")).unwrap();
        if let Some(error) = answer.iter().find(|reply| reply.tag == b'E') {
            break error.sqlstate();
        }
        assert!(Instant::now() < deadline, "{}", world.said());
    };
    assert_eq!(refused.as_deref(), Some("53100"));
    let login = || Raw::login(world.address, "owner", "work", &world.token(OWNER));
    assert!(login().is_err(), "nor does a new session begin");
    assert!(world.said().contains("wait for the archive"), "{}", world.said());
    store.signal("-CONT");
    let deadline = Instant::now() + 2 * PATIENCE;
    while login().and_then(|mut session| session.value("SELECT 2")).is_err() {
        assert!(Instant::now() < deadline, "{}", world.said());
        sleep(Duration::from_millis(200));
    }
    assert!(world.said().contains("the ledger goes on"), "{}", world.said());

    // What is there already is put under a legal hold, too.
    let wish = r#"{"subject":"dba","is_held":true,"reason":"case 4711"}"#;
    let held = post(&world, "/v1/ledger/holds", wish);
    assert!(held.starts_with("HTTP/1.1 200"), "{held}");
    let first = "k = [o['Key'] for o in s3.list_objects_v2(Bucket='evidence')['Contents'] if o['Key'].endswith('.wal')][0]\n\
                 print(s3.head_object(Bucket='evidence', Key=k).get('ObjectLockLegalHoldStatus'))";
    while store.python(first) != "ON" {
        assert!(Instant::now() < deadline, "{}", world.said());
        sleep(Duration::from_millis(500));
    }

    // What is there verifies by itself, each record of it.
    let verify = |more: &[&Path]| {
        let mut verify = Command::new(program().unwrap());
        verify.args(["ledger", "verify", "--archive", "--format", "json", "-c"]).arg(world.config()).args(more);
        let output = verify.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = verify(&[]);
    let (is_ok, is_ours) = (said.contains("\"ok\": true"), said.contains("\"key\": \"configured\""));
    let all = said.contains("\"unsigned\": 0,") && !said.contains("\"records\": 0");
    assert!(code == Some(0) && is_ok && is_ours && all, "{said}");
    let proof = "k = [o['Key'] for o in s3.list_objects_v2(Bucket='evidence')['Contents'] if '.checkpoint' in o['Key']][0]\n\
                 r = s3.head_object(Bucket='evidence', Key=k)\n\
                 print(r['ObjectLockMode'], r.get('ObjectLockLegalHoldStatus'))";
    assert_eq!(store.python(proof), "COMPLIANCE ON", "a segment's note is kept and held like the segment");
    // The node's own note is further than what it has given away.
    let published = world.ledger().0.join("checkpoint");
    let (code, said) = verify(&["--checkpoint".as_ref(), &published]);
    assert!(code == Some(1) && said.contains("\"truncated\"") && said.contains("more were signed"), "{said}");
}
