//! A catalog of literal rows for unit tests.

use crate::Catalog;

type Row = Vec<Option<String>>;

/// Tables and views as `schema.name(column, column*)`, where a star marks NOT NULL; views with their definition.
pub(crate) const TABLES: &[(&str, &[&str])] = &[
    ("public.patients", &["id*", "ssn*", "name", "note", "zip"]),
    ("public.staff", &["id*", "name", "room"]),
    ("public.billing", &["id*", "patient_id", "amount"]),
    ("mart.people", &["id*", "ssn"]),
];

const VIEWS: &[(&str, &[&str], &str)] = &[
    ("public.bills", &["id", "amount"], "SELECT id, amount FROM billing"),
    ("public.patient_view", &["id", "social"], "SELECT id, ssn FROM patients WHERE note IS NOT NULL"),
];

/// Of `pg_catalog`: name, number of arguments, volatility, kind.
const FUNCTIONS: &[(&str, usize, &str, &str)] = &[
    ("upper", 1, "i", "f"),
    ("now", 0, "s", "f"),
    ("count", 0, "i", "a"),
    ("count", 1, "i", "a"),
    ("max", 1, "i", "a"),
    ("pg_read_file", 1, "v", "f"),
    ("set_config", 3, "v", "f"),
    ("length", 1, "i", "f"),
    ("nextval", 1, "v", "f"),
];

pub(crate) fn catalog() -> Catalog {
    let text = |value: &str| Some(value.to_owned());
    let mut relations: Vec<Row> = Vec::new();
    let mut columns: Vec<Row> = Vec::new();
    let mut views: Vec<Row> = Vec::new();
    let tables = TABLES.iter().map(|&(name, columns)| (name, columns, None));
    let named = VIEWS.iter().map(|&(name, columns, definition)| (name, columns, Some(definition)));
    for (index, (name, own, definition)) in tables.chain(named).enumerate() {
        let oid = (20_000 + index).to_string();
        let (schema, name) = name.split_once('.').expect("a qualified name");
        let kind = if definition.is_some() { "v" } else { "r" };
        relations.push(vec![text(&oid), text(schema), text(name), text(kind), text("p"), None, text("f")]);
        for (number, column) in own.iter().enumerate() {
            let is_not_null = if column.ends_with('*') { "t" } else { "f" };
            let name = column.trim_end_matches('*');
            let number = (number + 1).to_string();
            columns.push(vec![text(&oid), text(&number), text(name), text("25"), text(is_not_null), None, text("-1")]);
        }
        if let Some(definition) = definition {
            views.push(vec![text(&oid), text(definition)]);
        }
    }
    let functions = FUNCTIONS.iter().enumerate().map(|(index, (name, count, volatility, kind))| {
        let mut row = vec![text(&(100 + index).to_string()), text("pg_catalog"), text(name), text(&count.to_string())];
        row.extend([text("0"), text("f"), text(kind), text(volatility), text("internal"), text("25")]);
        row.extend([text(&vec!["25"; *count].join(" ")), None, None, None, None, None, None]);
        row
    });
    let mut user = vec![text("900"), text("public"), text("mystery"), text("0"), text("0"), text("f"), text("f")];
    user.extend([text("v"), text("plpgsql"), text("25"), text(""), None, None, None, None, None, None]);
    let functions = functions.chain([user]).collect();
    let types = vec![vec![text("25"), text("pg_catalog"), text("text"), text("b"), text("0"), text("0"), text("S")]];
    let path = vec![vec![text("pg_catalog")], vec![text("public")]];
    let parts = vec![path, relations, columns, Vec::new(), views, Vec::new(), functions, types, Vec::new(), Vec::new()];
    Catalog::from_rows("1", parts).expect("literal rows make a catalog")
}
