//! Error texts of the target, when they may quote protected values.
//!
//! SQLSTATE, severity and position stay, and names that the catalog knows; everything that could carry a value goes.

use std::borrow::Cow;

use bytes::BytesMut;
use grille_pg_codec::backend::{Report, field};
use grille_pg_codec::encode::{self, EncodeError};
use grille_sql::Catalog;

/// Classes whose messages name what the caller wrote, the limits of the server or its state, never a value of a row:
/// syntax and access, features, transactions, resources, operator intervention, connections, names that do not exist.
const HARMLESS_CLASSES: [&str; 13] = ["08", "0A", "25", "26", "28", "34", "3D", "3F", "42", "53", "54", "55", "57"];

/// Appends the report as an ErrorResponse that quotes nothing.
pub(crate) fn sanitised(report: &Report<'_>, catalog: &Catalog, out: &mut BytesMut) -> Result<(), EncodeError> {
    let text = |code| report.get(code).map(String::from_utf8_lossy);
    let sqlstate = text(field::SQLSTATE).unwrap_or(Cow::Borrowed("XX000"));
    let mut fields: Vec<(u8, Cow<'_, str>)> = Vec::new();
    for code in [field::SEVERITY, field::SEVERITY_PLAIN] {
        fields.extend(text(code).map(|text| (code, text)));
    }
    fields.push((field::SQLSTATE, sqlstate.clone()));
    let is_harmless = sqlstate.get(..2).is_some_and(|class| HARMLESS_CLASSES.contains(&class));
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
