//! What the SQL of a test case means: by the same room that reads statements in the gateway, over a small database.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use grille_plugin::{Analyst, Table};
use grille_policy::{Effect, StatementFacts};
use grille_sql::{Catalog, SessionNames, Settings, analyse, catalog};
use parking_lot::Mutex;

/// Reads SQL over PostgreSQL's own catalog and the tables of a case.
#[derive(Default)]
pub struct SqlAnalyst {
    /// The cases of a file share their tables: the last ones are kept.
    last: Mutex<Option<Known>>,
}

/// Tables, and the catalog made of them.
type Known = (Arc<[Table]>, Arc<Catalog>);

type Row = Vec<Option<String>>;

/// What a fresh database of PostgreSQL 15 answers to the questions of [`catalog::queries`], as COPY writes it.
const POSTGRES: &str = include_str!("postgres/catalog.tsv");

static ROWS: LazyLock<Vec<Vec<Row>>> = LazyLock::new(|| {
    let mut parts: Vec<Vec<Row>> = Vec::new();
    for line in POSTGRES.lines() {
        match (line.strip_prefix("== "), parts.last_mut()) {
            (Some(_), _) => parts.push(Vec::new()),
            (None, Some(part)) => {
                part.push(line.split('\t').map(|text| (text != "\\N").then(|| text.to_owned())).collect())
            }
            (None, None) => {}
        }
    }
    parts
});

/// OIDs of the types that people name, by PostgreSQL's own names.
static TYPES: LazyLock<HashMap<Arc<str>, u32>> = LazyLock::new(|| {
    let types = part("types").map_or(&[][..], |index| &ROWS[index]);
    let named = types.iter().filter_map(|row| match &row[..] {
        [Some(oid), Some(schema), Some(name), ..] if schema == "pg_catalog" => {
            Some((name.as_str().into(), oid.parse().ok()?))
        }
        _ => None,
    });
    named.collect()
});

fn part(name: &str) -> Option<usize> {
    catalog::queries().iter().position(|(part, _)| *part == name)
}

/// The first OID that a database gives away; those of the catalog lie below.
const FIRST_OID: usize = 100_000;

impl SqlAnalyst {
    fn catalog(&self, tables: &Arc<[Table]>) -> Result<Arc<Catalog>, String> {
        let mut last = self.last.lock();
        if let Some((known, catalog)) = &*last
            && known == tables
        {
            return Ok(Arc::clone(catalog));
        }
        let mut parts = ROWS.clone();
        for (index, table) in tables.iter().enumerate() {
            add(&mut parts, table, FIRST_OID + 2 * index)?;
        }
        let catalog =
            Catalog::from_rows("case", parts).map_err(|error| format!("the tables make no catalog: {error}"))?;
        let catalog = Arc::new(catalog);
        *last = Some((Arc::clone(tables), Arc::clone(&catalog)));
        Ok(catalog)
    }
}

fn add(parts: &mut [Vec<Row>], table: &Table, oid: usize) -> Result<(), String> {
    let text = |text: &str| Some(text.to_owned());
    let mut push = |name: &str, row: Row| {
        if let Some(rows) = part(name).and_then(|index| parts.get_mut(index)) {
            rows.push(row);
        }
    };
    let (oid, row_type) = (oid.to_string(), (oid + 1).to_string());
    push("relations", vec![text(&oid), text(&table.schema), text(&table.name), text("r"), text("p"), None, text("f")]);
    push(
        "types",
        vec![text(&row_type), text(&table.schema), text(&table.name), text("c"), text(&oid), text("0"), text("C")],
    );
    for (column, number) in table.columns.iter().zip(1..) {
        let (schema, name, wanted) = (&table.schema, &table.name, &column.type_name);
        let (type_oid, _) = type_of(wanted).ok_or_else(|| {
            format!("column `{}` of `{schema}.{name}`: PostgreSQL has no type `{wanted}`", column.name)
        })?;
        let number: i32 = number;
        push(
            "columns",
            vec![
                text(&oid),
                text(&number.to_string()),
                text(&column.name),
                text(&type_oid.to_string()),
                text("f"),
                None,
                text("-1"),
            ],
        );
    }
    Ok(())
}

