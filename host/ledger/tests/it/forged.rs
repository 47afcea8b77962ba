//! What the holder of the log's own key writes: every checksum, chain link, tile and signature fits, and it is named all
//! the same; what fits entirely is caught by whoever kept a checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grille_ledger::{
    Damage, DamageKind, ExportOptions, Ledger, LedgerConfig, Reader, SessionQuery, SigningKey, TrustPolicy,
    VerifyOptions, VerifyReport, Witness, WitnessAnswer, verify, witness_request,
};
use serde_json::Value;

use crate::damage::{copy_dir, refit};
use crate::scene::{Files, Scene, take_apart};
use crate::support::{Keys, write_sessions};

/// A log taken apart: sealed contents and leaves.
struct Frames(Vec<(Vec<u8>, Value)>);

impl Frames {
    fn read(dir: &Path) -> Self {
        let bytes = fs::read(dir.join("wal/00000000.wal")).unwrap();
        let (mut at, mut frames) = (64, Vec::new());
        while at < bytes.len() {
            let word = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap()) as usize;
            let (end, leaf) = (at + 16 + word(at), word(at + 4));
            let leaf: Value = serde_json::from_slice(&bytes[end - leaf..end]).unwrap();
            let sealed = leaf["len"].as_u64().unwrap();
            frames.push((bytes[at + 16..at + 16 + usize::try_from(sealed).unwrap()].to_vec(), leaf));
            at = end;
        }
        Self(frames)
    }

    /// The first record of a kind in a session, by its index.
    fn find(&self, session: Option<&str>, kind: &str) -> usize {
        let is_it = |leaf: &Value| leaf["kind"] == kind && session.is_none_or(|session| leaf["sid"] == session);
        self.0.iter().position(|(_, leaf)| is_it(leaf)).unwrap()
    }

    /// Lays the log out anew, every link and place renewed, in a directory that knows no signature of it.
    fn write(&self, dir: &Path) {
        let mut wal = format!("{:63}\n", "grille-wal 1 segment 0 first 0").into_bytes();
        let mut last = std::collections::BTreeMap::<String, [u8; 32]>::new();
        for (sealed, leaf) in &self.0 {
            let mut leaf = leaf.clone();
            let sid = leaf["sid"].as_str().unwrap().to_owned();
            if let Some(hash) = last.get(&sid) {
                leaf["prev"] = URL_SAFE_NO_PAD.encode(hash).into();
            }
            leaf["place"] = format!("0:{}", wal.len()).into();
            let leaf = leaf.to_string();
            last.insert(sid, leaf_hash(leaf.as_bytes()));
            let body = [sealed, leaf.as_bytes()].concat();
            let mut frame = vec![0; 16];
            frame[..4].copy_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
            frame[4..8].copy_from_slice(&u32::try_from(leaf.len()).unwrap().to_le_bytes());
            frame.extend(body);
            refit(&mut frame);
            wal.extend(frame);
        }
        fs::create_dir_all(dir.join("wal")).unwrap();
        fs::write(dir.join("wal/00000000.wal"), wal).unwrap();
        for signed in ["tile", "checkpoint", "last_signed"] {
            let path = dir.join(signed);
            drop(fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)));
        }
    }
}

/// RFC 6962's leaf hash, worked out without the code under test.
fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    let input = [&[0], leaf].concat();
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &input).as_ref().try_into().unwrap()
}

struct Forgery {
    scene: Scene,
    /// Where the altered log lies, signed by the log's own key.
    dir: PathBuf,
}

impl Forgery {
    async fn make(change: impl FnOnce(&Scene, &mut Frames)) -> Self {
        let scene = Scene::begin().await;
        let dir = scene.dir.path().join("forged");
        copy_dir(&scene.ledger(), &dir);
        let mut frames = Frames::read(&dir);
        change(&scene, &mut frames);
        frames.write(&dir);
        scene.keys.open(&dir).shutdown().await.unwrap();
        Self { scene, dir }
    }

    fn verify(&self, options: &mut VerifyOptions<'_>) -> VerifyReport {
        options.key = Some(self.scene.keys.signing.verifier_key("grille/test").unwrap());
        verify(&self.dir, options).unwrap()
    }

    fn export(&self) -> Files {
        let reader = Reader::open(&self.dir, Some(self.scene.keys.seal.clone())).unwrap();
        let key = self.scene.keys.signing.verifier_key("grille/test").unwrap();
        let options = ExportOptions { signing_key: &self.scene.keys.signing, with_contents: false, by: "", at: 1 };
        let mut tar = Vec::new();
        let query = SessionQuery { sessions: self.scene.sessions.to_vec(), ..SessionQuery::default() };
        reader.select(&query, &key).unwrap().write(&options, &mut tar).unwrap();
        take_apart(&tar)
    }

