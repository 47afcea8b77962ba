//! A witness and a log that asks it.

use grille_ledger::{
    Checkpoint, NoteError, SigningKey, VerifierKey, Witness, WitnessAnswer, cosignature, witness_request,
};

use crate::support::{Keys, write_sessions};

struct Scene {
    log: tempfile::TempDir,
    state: tempfile::TempDir,
    keys: Keys,
    key: SigningKey,
}

impl Scene {
    fn new() -> Self {
        let (log, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Self { log, state, keys: Keys::generate(), key: SigningKey::generate().unwrap() }
    }

    fn witness(&self) -> Witness {
        let logs = vec![self.keys.signing.verifier_key("grille/test").unwrap()];
        Witness::new(self.state.path(), "witness.example/w1", self.key.clone(), logs).unwrap()
    }

    /// Writes some more and returns the note over it.
    async fn grow(&self, from: u32) -> String {
        let ledger = self.keys.open(self.log.path());
        write_sessions(&ledger, from..from + 30, 5);
        ledger.shutdown().await.unwrap();
        std::fs::read_to_string(self.log.path().join("checkpoint")).unwrap()
    }

    fn request(&self, old: u64, note: &str) -> String {
        witness_request(self.log.path(), old, note).unwrap().unwrap()
    }
}

fn size(note: &str) -> u64 {
    Checkpoint::peek(note).unwrap().size
}

#[tokio::test]
async fn a_log_that_only_grows_is_signed_again_and_again() {
    let scene = Scene::new();
    let mut old = 0;
    for round in 0..3 {
        let note = scene.grow(round * 100).await;
        // It remembers across restarts.
        let witness = scene.witness();
        let key = VerifierKey::from_text(&witness.verifier_key().to_string()).unwrap();
        assert!(key.is_witness() && key == *witness.verifier_key());
        let now = 1_795_000_000 + u64::from(round);
        let WitnessAnswer::Cosigned(line) = witness.add_checkpoint(&scene.request(old, &note), now).unwrap() else {
            panic!("not signed");
        };
        assert_eq!(cosignature(&line, &note, &key), Ok((line.clone(), now)));
        let log = scene.keys.signing.verifier_key("grille/test").unwrap();
        assert!(Checkpoint::open(&format!("{note}{line}"), &log).is_ok(), "a cosigned note is still the log's");
        let other = note.replacen(&size(&note).to_string(), "7", 1);
        assert_eq!(cosignature(&line, &other, &key), Err(NoteError::Forged));
        let stranger = Witness::new(scene.state.path(), "other", SigningKey::generate().unwrap(), vec![]).unwrap();
        assert_eq!(cosignature(&line, &note, stranger.verifier_key()), Err(NoteError::Unsigned));
        old = size(&note);
        // The same once more is no harm.
        let again = witness.add_checkpoint(&scene.request(old, &note), now + 9).unwrap();
        assert!(matches!(again, WitnessAnswer::Cosigned(_)), "{again:?}");
    }
}

#[tokio::test]
async fn what_does_not_go_on_from_there_is_not_signed() {
    let scene = Scene::new();
    let witness = scene.witness();
    let first = scene.grow(0).await;
    let ask = |request: &str| witness.add_checkpoint(request, 1).unwrap();
    assert!(matches!(ask(&scene.request(0, &first)), WitnessAnswer::Cosigned(_)));
    let second = scene.grow(100).await;
    let known = size(&first);
    let good = scene.request(known, &second);
    assert_eq!(ask(&scene.request(0, &second)), WitnessAnswer::Elsewhere(known));

    // Another log under the same name and key: the tree that it claims is not the one that was signed.
    let fork = Scene { keys: Keys { signing: scene.keys.signing.clone(), ..Keys::generate() }, ..Scene::new() };
    let other = fork.grow(500).await;
    assert_eq!(size(&other), known);
    assert_eq!(ask(&fork.request(known, &other)), WitnessAnswer::Forked);
    let longer = fork.grow(600).await;
    assert_eq!(ask(&fork.request(known, &longer)), WitnessAnswer::Unproven);

    let stranger = Scene::new();
    let foreign = stranger.grow(0).await;
    assert_eq!(ask(&stranger.request(0, &foreign)), WitnessAnswer::Unsigned);
    let unknown = first.replace("grille/test", "grille/else");
    assert_eq!(ask(&format!("old {known}\n\n{unknown}")), WitnessAnswer::Unknown);
    let proof = good.lines().nth(1).unwrap();
    for (request, expected) in [
        (good.replacen(proof, &proof.chars().rev().collect::<String>(), 1), WitnessAnswer::Malformed),
        (good.replacen(&format!("{proof}\n"), "", 1), WitnessAnswer::Unproven),
        (good.replacen(&format!("old {known}"), &format!("old 0{known}"), 1), WitnessAnswer::Malformed),
        (good.replacen(&format!("old {known}"), "old 99999", 1), WitnessAnswer::Malformed),
        (good.replacen(proof, &format!("{proof}\n").repeat(64), 1), WitnessAnswer::Malformed),
        ("old 0\n".to_owned(), WitnessAnswer::Malformed),
        (String::new(), WitnessAnswer::Malformed),
    ] {
        assert_eq!(ask(&request), expected, "{request}");
    }
    assert!(matches!(ask(&good), WitnessAnswer::Cosigned(_)), "nothing of that changed what it knows");

    // A witness that cannot read what it signed signs nothing.
    let file = std::fs::read_dir(scene.state.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(file, "nonsense").unwrap();
    assert!(witness.add_checkpoint(&scene.request(size(&second), &second), 1).is_err());
}
