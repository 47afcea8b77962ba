use std::sync::Arc;

use grille_policy::{Finding, Parameter, Statement, StatementFacts, TransactionState, Verdict};

use crate::guest::Reads;

/// Statements that one session repeats. An entry holds what its connection holds anyway, besides about 200 bytes.
const ENTRIES_MAX: usize = 32;
/// Longer texts and parameters are not what a session repeats.
const BYTES_MAX: usize = 64 << 10;

/// Verdicts of a stateless policy in one session. An entry answers only where everything that the policy could read of
/// the statement, or did read of what varies, is the same: facts and text are those of one analysis (which the entry
/// keeps alive, so that its address cannot be another's), parameters and transaction state count if they were read.
/// The session's facts and the settings never change in here.
#[derive(Default)]
pub(crate) struct Memo {
    entries: Vec<Entry>,
    next: usize,
}

struct Entry {
    facts: Arc<StatementFacts>,
    text: Arc<str>,
    parameters: Option<Arc<[Parameter]>>,
    transaction: Option<TransactionState>,
    verdict: Verdict,
    findings: Vec<Finding>,
}

impl Memo {
    pub(crate) fn recall(&self, statement: &Statement) -> Option<(Verdict, Vec<Finding>)> {
        let entry = self.entries.iter().find(|entry| entry.answers(statement))?;
        Some((entry.verdict.clone(), entry.findings.clone()))
    }

    pub(crate) fn remember(&mut self, statement: &Statement, reads: Reads, verdict: &Verdict, findings: &[Finding]) {
        let parameters = if reads.parameters { &*statement.parameters } else { &[] };
        let values = parameters.iter().filter_map(|parameter| parameter.value.as_ref());
        if reads.outside || statement.text.len() + values.map(|value| value.len()).sum::<usize>() > BYTES_MAX {
            return;
        }
        let entry = Entry {
            facts: Arc::clone(&statement.facts),
            text: Arc::clone(&statement.text),
            parameters: reads.parameters.then(|| Arc::clone(&statement.parameters)),
            transaction: reads.transaction.then_some(statement.transaction),
            verdict: verdict.clone(),
            findings: findings.to_vec(),
        };
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(entry);
        } else {
            self.entries[self.next] = entry;
            self.next = (self.next + 1) % ENTRIES_MAX;
        }
    }
}

impl Entry {
    fn answers(&self, statement: &Statement) -> bool {
        Arc::ptr_eq(&self.facts, &statement.facts)
            && (Arc::ptr_eq(&self.text, &statement.text) || self.text == statement.text)
            && self.transaction.is_none_or(|read| read == statement.transaction)
            && self.parameters.as_ref().is_none_or(|read| **read == *statement.parameters)
    }
}
