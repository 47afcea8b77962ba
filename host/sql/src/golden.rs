//! The three golden lists: which functions pass values on, which clear them, and which nobody can follow.
//!
//! Of `pg_catalog` what is immutable or stable and written in C or SQL passes values on, unless [`OPAQUE`] names it.
//! What is volatile is opaque unless [`HARMLESS`] names it. A user's own function is expanded if it is SQL, else opaque.

use crate::catalog::Function;

/// The result says nothing of the argument's value.
pub(crate) const CLEARING: &[&str] = &["count", "pg_typeof"];

/// Never fail over a value, and their result is treated as the value is: nothing is learnt by calling them.
pub(crate) const TOTAL: &[&str] = &[
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "btrim",
    "char_length",
    "character_length",
    "concat",
    "concat_ws",
    "first_value",
    "initcap",
    "json_agg",
    "json_build_array",
    "jsonb_agg",
    "jsonb_build_array",
    "lag",
    "last_value",
    "lead",
    "left",
    "length",
    "lower",
    "ltrim",
    "max",
    "md5",
    "min",
    "octet_length",
    "replace",
    "reverse",
    "right",
    "row_to_json",
    "rtrim",
    "string_agg",
    "sum",
    "to_json",
    "to_jsonb",
    "translate",
    "upper",
];

/// As [`TOTAL`] in their first argument; the others may be out of range.
pub(crate) const TOTAL_IN_FIRST: &[&str] = &["substr", "substring"];

/// Operators as [`TOTAL`].
pub(crate) const TOTAL_OPERATORS: &[&str] = &["||", "->", "->>", "#>", "#>>"];

/// Types that any value can be cast to.
pub(crate) const TOTAL_TYPES: &[&str] = &["bpchar", "name", "text", "varchar"];

/// They return as many rows as their arguments say, so that counting the rows would tell a protected argument.
pub(crate) const COUNTING: &[&str] = &["generate_series"];

/// Functions of the server that return as many rows as a value has parts: of a value that is stored that is its own size,
/// of one that is computed it may be any number.
pub(crate) const SETS: &[&str] = &[
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "json_populate_recordset",
    "json_to_recordset",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_path_query",
    "jsonb_path_query_tz",
    "jsonb_populate_recordset",
    "jsonb_to_recordset",
    "regexp_matches",
    "regexp_split_to_table",
    "string_to_table",
    "ts_parse",
    "ts_token_type",
    "unnest",
];

/// Immutable or stable and yet no mere function of their arguments: they run SQL text, read whole tables, or show
/// what other statements say.
pub(crate) const OPAQUE: &[&str] = &[
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "lo_get",
    "loread",
    "pg_cursor",
    "pg_ls_dir",
    "pg_prepared_statement",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_stat_get_activity",
    "pg_stat_get_backend_activity",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_rewrite",
    "ts_stat",
];

/// Volatile, and yet they neither read tables nor run text nor reach files. Protected values must not be handed to
/// them: they keep or show them elsewhere.
pub(crate) const HARMLESS: &[&str] = &[
    "clock_timestamp",
    "current_query",
    "currval",
    "gen_random_uuid",
    "gin_clean_pending_list",
    "lastval",
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_backend_pid",
    "pg_blocking_pids",
    "pg_cancel_backend",
    "pg_collation_actual_version",
    "pg_config",
    "pg_control_checkpoint",
    "pg_control_init",
    "pg_control_recovery",
    "pg_control_system",
    "pg_current_logfile",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_current_xact_id",
    "pg_current_xact_id_if_assigned",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_export_snapshot",
    "pg_get_replication_slots",
    "pg_get_wal_replay_pause_state",
    "pg_get_wal_resource_managers",
    "pg_index_column_has_property",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_isolation_test_session_is_blocked",
    "pg_jit_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_lock_status",
    "pg_notification_queue_usage",
    "pg_notify",
    "pg_partition_ancestors",
    "pg_partition_root",
    "pg_partition_tree",
    "pg_postmaster_start_time",
    "pg_prepared_xact",
    "pg_relation_size",
    "pg_safe_snapshot_blocking_pids",
    "pg_sequence_last_value",
    "pg_show_all_settings",
    "pg_show_replication_origin_status",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_stat_clear_snapshot",
    "pg_stat_force_next_flush",
    "pg_table_size",
    "pg_tablespace_databases",
    "pg_tablespace_size",
    "pg_terminate_backend",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_total_relation_size",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "pg_xact_commit_timestamp",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "random",
    "random_normal",
    "setseed",
    "set_config",
    "setval",
    "timeofday",
    "txid_current",
    "txid_current_if_assigned",
    "txid_status",
    "uuidv4",
    "uuidv7",
];

/// Extensions of PostgreSQL's own distribution and close to it whose functions in C are pure computations: what is
/// immutable or stable there passes values on as in `pg_catalog`. Only a superuser or a trusted install makes a
/// function a member of one.
pub(crate) const PURE_EXTENSIONS: &[&str] = &[
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "postgis",
    "seg",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// Volatile functions of those that are as harmless as [`HARMLESS`].
pub(crate) const HARMLESS_OF_EXTENSIONS: &[&str] = &[
    "gen_random_bytes",
    "gen_random_uuid",
    "gen_salt",
    "set_limit",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
];

/// Extensions of PostgreSQL's own distribution whose trigger functions write nothing but the time, a number or the user's
/// name into the row.
const HARMLESS_TRIGGERS: &[&str] = &["autoinc", "insert_username", "moddatetime"];

/// Whether a trigger function reads nothing but the row that it is called with, and writes nothing else.
pub(crate) fn is_harmless_trigger(function: &Function) -> bool {
    let extension = function.extension.as_deref();
    match &*function.language {
        "internal" => &*function.schema == "pg_catalog",
        "c" => extension.is_some_and(|own| HARMLESS_TRIGGERS.contains(&own)),
        _ => false,
    }
}

/// What the grammar itself calls for `extract(… from …)` and its like, whether or not the server knows it by that name.
pub(crate) const OF_THE_GRAMMAR: &[&str] = &[
    "btrim",
    "date_part",
    "extract",
    "is_normalized",
    "like_escape",
    "ltrim",
    "normalize",
    "overlaps",
    "overlay",
    "pg_collation_for",
    "position",
    "rtrim",
    "similar_escape",
    "similar_to_escape",
    "substring",
    "system_user",
    "timezone",
    "xmlexists",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_is_on_two_lists() {
        for name in CLEARING {
            assert!(!OPAQUE.contains(name) && !HARMLESS.contains(name), "{name}");
        }
        for name in OPAQUE {
            assert!(!HARMLESS.contains(name) && !OF_THE_GRAMMAR.contains(name), "{name}");
        }
    }
}
