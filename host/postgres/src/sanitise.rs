//! Error texts of the target, when they may quote protected values.
//!
//! SQLSTATE, severity and position stay, and names that the catalog knows; everything that could carry a value goes.

use std::borrow::Cow;

use bytes::BytesMut;
use grille_pg_codec::backend::{Report, field};
use grille_pg_codec::encode::{self, EncodeError};
use grille_sql::Catalog;

/// Classes whose messages name the limits of the server, its state or what the caller wrote, never a value of a row:
/// connections, features, transactions, prepared statements, cursors, resources, operator intervention.
const HARMLESS_CLASSES: [&str; 8] = ["08", "0A", "25", "26", "34", "40", "53", "57"];

/// The same of single states: lacking privileges, too deep a nesting, locks that others hold.
const HARMLESS_STATES: [&str; 4] = ["42501", "54001", "55006", "55P03"];

/// Classes whose messages quote the text if they say where in it: syntax, names that do not exist, limits. Without a place
/// they were found while it ran, and quote a value that was taken for a name.
const HARMLESS_IN_TEXTS: [&str; 6] = ["28", "3D", "3F", "42", "54", "55"];

/// Appends the report as an ErrorResponse that quotes nothing.
pub(crate) fn sanitised(report: &Report<'_>, catalog: &Catalog, out: &mut BytesMut) -> Result<(), EncodeError> {
    let text = |code| report.get(code).map(String::from_utf8_lossy);
    let sqlstate = text(field::SQLSTATE).unwrap_or(Cow::Borrowed("XX000"));
    let mut fields: Vec<(u8, Cow<'_, str>)> = Vec::new();
    for code in [field::SEVERITY, field::SEVERITY_PLAIN] {
        fields.extend(text(code).map(|text| (code, text)));
    }
    fields.push((field::SQLSTATE, sqlstate.clone()));
    let is_of = |classes: &[&str]| sqlstate.get(..2).is_some_and(|class| classes.contains(&class));
    let is_harmless = is_of(&HARMLESS_CLASSES)
        || HARMLESS_STATES.contains(&&*sqlstate)
        || (is_of(&HARMLESS_IN_TEXTS) && report.get(field::POSITION).is_some());
    match text(field::MESSAGE).filter(|_| is_harmless) {
        Some(message) => fields.push((field::MESSAGE, message)),
        None => {
            let message = format!("the statement failed with SQLSTATE {sqlstate}; the text may quote protected values");
            fields.push((field::MESSAGE, message.into()));
        }
    }
    fields.extend(text(field::POSITION).map(|text| (field::POSITION, text)));
    fields.extend(known_names(&text, catalog));
    let fields: Vec<(u8, &str)> = fields.iter().map(|(code, text)| (*code, &**text)).collect();
    encode::error_response(out, &fields)
}

/// Schema, table and column, if there are such; a program on the server can write anything into these fields.
fn known_names<'a>(text: &dyn Fn(u8) -> Option<Cow<'a, str>>, catalog: &Catalog) -> Vec<(u8, Cow<'a, str>)> {
    let (Some(schema), Some(table)) = (text(field::SCHEMA), text(field::TABLE)) else {
        return Vec::new();
    };
    if !catalog.has_relation(&schema, &table) {
        return Vec::new();
    }
    let column = text(field::COLUMN).filter(|column| catalog.has_column(&schema, &table, column));
    let mut names = vec![(field::SCHEMA, schema), (field::TABLE, table)];
    names.extend(column.map(|column| (field::COLUMN, column)));
    names
}
