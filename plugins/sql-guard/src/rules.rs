use grille_sdk::{Finding, FunctionUse, Opinion, RowFilter, Severity, Terms, Verdict, Write};

/// What the rules look at.
#[derive(Default)]
pub(crate) struct Judged {
    pub(crate) kinds: Vec<String>,
    pub(crate) changes_privileges: bool,
    pub(crate) is_procedural: bool,
    pub(crate) copies_blindly: bool,
    pub(crate) writes: Vec<Write>,
    pub(crate) functions: Vec<FunctionUse>,
}

/// The verdict: the first blocking rule in the order of the table in the crate's description; every other rule that
/// fires is a finding.
pub(crate) fn judge(judged: &Judged) -> Opinion {
    let mut blocks = blocks(judged);
    let mut reviews = reviews(judged);
    if !blocks.is_empty() {
        let first = blocks.remove(0);
        blocks.append(&mut reviews);
        return Opinion { verdict: Verdict::Block(first), findings: blocks };
    }
    if reviews.is_empty() {
        return Opinion::allow();
    }
    Opinion { verdict: Verdict::Review(Terms::standard(reason(&reviews))), findings: reviews }
}

/// A sentence that fits what the contract allows: the first few, and how many more.
fn reason(reviews: &[Finding]) -> String {
    let mut reasons: Vec<&str> = reviews.iter().map(|finding| finding.message.as_str()).collect();
    reasons.dedup();
    let more = reasons.len().saturating_sub(NAMED);
    reasons.truncate(NAMED);
    let mut text = reasons.join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// Names are at most 63 bytes each, so that this many sentences stay below 2 KiB.
const NAMED: usize = 5;

fn blocks(judged: &Judged) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(kind) = judged.kinds.iter().find(|kind| first_word(kind) == "DROP") {
        findings.push(Finding::new(
            "drop",
            Severity::High,
            format!("{kind} is not allowed here: it destroys the object and everything in it"),
        ));
    }
    if judged.kinds.iter().any(|kind| first_word(kind) == "TRUNCATE") {
        let table = judged.writes.iter().find(|write| write.kind == "TRUNCATE").map(table);
        let of = table.map_or_else(String::new, |table| format!(" of {table}"));
        findings.push(Finding::new(
            "truncate",
            Severity::High,
            format!("TRUNCATE{of} is not allowed here: it deletes every row at once"),
        ));
    }
    for write in judged.writes.iter().filter(|write| write.kind == "DELETE" && write.filter == RowFilter::AllRows) {
        findings.push(Finding::new(
            "delete-without-where",
            Severity::High,
            format!("DELETE from {} has no WHERE that limits it, so every row would go; add a condition", table(write)),
        ));
    }
    if judged.changes_privileges {
        findings.push(Finding::new(
            "privileges",
            Severity::High,
            "changing roles, owners or privileges is not allowed here",
        ));
    }
    for function in judged.functions.iter().filter(|function| reaches_out(&function.name)) {
        findings.push(Finding::new(
            "file-or-network-function",
            Severity::Critical,
            format!(
                "{}() reaches files or the network of the database server, which is not allowed here",
                function.name
            ),
        ));
    }
    if judged.copies_blindly {
        findings.push(Finding::new(
            "copy-of-files",
            Severity::Critical,
            "COPY with files or programs of the database server, or with code that cannot be followed, is not allowed here",
        ));
    }
    if judged.kinds.iter().any(|kind| kind == "LOAD") {
        findings.push(Finding::new(
            "load",
            Severity::Critical,
            "LOAD brings a library from the server's files into it, which is not allowed here",
        ));
    }
    // The host takes at most 64 findings; a text with more statements than that is refused by the first as well.
    findings.truncate(MAX_FINDINGS);
    findings
}

fn reviews(judged: &Judged) -> Vec<Finding> {
    let mut findings = Vec::new();
    for write in &judged.writes {
        let is_bulk = matches!(write.kind.as_str(), "UPDATE" | "MERGE") && write.filter == RowFilter::AllRows;
        if is_bulk {
            let message = format!("{} of {} changes every row: no WHERE limits it", write.kind, table(write));
            findings.push(Finding::new("bulk-update", Severity::Medium, message));
        }
    }
    if judged.is_procedural {
        findings.push(Finding::new(
            "procedural-code",
            Severity::Medium,
            "DO and CALL run code that cannot be judged beforehand",
        ));
    }
    findings.truncate(MAX_FINDINGS);
    findings
}

/// Half of what the contract allows, since both lists may come together.
const MAX_FINDINGS: usize = 32;

fn first_word(kind: &str) -> &str {
    kind.split(' ').next().unwrap_or_default()
}

