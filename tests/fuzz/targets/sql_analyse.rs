//! Statement texts over a small catalog (`catalog.tsv`: the rows that the room's own questions gave on a real server).
//!
//! Properties: what is analysed is analysed the same again, also with space around it; places lie inside the text; a
//! plan has one entry per column; what the mildest protection refuses, the strictest refuses too; a role without rights
//! is not let through with anything that reads or writes.
#![no_main]

use std::sync::LazyLock;

use grille_policy::{Effect, Inference, Masker, NameList, Opaque, Protection, Treatment, Writes};
use grille_sql::{
    Analysis, Catalog, Limits, Output, ProtectedSet, RoleScope, RowPlan, SessionNames, Settings, analyse, protect, scope,
};
use libfuzzer_sys::fuzz_target;

#[path = "../rows.rs"]
mod rows;

struct World {
    catalog: Catalog,
    set: ProtectedSet,
    settings: Settings,
    mild: Protection,
    strict: Protection,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let catalog = Catalog::from_rows("1", rows::rows(include_str!("../catalog.tsv"))).expect("a catalog of a real server");
    let columns = catalog.base_columns();
    let treatment = |name: &str| match name {
        "ssn" => Treatment::Mask(Masker::Partial { keep: 4 }),
        "name" | "dob" | "phone" | "note" => Treatment::Mask(Masker::Redact),
        _ => Treatment::Keep,
    };
    let treatments: Vec<_> = columns.iter().map(|column| treatment(&column.name.column)).collect();
    let set = ProtectedSet::new(&catalog, &columns, &treatments);
    assert!(!set.is_empty());
    let mild = Protection {
        inference: Inference::Record,
        opaque: Opaque::Scan,
        writes: Writes::Allow,
        notify: true,
        functions: vec!["public.allowed_one".into()],
    };
    let strict = Protection { inference: Inference::Refuse, opaque: Opaque::Refuse, ..Protection::default() };
    // Short texts find the interesting cases; the room's own tests try the long and the deep.
    let settings = Settings { limits: Limits { text_bytes: 1 << 16, depth: 200 }, ..Settings::default() };
    World { catalog, set, settings, mild, strict }
});

fuzz_target!(|text: &str| {
    let world = &*WORLD;
    let Ok(analysis) = analyse(text, &world.catalog, &world.settings) else { return };
    for statement in &analysis.statements {
        assert!(text.get(statement.text_range.clone()).is_some(), "{:?} is no place in the text", statement.text_range);
    }
    // A space cannot end a comment or a text, a newline can.
    let spaced = analyse(&format!(" {text}"), &world.catalog, &world.settings).expect("space changes nothing");
    assert_eq!(spaced.facts.effects, analysis.facts.effects);
    assert_eq!(spaced.facts.relations, analysis.facts.relations);
    assert_eq!(spaced.facts.fingerprint, analysis.facts.fingerprint);

    let names = SessionNames::default();
    let mild = protect(&analysis, &world.set, &world.mild, &names);
    let strict = protect(&analysis, &world.set, &world.strict, &names);
    assert!(mild.is_ok() || strict.is_err(), "the strictest protection allows what the mildest refuses: {mild:?}");
    for guarded in [mild, strict].into_iter().flatten() {
        assert_eq!(guarded.statements.len(), analysis.statements.len());
        for (plan, statement) in guarded.statements.iter().zip(&analysis.statements) {
            if let (RowPlan::Columns(plan), Output::Rows(columns)) = (plan, &statement.output) {
                assert_eq!(plan.len(), columns.len());
            }
        }
    }
    no_rights_no_effects(&analysis, &world.catalog);
});

fn no_rights_no_effects(analysis: &Analysis, catalog: &Catalog) {
    let nobody = RoleScope { relations: NameList::new(["public.nothing"]), read: false, write: false, ddl: false };
    let harmless = |effect: &Effect| matches!(effect, Effect::Session | Effect::Copy);
    if scope(analysis, catalog, &nobody).is_ok() {
        assert!(analysis.facts.effects.iter().all(harmless), "{:?}", analysis.facts.effects);
    }
}
