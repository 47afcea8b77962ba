//! What `wit-bindgen` makes of the contract: one world with the imports and `lifecycle`, and one per hook, so that a
//! component carries exactly the exports that it has. The component linker joins them.
#![allow(missing_docs, reason = "generated; the WIT documents it")]

/// The imports, and what every policy exports.
pub mod policy {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package grille:sdk; world sdk { include grille:policy/policy@0.1.0; import grille:policy/types@0.1.0; \
                 import grille:policy/sql-data@0.1.0; import grille:policy/http-data@0.1.0; }",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        generate_all,
    });
}

macro_rules! hook {
    ($module:ident, $export:literal, $inline:literal, [$($interface:literal: $types:ident),*]) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $inline,
                pub_export_macro: true,
                export_macro_name: $export,
                with: { $($interface: crate::bindings::policy::grille::policy::$types),* },
            });
        }
    };
}

hook!(
    session,
    "export_session",
    "package grille:sdk-session; world session-hook { export grille:policy/session@0.1.0; }",
    ["grille:policy/types@0.1.0": types, "grille:policy/context@0.1.0": context]
);
hook!(
    sql,
    "export_sql",
    "package grille:sdk-sql; world sql-hook { export grille:policy/sql@0.1.0; }",
    [
        "grille:policy/types@0.1.0": types,
        "grille:policy/context@0.1.0": context,
        "grille:policy/sql-data@0.1.0": sql_data
    ]
);
hook!(
    sql_columns,
    "export_sql_columns",
    "package grille:sdk-sql-columns; world sql-columns-hook { export grille:policy/sql-columns@0.1.0; }",
    [
        "grille:policy/types@0.1.0": types,
        "grille:policy/context@0.1.0": context,
        "grille:policy/sql-data@0.1.0": sql_data
    ]
);
hook!(
    sql_result,
    "export_sql_result",
    "package grille:sdk-sql-result; world sql-result-hook { export grille:policy/sql-result@0.1.0; }",
    [
        "grille:policy/types@0.1.0": types,
        "grille:policy/context@0.1.0": context,
        "grille:policy/sql-data@0.1.0": sql_data
    ]
);
hook!(
    sql_values,
    "export_sql_values",
    "package grille:sdk-sql-values; world sql-values-hook { export grille:policy/sql-values@0.1.0; }",
    [
        "grille:policy/types@0.1.0": types,
        "grille:policy/context@0.1.0": context,
        "grille:policy/sql-data@0.1.0": sql_data
    ]
);
hook!(
    http_request,
    "export_http_request",
    "package grille:sdk-http-request; world http-request-hook { export grille:policy/http-request@0.1.0; }",
    [
        "grille:policy/types@0.1.0": types,
        "grille:policy/context@0.1.0": context,
        "grille:policy/http-data@0.1.0": http_data
    ]
);
hook!(
    http_response,
    "export_http_response",
    "package grille:sdk-http-response; world http-response-hook { export grille:policy/http-response@0.1.0; }",
    [
        "grille:policy/types@0.1.0": types,
        "grille:policy/context@0.1.0": context,
        "grille:policy/http-data@0.1.0": http_data
    ]
);
hook!(
    http_values,
    "export_http_values",
    "package grille:sdk-http-values; world http-values-hook { export grille:policy/http-values@0.1.0; }",
    [
        "grille:policy/types@0.1.0": types,
        "grille:policy/context@0.1.0": context,
        "grille:policy/http-data@0.1.0": http_data
    ]
);