fn table(write: &Write) -> String {
    format!("{}.{}", write.schema, write.table)
}

/// Functions of PostgreSQL and its usual extensions that read or write files of the server, run programs, or open
/// connections.
fn reaches_out(function: &str) -> bool {
    let name = function.rsplit('.').next().unwrap_or(function);
    FAMILIES.iter().any(|family| name.starts_with(family)) || FUNCTIONS.contains(&name)
}

const FAMILIES: [&str; 5] = ["dblink", "pg_ls_", "pg_file_", "pg_read_", "postgres_fdw_"];

const FUNCTIONS: [&str; 17] = [
    "pg_stat_file",
    "pg_current_logfile",
    "pg_logdir_ls",
    "pg_rotate_logfile",
    "lo_import",
    "lo_export",
    "http",
    "http_get",
    "http_post",
    "http_put",
    "http_patch",
    "http_delete",
    "http_head",
    "http_set_curlopt",
    "aws_lambda_invoke",
    "table_import_from_s3",
    "query_export_to_s3",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn write(kind: &str, filter: RowFilter) -> Write {
        Write { kind: kind.to_owned(), schema: "public".to_owned(), table: "patients".to_owned(), filter }
    }

    fn said(judged: &Judged) -> String {
        let opinion = judge(judged);
        match opinion.verdict {
            Verdict::Allow => "allow".to_owned(),
            Verdict::Block(finding) => format!("block {}", finding.rule),
            Verdict::Review(terms) => format!("review {}", terms.reason),
        }
    }

    #[test]
    fn the_standard_profile() {
        use RowFilter::{Absent, AllRows, Effective};
        let bulk = "review UPDATE of public.patients changes every row: no WHERE limits it";
        for (kinds, writes, expected) in [
            (&["SELECT"] as &[&str], vec![], "allow"),
            (&["INSERT"], vec![write("INSERT", Absent)], "allow"),
            (&["DROP TABLE"], vec![], "block drop"),
            (&["DROP"], vec![], "block drop"),
            (&["SELECT", "TRUNCATE"], vec![write("TRUNCATE", Absent)], "block truncate"),
            (&["TRUNCATE TABLE"], vec![], "block truncate"),
            (&["DELETE"], vec![write("DELETE", AllRows)], "block delete-without-where"),
            (&["DELETE"], vec![write("DELETE", Effective)], "allow"),
            (&["UPDATE"], vec![write("UPDATE", AllRows)], bulk),
            (&["UPDATE"], vec![write("UPDATE", Effective)], "allow"),
            (
                &["DELETE", "UPDATE"],
                vec![write("UPDATE", AllRows), write("DELETE", AllRows)],
                "block delete-without-where",
            ),
            (&["DROPPED"], vec![], "allow"),
            (&["COPY"], vec![], "allow"),
            (&["LOAD"], vec![], "block load"),
        ] {
            let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            assert_eq!(said(&Judged { kinds, writes, ..Judged::default() }), expected);
        }
        assert_eq!(said(&Judged { changes_privileges: true, ..Judged::default() }), "block privileges");
        assert_eq!(said(&Judged { copies_blindly: true, ..Judged::default() }), "block copy-of-files");
        assert!(said(&Judged { is_procedural: true, ..Judged::default() }).starts_with("review DO and CALL"));
    }

    #[test]
    fn functions_that_reach_out_are_refused_and_others_are_not() {
        for (name, expected) in [
            ("pg_catalog.pg_read_file", true),
            ("pg_catalog.pg_ls_dir", true),
            ("pg_catalog.lo_import", true),
            ("public.dblink", true),
            ("dblink_connect", true),
            ("public.http_get", true),
            ("pg_catalog.lower", false),
            ("pg_catalog.log", false),
            ("pg_catalog.pg_relation_size", false),
            ("public.patients_of", false),
        ] {
            let functions = vec![FunctionUse { name: name.to_owned(), is_known: true }];
            let judged = Judged { functions, ..Judged::default() };
            assert_eq!(said(&judged) == "block file-or-network-function", expected, "{name}");
        }
    }

    #[test]
    fn everything_that_fires_is_named_and_the_list_stays_within_the_contract() {
        let writes = (0..200).flat_map(|_| [write("DELETE", RowFilter::AllRows), write("UPDATE", RowFilter::AllRows)]);
        let opinion = judge(&Judged { writes: writes.collect(), ..Judged::default() });
        assert!(matches!(opinion.verdict, Verdict::Block(_)) && opinion.findings.len() < 64);
        assert!(opinion.findings.iter().any(|finding| finding.rule == "bulk-update"));
    }
}