impl Analyst for SqlAnalyst {
    fn facts(&self, sql: &str, tables: &Arc<[Table]>) -> Result<Arc<StatementFacts>, String> {
        let catalog = self.catalog(tables)?;
        match analyse(sql, &catalog, &Settings::default()) {
            Ok(analysis) => Ok(SessionNames::default().facts(&analysis)),
            // As in the gateway: policies see that nothing is known.
            Err(error) => Ok(Arc::new(StatementFacts {
                effects: vec![Effect::Unknown],
                unknown: vec![error.to_string().into()],
                ..StatementFacts::default()
            })),
        }
    }

    fn type_of(&self, name: &str) -> Option<(u32, Arc<str>)> {
        type_of(name)
    }
}

fn type_of(name: &str) -> Option<(u32, Arc<str>)> {
    let name = name.trim().to_ascii_lowercase();
    let (element, is_array) = match name.strip_suffix("[]") {
        Some(element) => (element.trim(), true),
        None => (name.as_str(), false),
    };
    // `varchar(20)` is a varchar, `timestamp(3) with time zone` a timestamptz.
    let plain = match element.split_once('(').and_then(|(head, rest)| Some((head, rest.split_once(')')?.1))) {
        Some((head, tail)) => format!("{}{tail}", head.trim_end()),
        None => element.to_owned(),
    };
    let own = ALIASES.iter().find(|(alias, _)| *alias == plain).map_or(plain.as_str(), |(_, own)| own);
    let own = if is_array { format!("_{own}") } else { own.to_owned() };
    TYPES.get_key_value(own.as_str()).map(|(name, oid)| (*oid, Arc::clone(name)))
}

/// How SQL calls types, and how PostgreSQL's catalog does.
const ALIASES: [(&str, &str); 17] = [
    ("bigint", "int8"),
    ("bigserial", "int8"),
    ("bit varying", "varbit"),
    ("boolean", "bool"),
    ("character", "bpchar"),
    ("char", "bpchar"),
    ("character varying", "varchar"),
    ("decimal", "numeric"),
    ("double precision", "float8"),
    ("int", "int4"),
    ("integer", "int4"),
    ("real", "float4"),
    ("serial", "int4"),
    ("smallint", "int2"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
    ("time with time zone", "timetz"),
];

#[cfg(test)]
mod tests {
    use grille_plugin::TableColumn;

    use super::*;

    fn patients() -> Arc<[Table]> {
        let column = |name: &str, type_name: &str| TableColumn { name: name.into(), type_name: type_name.into() };
        let columns = vec![column("id", "bigint"), column("ssn", "varchar(11)"), column("seen", "timestamptz")];
        Arc::new([Table { schema: "public".into(), name: "patients".into(), columns }])
    }

    #[test]
    fn statements_mean_what_they_mean_in_the_gateway() {
        let analyst = SqlAnalyst::default();
        let facts = |sql: &str| analyst.facts(sql, &patients()).expect("facts");
        let read = facts("SELECT upper(ssn), count(*) FROM patients WHERE id = 1 GROUP BY 1");
        assert_eq!(read.effects, [Effect::Read]);
        assert!(read.unknown.is_empty() && read.functions.iter().all(|function| function.is_known), "{read:?}");
        assert_eq!(read.relations[0].relation.to_string(), "public.patients");
        assert!(read.columns.iter().any(|used| used.column.to_string() == "public.patients.ssn"), "{read:?}");
        let write = facts("WITH gone AS (DELETE FROM patients) SELECT 1");
        assert!(write.kinds.iter().any(|kind| &**kind == "DELETE") && write.writes.len() == 1, "{write:?}");
        assert_eq!(facts("DELETE FROM").effects, [Effect::Unknown]);
    }

    #[test]
    fn types_go_by_all_their_names() {
        for (name, expected) in [
            ("text", Some("text")),
            ("bigint", Some("int8")),
            ("VARCHAR(20)", Some("varchar")),
            ("numeric(10, 2)", Some("numeric")),
            ("timestamp(3) with time zone", Some("timestamptz")),
            ("text[]", Some("_text")),
            ("integer[]", Some("_int4")),
            ("txt", None),
        ] {
            assert_eq!(type_of(name).map(|(_, own)| own.to_string()).as_deref(), expected, "{name}");
        }
        let tables: Arc<[Table]> = Arc::new([Table {
            schema: "public".into(),
            name: "t".into(),
            columns: vec![TableColumn { name: "a".into(), type_name: "txt".into() }],
        }]);
        let wrong = SqlAnalyst::default().facts("SELECT 1", &tables).expect_err("no such type");
        assert_eq!(wrong, "column `a` of `public.t`: PostgreSQL has no type `txt`");
    }
}