    /// Directory and bundle name this record of the first session; the latter by both verifiers.
    #[track_caller]
    fn is_named(&self, kind: DamageKind, in_bundle: &str, index: usize) {
        let report = self.verify(&mut VerifyOptions::default());
        let VerifyReport::Damage(damage) = report else { panic!("{report:?}") };
        let leaf = Frames::read(&self.dir).0[index].1.clone();
        assert_eq!((damage.kind, damage.index), (kind, Some(index as u64)), "{damage:?}");
        assert_eq!(
            (damage.session.unwrap().to_string(), damage.time),
            (leaf["sid"].as_str().unwrap().to_owned(), leaf["log_time"].as_u64())
        );
        let Some((code, said)) = self.scene.judge(&self.export(), None) else { return };
        let first = &said["damage"][0];
        assert_eq!(
            (code, &first["kind"], &first["index"], &first["session"]),
            (1, &in_bundle.into(), &index.into(), &leaf["sid"]),
            "{said:#}"
        );
        assert!(first["time"].as_str().unwrap().starts_with("20"));
    }
}

fn first_session(scene: &Scene) -> String {
    scene.sessions[0].to_string()
}

#[tokio::test]
async fn a_log_that_was_laid_out_anew_and_not_altered_holds() {
    let forgery = Forgery::make(|_, _| {}).await;
    let report = forgery.verify(&mut VerifyOptions::default());
    assert!(matches!(report, VerifyReport::Ok(_)), "{report:?}");
    let Some((code, said)) = forgery.scene.judge(&forgery.export(), None) else { return };
    assert_eq!(code, 0, "{said:#}");
}

#[tokio::test]
async fn a_decision_under_a_wrong_policy_digest_is_named() {
    let mut index = 0;
    let forgery = Forgery::make(|scene, frames| {
        index = frames.find(Some(&first_session(scene)), "decision");
        frames.0[index].1["policy"] = URL_SAFE_NO_PAD.encode([7; 32]).into();
    })
    .await;
    forgery.is_named(DamageKind::Policy, "policy", index);
}

#[tokio::test]
async fn a_decision_by_a_policy_set_that_nobody_put_in_force_is_named() {
    let mut index = 0;
    let forgery = Forgery::make(|scene, frames| {
        index = frames.find(Some(&first_session(scene)), "outcome") + 1;
        while frames.0[index].1["kind"] != "decision" {
            index += 1;
        }
        frames.0[index].1["epoch"] = 9.into();
    })
    .await;
    forgery.is_named(DamageKind::Policy, "policy", index);
}

#[tokio::test]
async fn a_clock_that_was_rolled_back_is_named() {
    let mut index = 0;
    let forgery = Forgery::make(|scene, frames| {
        index = frames.find(Some(&first_session(scene)), "outcome");
        for (_, leaf) in &mut frames.0[index..] {
            leaf["log_time"] = (leaf["log_time"].as_u64().unwrap() - 3_600_000_000).into();
        }
    })
    .await;
    forgery.is_named(DamageKind::Clock, "clock", index);
}

#[tokio::test]
async fn a_session_that_skips_a_number_is_named() {
    let mut index = 0;
    let forgery = Forgery::make(|scene, frames| {
        index = frames.find(Some(&first_session(scene)), "outcome");
        frames.0.remove(index);
    })
    .await;
    forgery.is_named(DamageKind::Chain, "missing", index);
}

#[tokio::test]
async fn contents_that_were_sealed_again_are_named() {
    let mut index = 0;
    let scene = Scene::begin().await;
    let dir = scene.dir.path().join("forged");
    copy_dir(&scene.ledger(), &dir);
    let mut frames = Frames::read(&dir);
    index += frames.find(Some(&first_session(&scene)), "decision");
    let (other, _) = frames.0[index + 2].clone();
    let length = frames.0[index].0.len();
    frames.0[index].0 = other.into_iter().cycle().take(length).collect();
    frames.write(&dir);
    let VerifyReport::Damage(damage) = verify(&dir, &mut VerifyOptions::default()).unwrap() else { panic!() };
    assert_eq!(
        (damage.kind, damage.index, damage.session),
        (DamageKind::Contents, Some(index as u64), Some(scene.sessions[0])),
        "{damage:?}"
    );
}

