//! What `bindgen!` makes of the contract. The world is never instantiated as such: each hook's indices are tried alone.
#![allow(missing_docs, unreachable_pub, unnameable_types, reason = "generated; the WIT documents it")]
#![allow(unused_qualifications, clippy::allow_attributes_without_reason, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "grille:policy/all-hooks",
    imports: { "grille:policy/lookup.fetch": async | trappable, default: trappable },
    exports: { default: async },
    require_store_data_send: true,
    with: {
        "grille:policy/context.session": crate::bindings::handles::SessionHandle,
        "grille:policy/sql-data.statement": crate::bindings::handles::StatementHandle,
        "grille:policy/sql-data.columns": crate::bindings::handles::ColumnsHandle,
        "grille:policy/sql-data.result-shape": crate::bindings::handles::ShapeHandle,
        "grille:policy/http-data.exchange": crate::bindings::handles::ExchangeHandle,
    },
});

/// Handles carry no state: an instance has one session, and a call one thing that it is asked about.
pub mod handles {
    pub struct SessionHandle;
    pub struct StatementHandle;
    pub struct ColumnsHandle;
    pub struct ShapeHandle;
    pub struct ExchangeHandle;
}
