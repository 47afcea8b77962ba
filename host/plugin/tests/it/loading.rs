use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grille_plugin::{EngineConfig, PluginHost, PolicySpec, Step};
use grille_policy::{Digest, Evaluator};
use serde_json::{Value, json};

use crate::support::{analyst, component, decide, host_with, probe, problems, said, spec, statement};

fn file(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, bytes).expect("write");
    path
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is right")
}

/// A top-level custom section.
fn metadata(json: &Value) -> Vec<u8> {
    let json = json.to_string();
    let name = b"grille:metadata";
    let mut body = vec![u8::try_from(name.len()).expect("short")];
    body.extend_from_slice(name);
    body.extend_from_slice(json.as_bytes());
    let mut section = vec![0];
    let mut length = body.len();
    while length >= 0x80 {
        section.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    section.extend(body);
    section
}

#[tokio::test]
async fn what_cannot_load_says_why_in_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = fs::read(component("guests/probe")).expect("read");
    let put = |name: &str, bytes: &[u8]| file(directory.path(), name, bytes);
    let import = |name: &str| wat(&format!(r#"(component (import "{name}" (instance)))"#));
    for (plugin, step, expected) in [
        (directory.path().join("absent.wasm"), Step::Read, "there is no such file"),
        (directory.path().to_owned(), Step::Read, "it cannot be read"),
        (put("empty.wasm", b""), Step::Parse, "the file is empty"),
        (put("text.wasm", b"hello"), Step::Parse, "the file is not WebAssembly"),
        (put("three.wasm", b"\0as"), Step::Parse, "the file is damaged or not complete"),
        (put("core.wasm", &wat("(module)")), Step::Parse, "the file is a core module, not a component"),
        (put("no-policy.wasm", &wat("(component)")), Step::Imports, "it does not export grille:policy/lifecycle"),
        (
            put("http.wasm", &import("wasi:http/types@0.2.9")),
            Step::Imports,
            "it imports wasi:http/types@0.2.9, which is forbidden: policies reach nothing outside",
        ),
        (
            put("net.wasm", &import("evil:net/socket@1.0.0")),
            Step::Imports,
            "it imports evil:net/socket@1.0.0, which is forbidden",
        ),
        (put("newer.wasm", &import("grille:policy/log@0.2.0")), Step::Imports, "upgrade the host"),
        (
            put("unknown.wasm", &import("grille:policy/shell-data@0.1.3")),
            Step::Imports,
            "which this host does not have",
        ),
        (put("two.wasm", &[good.clone(), metadata(&json!({}))].concat()), Step::Metadata, "two sections"),
    ] {
        let found = problems(vec![spec("guard", &plugin, Value::Null)]).await;
        assert_eq!(found.len(), 1, "{plugin:?}: {found:?}");
        let said = found[0].to_string();
        assert_eq!(found[0].step, step, "{said}");
        assert!(said.starts_with("policy \"guard\": ") && said.contains(expected) && !said.contains('\n'), "{said}");
        assert!(said.contains(&*plugin.display().to_string()), "it names the file: {said}");
    }
}

#[tokio::test]
async fn no_prefix_of_a_component_loads_as_the_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = fs::read(component("guests/probe")).expect("read");
    // The metadata come last; without that section the component is whole, and is another one.
    let section = good.windows(15).rposition(|bytes| bytes == b"grille:metadata").expect("it has metadata");
    for part in 1..24 {
        let cut = section * part / 24;
        let torn = file(directory.path(), "torn.wasm", &good[..cut]);
        let found = problems(vec![spec("guard", &torn, Value::Null)]).await;
        assert_eq!(found.len(), 1, "{cut} of {} bytes", good.len());
    }
}

#[tokio::test]
async fn a_component_that_only_looks_like_a_policy_does_not_link() {
    let directory = tempfile::tempdir().expect("a directory");
    // The right name, the wrong types.
    let fake = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $lifecycle (export "validate" (func $f)) (export "configure" (func $f)))
        (export "grille:policy/lifecycle@0.1.0" (instance $lifecycle)))"#;
    let fake = file(directory.path(), "fake.wasm", &wat(fake));
    let found = problems(vec![spec("guard", &fake, Value::Null)]).await;
    assert!(found.len() == 1 && found[0].step == Step::Link && found[0].message.contains("lifecycle"), "{found:?}");
    let lacks = r#"(component
        (instance $lifecycle)
        (export "grille:policy/lifecycle@0.1.0" (instance $lifecycle)))"#;
    let lacks = file(directory.path(), "lacks.wasm", &wat(lacks));
    let found = problems(vec![spec("guard", &lacks, Value::Null)]).await;
    assert!(found.len() == 1 && found[0].step == Step::Link && found[0].message.contains("validate"), "{found:?}");
}