#[tokio::test]
async fn a_leaf_of_another_log_is_named() {
    let other = tempfile::tempdir().unwrap();
    let config = LedgerConfig { origin: Some("grille/else".to_owned()), ..Keys::generate().config(other.path()) };
    let ledger = Ledger::open(config).unwrap();
    write_sessions(&ledger, 500..502, 2);
    ledger.shutdown().await.unwrap();
    let theirs = Frames::read(other.path()).0;
    let mut index = 0;
    let forgery = Forgery::make(|_, frames| {
        index = frames.find(None, "session.close") + 1;
        let session = theirs.iter().filter(|(_, leaf)| leaf["sid"] == theirs[1].1["sid"]).cloned();
        frames.0.splice(index..index, session);
    })
    .await;
    let VerifyReport::Damage(damage) = forgery.verify(&mut VerifyOptions::default()) else { panic!() };
    assert_eq!((damage.kind, damage.index), (DamageKind::ForeignLog, Some(index as u64)), "{damage:?}");
}

/// Nothing within the forged log tells: only what somebody else holds does.
#[tokio::test]
async fn a_rewritten_and_signed_log_is_told_by_a_checkpoint_that_was_kept() {
    let forgery = Forgery::make(|scene, frames| {
        let index = frames.find(Some(&first_session(scene)), "decision");
        frames.0[index].1["verdict"] = "block".into();
    })
    .await;
    let report = forgery.verify(&mut VerifyOptions::default());
    assert!(matches!(report, VerifyReport::Ok(_)), "{report:?}");
    let kept = forgery.scene.ledger().join("checkpoint");
    let report = forgery.verify(&mut VerifyOptions { known: vec![kept.clone()], ..VerifyOptions::default() });
    let VerifyReport::Damage(damage) = report else { panic!("{report:?}") };
    assert_eq!((damage.kind, &damage.file), (DamageKind::Fork, &kept), "{damage:?}");

    // A bundle of the true log with the forged one's checkpoint, and the other way round.
    let (ours, theirs) = (forgery.scene.export(&forgery.scene.both(), false), forgery.export());
    let mut mixed = ours.clone();
    mixed.insert("checkpoint".into(), theirs["checkpoint"].clone());
    let Some((code, said)) = forgery.scene.judge(&mixed, None) else { return };
    assert_eq!(code, 1, "{said:#}");
    let kinds: Vec<&str> = said["damage"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["file", "older-checkpoint"], "{said:#}");
    let mut set_back = theirs;
    set_back.insert("checkpoint".into(), ours["checkpoint"].clone());
    let (_, said) = forgery.scene.judge(&set_back, None).unwrap();
    assert_eq!(
        (&said["damage"][0]["kind"], &said["damage"][0]["index"]),
        (&"older-checkpoint".into(), &said["size"].as_u64().map_or(Value::Null, |_| peek(&ours).into())),
        "{said:#}"
    );
}

