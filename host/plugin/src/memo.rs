//! What stateless policies said, remembered by exactly what they looked at.
//!
//! A policy that keeps no state asks the same next question whenever all its questions so far were answered the same.
//! So its answers form a trie: each node is a question, each edge an answer to it, each leaf what the policy said. A
//! lookup asks the same questions natively and follows the edges.

mod question;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;

pub(crate) use question::{About, Question};

/// All nodes and edges of one hook of one policy. Reached by text that differs each time; then everything is forgotten,
/// which costs no more than remembering nothing.
const NODES_MAX: usize = 16_384;
const BYTES_MAX: usize = 8 << 20;
/// One answer. Longer texts do not come back.
const ANSWER_MAX: usize = 64 << 10;
/// From then on, every so many answers out of memory are asked for anew; before, whenever their number is a power of two.
const SAMPLE_EVERY: u64 = 1_024;

/// The answers of one hook of one policy of one set, over all sessions.
pub(crate) struct Memo<V> {
    trie: RwLock<Trie<V>>,
    recalled: AtomicU64,
    is_condemned: AtomicBool,
}

/// What is remembered.
pub(crate) struct Recalled<V> {
    pub(crate) value: V,
    /// Whether the policy is to be asked all the same, to see whether it keeps its word.
    pub(crate) is_sample: bool,
}

struct Trie<V> {
    nodes: Vec<Node<V>>,
    bytes: usize,
}

enum Node<V> {
    /// Not reached yet.
    Empty,
    Asks(Question, HashMap<Box<[u8]>, usize>),
    Says(V),
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self {
            trie: RwLock::new(Trie { nodes: vec![Node::Empty], bytes: 0 }),
            recalled: AtomicU64::new(0),
            is_condemned: AtomicBool::new(false),
        }
    }
}

impl<V: Clone> Memo<V> {
    /// What the policy said when everything that it looked at was as it is now.
    pub(crate) fn recall(&self, about: &About<'_>, scratch: &mut Vec<u8>) -> Option<Recalled<V>> {
        if self.is_condemned.load(Ordering::Relaxed) {
            return None;
        }
        let value = self.trie.read().find(about, scratch)?.clone();
        let recalled = self.recalled.fetch_add(1, Ordering::Relaxed) + 1;
        let is_sample =
            recalled.is_multiple_of(SAMPLE_EVERY) || (recalled < SAMPLE_EVERY && recalled.is_power_of_two());
        Some(Recalled { value, is_sample })
    }

    /// Remembers what it said after these questions.
    pub(crate) fn remember(&self, about: &About<'_>, questions: &[Question], value: V) {
        if !self.is_condemned.load(Ordering::Relaxed) && !self.trie.write().insert(about, questions, value) {
            self.condemn();
        }
    }

    /// Forgets everything for good: the policy does not keep its word.
    pub(crate) fn condemn(&self) {
        self.is_condemned.store(true, Ordering::Relaxed);
        *self.trie.write() = Trie { nodes: Vec::new(), bytes: 0 };
    }

    pub(crate) fn is_condemned(&self) -> bool {
        self.is_condemned.load(Ordering::Relaxed)
    }
}

impl<V> Trie<V> {
    fn find(&self, about: &About<'_>, scratch: &mut Vec<u8>) -> Option<&V> {
        let mut at = 0;
        loop {
            match self.nodes.get(at)? {
                Node::Empty => return None,
                Node::Says(value) => return Some(value),
                Node::Asks(question, answers) => {
                    scratch.clear();
                    question.answer(about, scratch);
                    at = *answers.get(scratch.as_slice())?;
                }
            }
        }
    }

