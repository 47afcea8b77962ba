//! What the first application that is put behind the gateway does on its first day.

use grille_e2e::peer;

#[test]
fn a_pool_holds_validates_and_reuses_connections() {
    peer::works("Pool.java", &[]);
}

#[test]
fn discard_all_forgets_what_the_session_knew_and_not_what_protects_it() {
    peer::works("day_one.py", &["discard_all"]);
}

#[test]
fn settings_that_drivers_send_first_are_accepted() {
    peer::works("day_one.py", &["first_settings"]);
}

#[test]
fn a_migration_runs_in_one_transaction() {
    peer::works("day_one.py", &["migration"]);
}

#[test]
fn temporary_tables_work_and_launder_nothing() {
    peer::works("day_one.py", &["temporary_tables"]);
}

#[test]
fn a_statement_timeout_ends_one_statement() {
    peer::works("day_one.py", &["statement_timeout"]);
}

#[test]
fn catalog_queries_of_tools_are_answered_in_masked_sessions_too() {
    peer::works("day_one.py", &["catalog_queries"]);
}
