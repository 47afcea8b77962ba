use std::fs;

use grille_author::build_core;
use grille_plugin::Artifact;

use crate::support::one_line;

/// The least core module of a policy: it exports what `lifecycle` and `sql` are made of, and imports nothing.
const MODULE: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
  (func (export "grille:policy/lifecycle@0.1.0#validate") (param i32 i32) (result i32) i32.const 0)
  (func (export "grille:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32) i32.const 0)
  (func (export "grille:policy/sql@0.1.0#judge") (param i32 i32) (result i32) i32.const 0)
)"#;

#[test]
fn a_core_module_becomes_a_component() {
    let dir = tempfile::tempdir().expect("a folder");
    let core = dir.path().join("tiny.core.wasm");
    fs::write(&core, wat::parse_str(MODULE).expect("a module")).expect("write");
    let built = build_core(&core, Some("statement-policy"), None, None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(built.path, dir.path().join("tiny.wasm"));
    assert_eq!(built.artifact.hooks, ["sql"]);
    assert_eq!(built.artifact.metadata.name.as_deref(), Some("tiny"));
    assert!(built.artifact.stand_ins.is_empty(), "{:?}", built.artifact.stand_ins);
    let again = Artifact::read(&fs::read(&built.path).expect("read")).expect("a component");
    assert_eq!(again.digest, built.artifact.digest);

    // Beside a manifest it is what the manifest says, once.
    let manifest = "name = \"named\"\nversion = \"0.2.0\"\nlanguage = \"c\"\nworld = \"statement-policy\"\nsource = \"x.c\"\n\
                    stateless = true\nlicence = \"MIT\"\nminimum_host = \"0.1.0\"\n\
                    grants = [{ name = \"clock\", reason = \"office hours\" }]\n[limits]\ntime = \"20ms\"\n";
    fs::write(dir.path().join("plugin.toml"), manifest).expect("write");
    let built = build_core(&core, None, None, None).unwrap_or_else(|error| panic!("{error}"));
    let metadata = &built.artifact.metadata;
    assert_eq!((metadata.name.as_deref(), metadata.version.as_deref()), (Some("named"), Some("0.2.0")));
    assert_eq!((metadata.license.as_deref(), metadata.minimum_host.as_deref()), (Some("MIT"), Some("0.1.0")));
    assert_eq!(metadata.hooks.as_deref(), Some(&["sql".to_owned()][..]));
    assert_eq!((metadata.grants[0].name.as_str(), metadata.limits.time.as_deref()), ("clock", Some("20ms")));
    assert!(metadata.stateless);
}

#[test]
fn what_does_not_become_one_is_said_in_one_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let core = dir.path().join("tiny.core.wasm");
    let without_hook = MODULE.replace("sql@0.1.0#judge", "sql@0.1.0#jugde");
    let with_import = MODULE.replacen("(memory", "(import \"env\" \"getenv\" (func (param i32)))\n (memory", 1);
    for (text, world, expected) in [
        (MODULE, None, "give --world"),
        (MODULE, Some("shell-policy"), "the contract has no world `shell-policy`"),
        (without_hook.as_str(), Some("statement-policy"), "export what the world names"),
        (with_import.as_str(), Some("statement-policy"), "remove the import"),
    ] {
        fs::write(&core, wat::parse_str(text).expect("a module")).expect("write");
        let said = one_line(build_core(&core, world, None, None).expect_err("refused"));
        assert!(said.contains(expected), "{said}");
    }
    fs::write(&core, "no wasm").expect("write");
    let said = one_line(build_core(&core, Some("statement-policy"), None, None).expect_err("refused"));
    assert!(said.contains("no core module of WebAssembly"), "{said}");
    let said = one_line(build_core(&dir.path().join("none.wasm"), None, None, None).expect_err("refused"));
    assert!(said.starts_with("read ") && said.ends_with("none.wasm"), "{said}");
}
