//! One line per operation (RFC 4180).

use super::pages::time;
use super::sheet::Sheet;

const HEADINGS: &str = "session,decision,record,time,subject,issuer,name,agents,target,roles,peer,verdict,reason,\
                        policies,request,approved_by,justification,rows,bytes,sqlstate,masked,statement,kept";

pub(super) fn table(sheet: &Sheet) -> String {
    let mut text = format!("{HEADINGS}\r\n");
    for operation in &sheet.operations {
        let session = sheet.sessions.get(&operation.id.session);
        let facts = session.and_then(|session| session.facts.as_ref());
        let subject = facts.map(|facts| &facts.subject);
        let of = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let agents = subject.map(|subject| subject.actors.iter().map(|one| one.sub.to_string()).collect::<Vec<_>>());
        let outcome = operation.outcome.as_ref();
        let masked = outcome.map(|outcome| {
            let masked = outcome.masked.iter().map(|one| format!("{}: {} × {}", one.column, one.treatment, one.count));
            masked.collect::<Vec<_>>().join("; ")
        });
        let approvers = operation.request.map(|request| sheet.approvers(request).join("; "));
        let cells = [
            operation.id.session.to_string(),
            operation.id.to_string(),
            operation.index.to_string(),
            time(operation.time),
            of(subject.map(|subject| &*subject.sub)),
            of(subject.map(|subject| &*subject.issuer)),
            of(subject.map(|subject| &*subject.name)),
            agents.unwrap_or_default().join("; "),
            of(facts.map(|facts| &*facts.target)),
            facts.map(|facts| facts.roles.join("; ")).unwrap_or_default(),
            of(facts.map(|facts| &*facts.peer)),
            operation.verdict.to_owned(),
            of(operation.reason.as_deref()),
            operation.policies.join("; "),
            operation.request.map(|request| request.to_string()).unwrap_or_default(),
            approvers.unwrap_or_default(),
            of(operation.justification.as_deref()),
            outcome.map(|outcome| outcome.rows.to_string()).unwrap_or_default(),
            outcome.map(|outcome| outcome.bytes.to_string()).unwrap_or_default(),
            outcome.and_then(|outcome| outcome.sqlstate.clone()).unwrap_or_default(),
            masked.unwrap_or_default(),
            operation.text.clone(),
            of(session.and_then(|session| session.kept.as_deref())),
        ];
        text.push_str(&cells.map(|value| cell(&value)).join(","));
        text.push_str("\r\n");
    }
    text
}

/// A cell that no spreadsheet takes for a formula.
pub(super) fn cell(value: &str) -> String {
    let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let value = if is_formula { format!("'{value}") } else { value.to_owned() };
    if value.contains([',', '"', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_values_and_nothing_else() {
        for (value, expected) in [
            ("select 1", "select 1"),
            ("a,b", "\"a,b\""),
            ("say \"x\"\n", "\"say \"\"x\"\"\n\""),
            ("=cmd()", "'=cmd()"),
            ("-1", "'-1"),
            ("", ""),
        ] {
            assert_eq!(cell(value), expected);
        }
    }
}