    /// False if the policy asked something else than it did after the same answers before: it keeps state.
    fn insert(&mut self, about: &About<'_>, questions: &[Question], value: V) -> bool {
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            let mut answer = Vec::new();
            question.answer(about, &mut answer);
            if answer.len() > ANSWER_MAX {
                return true;
            }
            answers.push(answer.into_boxed_slice());
        }
        let added: usize = answers.iter().map(|answer| answer.len()).sum();
        if self.nodes.len() + questions.len() > NODES_MAX || self.bytes + added > BYTES_MAX {
            *self = Self { nodes: vec![Node::Empty], bytes: 0 };
        }
        let mut at = 0;
        for (question, answer) in questions.iter().zip(answers) {
            let next = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return true };
            if matches!(node, Node::Empty) {
                *node = Node::Asks(question.clone(), HashMap::new());
            }
            match node {
                Node::Asks(asked, edges) if asked == question => {
                    let bytes = answer.len();
                    at = *edges.entry(answer).or_insert(next);
                    if at == next {
                        self.bytes += bytes;
                        self.nodes.push(Node::Empty);
                    }
                }
                _ => return false,
            }
        }
        match self.nodes.get_mut(at) {
            Some(Node::Asks(..)) => false,
            // Another session may have been here first; both asked the same policy.
            Some(node) => {
                *node = Node::Says(value);
                true
            }
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use grille_policy::{SessionFacts, Statement, StatementFacts, TransactionState, testing};

    use super::*;

    fn statement(text: &str, kind: &str) -> Statement {
        Statement {
            text: text.into(),
            facts: Arc::new(StatementFacts { kinds: vec![kind.into()], ..StatementFacts::default() }),
            parameters: Arc::new([]),
            transaction: TransactionState::Idle,
        }
    }

    fn recall(memo: &Memo<u32>, session: &SessionFacts, statement: &Statement) -> Option<u32> {
        let about = About { session, statement: Some(statement), shape: None };
        memo.recall(&about, &mut Vec::new()).map(|recalled| recalled.value)
    }

    fn remember(memo: &Memo<u32>, session: &SessionFacts, statement: &Statement, questions: &[Question], value: u32) {
        memo.remember(&About { session, statement: Some(statement), shape: None }, questions, value);
    }

    #[test]
    fn an_answer_holds_wherever_everything_it_looked_at_is_the_same() {
        let (memo, session) = (Memo::default(), testing::session());
        let drops = [Question::HasKind("DROP".into())];
        let texts = [Question::HasKind("DROP".into()), Question::Text];
        remember(&memo, &session, &statement("a", "DROP"), &drops, 1);
        assert_eq!(recall(&memo, &session, &statement("b", "DROP")), Some(1), "the text was not looked at");
        assert_eq!(recall(&memo, &session, &statement("a", "SELECT")), None);
        remember(&memo, &session, &statement("a", "SELECT"), &texts, 2);
        assert_eq!(recall(&memo, &session, &statement("a", "SELECT")), Some(2));
        assert_eq!(recall(&memo, &session, &statement("b", "SELECT")), None);
        let open = Statement { transaction: TransactionState::Open, ..statement("a", "SELECT") };
        assert_eq!(recall(&memo, &session, &open), Some(2), "nor was the transaction");
    }

    #[test]
    fn another_session_is_another_answer_if_it_was_looked_at() {
        let (memo, one) = (Memo::default(), testing::session());
        let two = SessionFacts { target: "lab".into(), ..one.clone() };
        let asked = statement("a", "SELECT");
        remember(&memo, &one, &asked, &[Question::Target], 1);
        assert_eq!((recall(&memo, &one, &asked), recall(&memo, &two, &asked)), (Some(1), None));
    }

    #[test]
    fn who_asks_otherwise_after_the_same_answers_keeps_state() {
        let session = testing::session();
        let asked = statement("a", "SELECT");
        for (first, second) in [
            (vec![Question::Text], vec![Question::Target]),
            (vec![Question::Text], vec![]),
            (vec![], vec![Question::Text]),
            (vec![Question::Text], vec![Question::Text, Question::Target]),
        ] {
            let memo = Memo::default();
            remember(&memo, &session, &asked, &first, 1);
            remember(&memo, &session, &asked, &second, 1);
            assert!(memo.is_condemned(), "{first:?} {second:?}");
            assert_eq!(recall(&memo, &session, &asked), None);
        }
    }

    #[test]
    fn samples_are_frequent_at_first_and_then_regular() {
        let (memo, session) = (Memo::default(), testing::session());
        let asked = statement("a", "SELECT");
        remember(&memo, &session, &asked, &[Question::Text], 1);
        let about = About { session: &session, statement: Some(&asked), shape: None };
        let is_sample = |_: &u64| memo.recall(&about, &mut Vec::new()).is_some_and(|recalled| recalled.is_sample);
        let samples: Vec<u64> = (1..=3_000).filter(is_sample).collect();
        assert_eq!(samples, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048]);
    }

    #[test]
    fn memory_is_bounded() {
        let (memo, session) = (Memo::default(), testing::session());
        let long = "x".repeat(1_000);
        for number in 0..NODES_MAX * 2 {
            remember(&memo, &session, &statement(&format!("{long}{number}"), "SELECT"), &[Question::Text], 1);
        }
        let trie = memo.trie.read();
        assert!(trie.nodes.len() <= NODES_MAX && trie.bytes <= BYTES_MAX);
        drop(trie);
        let huge = statement(&"x".repeat(ANSWER_MAX + 1), "SELECT");
        remember(&memo, &session, &huge, &[Question::Text], 1);
        assert_eq!(recall(&memo, &session, &huge), None);
    }
}