fn peek(files: &Files) -> u64 {
    let note = String::from_utf8(files["checkpoint"].clone()).unwrap();
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// Two witnesses of a log, and the policy that asks for both.
struct Watched {
    scene: Scene,
    witnesses: Vec<(Witness, tempfile::TempDir)>,
    policy: String,
}

impl Watched {
    async fn begin() -> Self {
        let scene = Scene::begin().await;
        let log = scene.keys.signing.verifier_key("grille/test").unwrap();
        let mut witnesses = Vec::new();
        let mut policy = format!("log {log}\n");
        for name in ["north", "south"] {
            let state = tempfile::tempdir().unwrap();
            let key = SigningKey::generate().unwrap();
            let witness =
                Witness::new(state.path(), &format!("witness.example/{name}"), key, vec![log.clone()]).unwrap();
            policy += &format!("witness {name} {} http://127.0.0.1:1\n", witness.verifier_key());
            witnesses.push((witness, state));
        }
        policy += "group both all north south\nquorum both\n";
        fs::write(scene.ledger().join("policy.txt"), &policy).unwrap();
        Self { scene, witnesses, policy }
    }

    /// Both sign what is published, and the log goes on.
    async fn cosign(&self) -> String {
        let dir = self.scene.ledger();
        let mut note = fs::read_to_string(dir.join("checkpoint")).unwrap();
        for (witness, _) in &self.witnesses {
            let request = witness_request(&dir, 0, &note).unwrap().unwrap();
            let WitnessAnswer::Cosigned(line) = witness.add_checkpoint(&request, 1_795_000_000).unwrap() else {
                panic!()
            };
            note += &line;
        }
        fs::write(dir.join("witnessed"), &note).unwrap();
        self.scene.keys.write_more(&dir, 300..303).await;
        note
    }

    fn verify(&self, dir: &Path) -> VerifyReport {
        let policy = TrustPolicy::parse(&self.policy).unwrap();
        verify(dir, &mut VerifyOptions { policy: Some(&policy), ..VerifyOptions::default() }).unwrap()
    }

    #[track_caller]
    fn damage(&self, dir: &Path) -> Damage {
        let VerifyReport::Damage(damage) = self.verify(dir) else { panic!("nothing was noticed") };
        damage
    }
}

#[tokio::test]
async fn a_removed_cosignature_is_named_with_the_quorum_that_lacks_it() {
    let watched = Watched::begin().await;
    let dir = watched.scene.ledger();
    let damage = watched.damage(&dir);
    assert_eq!(damage.kind, DamageKind::Cosignature);
    assert!(damage.detail.contains("group both takes 2 of 2 and has 0"), "{}", damage.detail);
    let note = watched.cosign().await;
    let VerifyReport::Ok(sound) = watched.verify(&dir) else { panic!() };
    let witnessed = sound.witnessed.unwrap();
    assert!(sound.is_key_trusted && witnessed.by == ["north", "south"] && witnessed.size < sound.signed);

    let without_south: String =
        note.lines().filter(|line| !line.contains("/south ")).map(|line| format!("{line}\n")).collect();
    fs::write(dir.join("witnessed"), &without_south).unwrap();
    let damage = watched.damage(&dir);
    assert_eq!((damage.kind, &damage.file), (DamageKind::Cosignature, &dir.join("witnessed")), "{damage:?}");
    assert!(damage.detail.contains("has 1: the signature of witness south is missing"), "{}", damage.detail);

    // In a bundle, by the policy that goes along and by the auditor's own.
    fs::write(dir.join("witnessed"), &note).unwrap();
    let files = watched.scene.export(&watched.scene.both(), false);
    let Some((code, said)) = watched.scene.judge(&files, None) else { return };
    assert_eq!((code, &said["witnessed"]), (0, &witnessed.size.into()), "{said:#}");
    for mend in [false, true] {
        let mut bare = files.clone();
        bare.insert("witnessed".into(), without_south.clone().into_bytes());
        if mend {
            bare.insert("policy.txt".into(), b"quorum none\n".to_vec());
        }
        let policy = watched.scene.dir.path().join("policy");
        fs::write(&policy, &watched.policy).unwrap();
        let (code, said) = watched.scene.judge_by(&bare, None, mend.then_some(&*policy)).unwrap();
        let found = said["damage"].as_array().unwrap().iter().find(|one| one["kind"] == "cosignature").cloned();
        let detail = found.unwrap_or_else(|| panic!("{said:#}"))["detail"].as_str().unwrap().to_owned();
        assert!(code == 1 && detail.contains("signature of witness south is missing"), "{detail}");
    }
}

#[tokio::test]
async fn a_log_set_back_behind_what_was_witnessed_is_named() {
    let watched = Watched::begin().await;
    let dir = watched.scene.ledger();
    let before = watched.scene.dir.path().join("before");
    copy_dir(&dir, &before);
    watched.scene.keys.write_more(&dir, 400..403).await;
    let note = watched.cosign().await;
    // The whole directory as it was, with all that was signed then.
    fs::write(before.join("witnessed"), &note).unwrap();
    let damage = watched.damage(&before);
    let size = fs::read_to_string(before.join("checkpoint")).unwrap().lines().nth(1).unwrap().parse().ok();
    assert_eq!((damage.kind, damage.index), (DamageKind::OlderCheckpoint, size), "{damage:?}");
    // And one that grew otherwise since.
    watched.scene.keys.write_more(&before, 600..620).await;
    let damage = watched.damage(&before);
    assert_eq!((damage.kind, &damage.file), (DamageKind::Fork, &before.join("witnessed")), "{damage:?}");

    // A bundle of that log under the witnesses' note of the true one.
    let mut files = watched.scene.export(&watched.scene.both(), false);
    let forked = Reader::open(&before, Some(watched.scene.keys.seal.clone())).unwrap();
    let key = watched.scene.keys.signing.verifier_key("grille/test").unwrap();
    fs::remove_file(before.join("witnessed")).unwrap();
    let options = ExportOptions { signing_key: &watched.scene.keys.signing, with_contents: false, by: "", at: 1 };
    let mut tar = Vec::new();
    forked.select(&watched.scene.both(), &key).unwrap().write(&options, &mut tar).unwrap();
    let (witnessed, proof) = (files.remove("witnessed").unwrap(), files.remove("witnessed.proof").unwrap());
    let mut files = take_apart(&tar);
    files.insert("witnessed".into(), witnessed);
    files.insert("witnessed.proof".into(), proof);
    let Some((code, said)) = watched.scene.judge(&files, None) else { return };
    let is_fork = said["damage"].as_array().unwrap().iter().any(|one| one["kind"] == "fork");
    assert!(code == 1 && is_fork, "{said:#}");
}