#[tokio::test]
async fn metadata_are_claims_that_must_match_the_facts() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = fs::read(component("guests/probe")).expect("read");
    // Cut the section off: it is the last one, and starts where its name does, less id, length and the name's length.
    let name = good.windows(15).rposition(|bytes| bytes == b"grille:metadata").expect("it has metadata");
    let bare = (name.saturating_sub(8)..name).rev().find(|at| good[*at] == 0).expect("the section's id");
    let bare = &good[..bare];
    for (section, step, expected) in [
        (
            metadata(&json!({"hooks": ["sql"]})),
            Step::Metadata,
            "declare the hooks [sql] but it exports [http-request, ",
        ),
        (metadata(&json!({"hooks": 7})), Step::Metadata, "is unreadable"),
        (metadata(&json!({"minimum_host": "9.0.0"})), Step::Metadata, "it needs a host of version 9.0.0"),
        (metadata(&json!({"limits": {"memory": "1GiB"}})), Step::Metadata, "its limits.memory is `1GiB`"),
        (metadata(&json!({"limits": {"time": "1ms"}})), Step::Metadata, "its limits.time: at least 4 ms"),
        (metadata(&json!({"settings": {"type": 7}})), Step::Metadata, "JSON Schema is wrong"),
        (
            metadata(&json!({"settings": {"required": ["unit"]}})),
            Step::Settings,
            "settings: \"unit\" is a required property",
        ),
        (metadata(&json!({"x": "y".repeat(70_000)})), Step::Metadata, "exceeds 64 KiB"),
    ] {
        let path = file(directory.path(), "claims.wasm", &[bare, &section].concat());
        let found = problems(vec![spec("guard", &path, Value::Null)]).await;
        assert!(found.len() == 1 && found[0].step == step && found[0].message.contains(expected), "{found:?}");
    }
    let path = file(directory.path(), "my-guard.wasm", bare);
    let host = host_with(vec![spec("guard", &path, json!({"judge": "calls"}))]).await;
    let status = &host.status()[0];
    assert!(&*status.plugin == "my-guard" && status.version.is_none(), "the file names it: {status:?}");
    let mut policies = analyst(&host).await;
    let calls = statement("x");
    decide(&mut policies, &calls).await;
    assert_eq!(said(&decide(&mut policies, &calls).await), "block calls: 3", "not stateless, so asked each time");
}

#[tokio::test]
async fn every_problem_of_every_policy_is_said_at_once() {
    let named = |name: &str, settings| PolicySpec { name: name.into(), ..probe(settings) };
    let found = problems(vec![
        named("a", json!({"judg": "block", "colour": 1})),
        named("b", json!({"inference": "sometimes"})),
        named("b2", json!({"configure": "trap"})),
        PolicySpec {
            grants: vec!["files".into(), "lookup:phone-book".into()],
            memory: Some(1 << 40),
            time: Some(Duration::ZERO),
            ..named("c", json!({}))
        },
        PolicySpec { pin: Some(Digest([7; 32])), ..named("d", json!({})) },
        named("e", json!({"configure": "spin"})),
        named("f", json!({})),
        named("f", json!({})),
    ])
    .await;
    let said: Vec<(String, Step)> = found.iter().map(|problem| (problem.to_string(), problem.step)).collect();
    for (expected, step) in [
        ("policy \"a\": settings/judg: `judg` is not a setting of this policy; did you mean `judge`?", Step::Settings),
        ("policy \"a\": settings/colour: `colour` is not", Step::Settings),
        ("policy \"b\": settings/inference: must be one of \"record\", \"refuse\", not \"sometimes\"", Step::Settings),
        ("policy \"b2\": the plugin could not be started: it trapped", Step::Settings),
        ("policy \"c\": grants: this host has no `files`; it has `clock`", Step::Spec),
        ("policy \"c\": grants: there is no [lookups.phone-book]; add it or drop the grant", Step::Spec),
        ("policy \"c\": limits.memory: at most 256 MiB", Step::Spec),
        ("policy \"c\": limits.time: at least 4 ms", Step::Spec),
        ("is pinned; promote the new one or restore the old file", Step::Digest),
        ("policy \"e\": the plugin could not be started: it exceeded its time limit", Step::Settings),
        ("policy \"f\": the name is used twice", Step::Spec),
    ] {
        assert!(said.iter().any(|(said, at)| said.contains(expected) && *at == step), "{expected} in {said:#?}");
    }
    assert_eq!(said.len(), 11, "{said:#?}");
}

#[tokio::test]
async fn a_pinned_digest_loads_and_is_described() {
    let host = host_with(vec![probe(json!({"judge": "block", "classify": ""}))]).await;
    let (epoch, described) = host.describe();
    assert_eq!((epoch, described.len()), (host.epoch(), 1));
    let described = &described[0];
    assert_eq!(&*described.settings, r#"{"classify":"","judge":"block"}"#);
    assert_eq!(*described.bytes, *fs::read(component("guests/probe")).expect("read"));
    assert!(&*described.plugin == "probe" && described.version.as_deref() == Some("0.1.0"));
    let pinned = PolicySpec { pin: Some(described.digest), ..probe(json!({})) };
    assert!(host.load(vec![pinned]).await.is_ok());
}

#[tokio::test]
async fn compiled_components_are_kept_privately_and_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = directory.path().join("compiled");
    let host = || {
        let config = EngineConfig { cache_dir: Some(cache.clone()), instances: 8, ..EngineConfig::default() };
        PluginHost::new(config).expect("an engine")
    };
    let load = async |host: PluginHost| {
        let set = host.load(vec![probe(json!({"judge": "block"}))]).await.expect("it loads");
        host.swap(set);
        assert_eq!(said(&decide(&mut analyst(&host).await, &statement("x")).await), "block asked: asked to block");
    };
    load(host()).await;
    let kept: Vec<PathBuf> =
        fs::read_dir(&cache).expect("it was made").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fs::metadata(&cache).expect("it is there").permissions().mode() & 0o777, 0o700);
    load(host()).await;
    // A file that was damaged is noticed and made anew.
    let whole = fs::read(&kept[0]).expect("read");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for bytes in [damaged, whole[..middle].to_vec(), Vec::new()] {
        fs::write(&kept[0], bytes).expect("write");
        load(host()).await;
        assert_eq!(fs::read(&kept[0]).expect("read").len(), whole.len());
    }
    // What others could have written is not run.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("chmod");
    fs::write(&kept[0], b"left alone").expect("write");
    load(host()).await;
    assert_eq!(fs::read(&kept[0]).expect("read"), b"left alone");
}
