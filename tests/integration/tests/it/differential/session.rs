//! The sessions that scripts are played in: three kinds of roles, each with a table of its own.

use anyhow::{Context, Result};
use grille_test_support::{Caller, Raw, World};

use super::generate::contents;
use super::oracle::Oracle;

/// How the gateway treats the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A policy judges texts; nothing is limited, so the gateway needs no catalog.
    Judged,
    /// The same in a role that is limited to a schema: names are resolved, Grille asks questions of its own.
    Limited,
    /// A policy protects columns and reads parameters.
    Masked,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Judged, Self::Limited, Self::Masked];

    /// Whether a policy blocks by values instead of by kinds of statements.
    pub(super) fn reads_values(self) -> bool {
        self == Self::Masked
    }

    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Judged => "public.cells_judged",
            Self::Limited => "public.cells_limited",
            Self::Masked => "public.cells_masked",
        }
    }

    const fn role(self) -> &'static str {
        match self {
            Self::Judged => "judged",
            Self::Limited => "limited",
            Self::Masked => "masked",
        }
    }
}

/// A world with these roles, policies and tables.
pub(super) fn world() -> Result<World> {
    let components = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components");
    let (guard, probe) = (components.join("sql-guard.wasm"), components.join("guests/probe.wasm"));
    for plugin in [&guard, &probe] {
        anyhow::ensure!(plugin.is_file(), "{} is missing: run `cargo xtask components` first", plugin.display());
    }
    let role = |kind: Kind, relations: &str| {
        let name = kind.role();
        format!(
            "[roles.{name}]\ngroups = [\"dbas\"]\ntargets = [\"work\"]\nrelations = [{relations}]\noperations = [\"*\"]\n"
        )
    };
    let roles = [role(Kind::Judged, "\"*\""), role(Kind::Limited, "\"public.*\""), role(Kind::Masked, "\"public.*\"")];
    let world = World::with(&format!(
        r#"{}
[policies.guard]
plugin = {guard:?}
targets = ["work"]
roles = ["judged", "limited"]
allow_unsigned = true

[policies.probe]
plugin = {probe:?}
targets = ["work"]
roles = ["masked"]
allow_unsigned = true
settings = {{ judge = "by-value" }}
"#,
        roles.concat()
    ));
    for kind in Kind::ALL {
        let table = kind.table();
        let columns = "id int PRIMARY KEY, v text NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED";
        world.cluster.sql("work", &format!("SET ROLE work_app; CREATE TABLE {table} ({columns})"))?;
    }
    Ok(world)
}

/// Both sides of the comparison, and a third session that puts the table in order.
pub(super) struct Pair<'a> {
    world: &'a World,
    pub(super) kind: Kind,
    pub(super) oracle: Oracle,
    pub(super) through: Raw,
    keeper: Raw,
    resets: u64,
}

impl<'a> Pair<'a> {
    pub(super) fn new(world: &'a World, kind: Kind) -> Result<Self> {
        let mut pair = Self {
            world,
            kind,
            oracle: Oracle::new(world.direct())?,
            through: through(world, kind),
            keeper: world.direct(),
            resets: 0,
        };
        pair.reset()?;
        Ok(pair)
    }

    /// Both sides anew.
    pub(super) fn reconnect(&mut self) -> Result<()> {
        self.oracle = Oracle::new(self.world.direct())?;
        self.through = through(self.world, self.kind);
        self.reset()
    }

    /// The table as it was, if a script changed it.
    pub(super) fn reset(&mut self) -> Result<()> {
        let table = self.kind.table();
        if self.keeper.value(&contents(table)).context("look at the table")? == "1=one, 2=two, 3=three" {
            return Ok(());
        }
        self.resets += 1;
        if self.resets.is_multiple_of(200) {
            self.keeper.query(&format!("VACUUM {table}"))?;
        }
        let rows = "(1, 'one'), (2, 'two'), (3, 'three')";
        self.keeper.query(&format!("DELETE FROM {table}; INSERT INTO {table} VALUES {rows}"))?;
        Ok(())
    }
}

fn through(world: &World, kind: Kind) -> Raw {
    world.session(Caller::of("dba", kind.role()))
}
