//! What the target still owes an answer for, message by message, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use grille_policy::DecisionId;
use tokio::time::Instant;

use crate::budget::Taken;
use crate::filter::Filter;
use crate::marks::{Counts, Marks};
use crate::operation::Judged;
use crate::respond::Answer;
use crate::statements::{Change, Changes, Portal, Prepared};

/// Unanswered messages per session: a pipeline longer than this waits in the caller's socket.
pub(crate) const OWED_MAX: usize = 10_000;

/// One message that was forwarded, or put in place of one, and whose answer is not complete.
pub(crate) enum Owed {
    /// A simple query: anything, then ReadyForQuery.
    Query(Box<Running>),
    /// What stands in for a refused query: its error is replaced by ours, ReadyForQuery is the server's own.
    RefusedQuery(Box<Answer>),
    Parse(Change, Arc<Prepared>),
    /// What stands in for a refused Parse, Bind or Execute.
    RefusedParse(Box<Answer>),
    Bind(Change, Arc<Portal>),
    /// None where the name was given by SQL: PREPARE.
    DescribeStatement(Option<Arc<Prepared>>),
    /// None where the name was given by SQL: DECLARE CURSOR.
    DescribePortal(Option<Arc<Portal>>),
    Execute(Box<Running>),
    Close,
    Sync,
    /// An answer of Grille's own, to a message that was not forwarded: said when its turn comes.
    Ours(Bytes),
    /// The caller ended its COPY data before the target asked for any. Nothing answers this; it only marks the place.
    CopyEnd,
    /// A question of Grille's own; the caller never sees its answer.
    Own(Own),
}

/// The parts of a question of Grille's own.
pub(crate) enum Own {
    Parse,
    /// The caller's own statement once more, because its names mean something else now.
    ParseAgain,
    Bind,
    /// Its columns go to the prepared statement.
    Describe(Arc<Prepared>),
    Execute,
    Close,
    Sync,
}

/// An operation that the target works on.
pub(crate) struct Running {
    pub(crate) decision: DecisionId,
    pub(crate) judged: Arc<Judged>,
    pub(crate) started: Instant,
    /// The portal, in the extended protocol.
    pub(crate) portal: Option<Arc<Portal>>,
    /// Which statement of the string answers now.
    pub(crate) statement: usize,
    pub(crate) rows: u64,
    /// Rows of the statement that answers now.
    pub(crate) seen: u64,
    pub(crate) bytes: u64,
    /// What counts against the session's budget.
    pub(crate) taken: Taken,
    pub(crate) sqlstate: Option<String>,
    /// The treatments of the rows that come now; none = they pass as they are.
    pub(crate) filter: Option<Arc<Filter>>,
    /// Whether the shape of the rows that come now was looked at.
    pub(crate) is_shaped: bool,
    /// Why the result is cut, from then on until its end.
    pub(crate) cut: Option<Answer>,
    /// What the caller read instead of a result that was complete or under way.
    pub(crate) withheld: Option<Answer>,
    /// How many values each treated column had, for the record.
    pub(crate) masked: Vec<(Arc<Filter>, Vec<u64>)>,
}

impl Running {
    pub(crate) fn new(decision: DecisionId, judged: Arc<Judged>, portal: Option<Arc<Portal>>) -> Self {
        Self {
            decision,
            judged,
            started: Instant::now(),
            portal,
            statement: 0,
            rows: 0,
            seen: 0,
            bytes: 0,
            taken: Taken::default(),
            sqlstate: None,
            filter: None,
            is_shaped: false,
            cut: None,
            withheld: None,
            masked: Vec::new(),
        }
    }

    /// One statement's answer is complete; `counted` is what the server says of its rows.
    pub(crate) fn end_statement(&mut self, counted: u64) {
        self.rows += std::mem::take(&mut self.seen).max(counted);
        self.statement += 1;
        self.filter = None;
        self.is_shaped = false;
    }
}

/// All that is owed.
#[derive(Default)]
pub(crate) struct Replies {
    queue: VecDeque<Entry>,
    counts: Counts,
    /// How many ReadyForQuery were owed so far.
    rounds: u64,
    /// The same, but those count too that the server will not say after all.
    stretch: u64,
}

struct Entry {
    owed: Owed,
    changes: Option<Box<Changes>>,
    marks: Marks,
}

impl Replies {
    pub(crate) fn push(&mut self, owed: Owed) {
        self.put(owed, None);
    }

    /// The same for a message that changes what names stand for, beside Parse and Bind, which say so themselves.
    pub(crate) fn push_changing(&mut self, owed: Owed, changes: Changes) {
        self.put(owed, Some(Box::new(changes)));
    }

    fn put(&mut self, owed: Owed, changes: Option<Box<Changes>>) {
        let marks = owed.marks();
        self.rounds += u64::from(marks.has(Marks::ROUND));
        self.stretch += u64::from(marks.has(Marks::ROUND));
        self.counts.add(marks);
        self.queue.push_back(Entry { owed, changes, marks });
    }

    fn take(&mut self) -> Option<Entry> {
        let entry = self.queue.pop_front()?;
        self.counts.remove(entry.marks);
        Some(entry)
    }

    /// How many ReadyForQuery have been owed, those included that were said.
    pub(crate) const fn rounds(&self) -> u64 {
        self.rounds
    }

    /// The stretch between two ReadyForQuery that the next message stands in; never the same again.
    pub(crate) const fn stretch(&self) -> u64 {
        self.stretch
    }

    /// How many ReadyForQuery are still to come.
    pub(crate) fn rounds_left(&self) -> u64 {
        self.counts.of(Marks::ROUND) as u64
    }

    /// How many have a mark.
    pub(crate) fn count(&self, mark: Marks) -> usize {
        self.counts.of(mark)
    }

    /// Whether a question of Grille's own has a Sync of its own.
    pub(crate) fn ends_own_question(&self) -> bool {
        matches!(self.queue.back(), Some(Entry { owed: Owed::Own(Own::Sync), .. }))
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Owed> {
        while matches!(self.queue.front(), Some(Entry { owed: Owed::CopyEnd, .. })) {
            self.take();
        }
        self.queue.front_mut().map(|entry| &mut entry.owed)
    }

    pub(crate) fn pop(&mut self) -> Option<Owed> {
        self.pop_with_changes().map(|(owed, _)| owed)
    }

    /// The same with what the message does to names.
    pub(crate) fn pop_with_changes(&mut self) -> Option<(Owed, Option<Box<Changes>>)> {
        self.front_mut()?;
        self.take().map(|entry| (entry.owed, entry.changes))
    }

    /// The answer of Grille's own whose turn it is.
    pub(crate) fn pop_ours(&mut self) -> Option<(Bytes, Option<Box<Changes>>)> {
        if !matches!(self.front_mut(), Some(Owed::Ours(_))) {
            return None;
        }
        match self.take() {
            Some(Entry { owed: Owed::Ours(answer), changes, .. }) => Some((answer, changes)),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count(Marks::ANSWERED) == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= OWED_MAX
    }

    /// The operation whose answer comes now.
    pub(crate) fn running(&mut self) -> Option<&mut Running> {
        match self.front_mut() {
            Some(Owed::Query(running) | Owed::Execute(running)) => Some(running),
            _ => None,
        }
    }

    /// After an error the server skips everything up to the next Sync: these get no answer. Newest first.
    pub(crate) fn skip_to_sync(&mut self) -> Vec<(Owed, Option<Box<Changes>>)> {
        let mut skipped = Vec::new();
        while self.queue.front().is_some_and(|entry| !entry.marks.has(Marks::SYNC)) {
            let Some(entry) = self.take() else { break };
            // A query among them is not answered either.
            self.rounds -= u64::from(entry.marks.has(Marks::ROUND));
            skipped.push((entry.owed, entry.changes));
        }
        skipped.reverse();
        skipped
    }

    /// The target asks for COPY data: a Sync that it reads before their end is ignored. Answers whether the caller has
    /// sent that end already.
    pub(crate) fn begin_copy_in(&mut self) -> bool {
        let end = self.queue.iter().position(|entry| matches!(entry.owed, Owed::CopyEnd));
        let Self { queue, counts, rounds, .. } = self;
        let mut index = 0;
        queue.retain(|entry| {
            let within = index > 0 && end.is_none_or(|end| index <= end);
            index += 1;
            let drops = within && matches!(entry.owed, Owed::Sync | Owed::CopyEnd);
            if drops {
                counts.remove(entry.marks);
                *rounds -= u64::from(entry.marks.has(Marks::ROUND));
            }
            !drops
        });
        end.is_some()
    }

    /// Everything that was forwarded and got no complete answer.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Owed> + '_ {
        self.counts = Counts::default();
        self.queue.drain(..).map(|entry| entry.owed)
    }
}

impl Owed {
    /// Whether its error is none of the caller's business. What cannot be described or prepared again cannot be executed.
    pub(crate) const fn fails_unheard(&self) -> bool {
        matches!(self, Self::Own(own) if !matches!(own, Own::Describe(_) | Own::ParseAgain))
    }

    fn marks(&self) -> Marks {
        let names_for_sql = |change: &Change| {
            if change.sql_name().is_some() { Marks::ANSWERED.and(Marks::USES_NAMES) } else { Marks::ANSWERED }
        };
        match self {
            Self::CopyEnd => Marks::default(),
            Self::Query(running) => running.judged.marks().and(Marks::ANSWERED).and(Marks::ROUND),
            Self::Execute(running) => running.judged.marks().and(Marks::ANSWERED),
            Self::RefusedQuery(_) => Marks::ANSWERED.and(Marks::ROUND),
            Self::Sync => Marks::ANSWERED.and(Marks::ROUND).and(Marks::SYNC),
            Self::Own(Own::Sync) => Marks::ANSWERED.and(Marks::ROUND).and(Marks::SYNC).and(Marks::OWN),
            Self::Own(_) => Marks::ANSWERED.and(Marks::OWN),
            Self::Parse(change, _) | Self::Bind(change, _) => names_for_sql(change),
            Self::Close => Marks::ANSWERED.and(Marks::USES_NAMES),
            Self::RefusedParse(_) | Self::DescribeStatement(_) | Self::DescribePortal(_) | Self::Ours(_) => {
                Marks::ANSWERED
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(replies: &Replies) -> String {
        let letter = |owed: &Owed| match owed {
            Owed::Sync => 'S',
            Owed::Close => '3',
            Owed::CopyEnd => 'c',
            _ => '?',
        };
        replies.queue.iter().map(|entry| letter(&entry.owed)).collect()
    }

    /// The front stands for the COPY; Close is the simplest other message.
    fn replies(letters: &str) -> Replies {
        let mut replies = Replies::default();
        for letter in letters.chars() {
            replies.push(match letter {
                'S' => Owed::Sync,
                'c' => Owed::CopyEnd,
                _ => Owed::Close,
            });
        }
        replies
    }

    #[test]
    fn a_sync_before_the_end_of_copy_data_is_never_answered() {
        for (queue, left, ended) in
            [("3", "3", false), ("3S", "3", false), ("3cS", "3S", true), ("3ScS3", "3S3", true), ("3S3", "33", false)]
        {
            let mut replies = replies(queue);
            assert_eq!(replies.begin_copy_in(), ended, "{queue}");
            assert_eq!(shape(&replies), left, "{queue}");
        }
    }

    #[test]
    fn a_mark_is_no_answer_to_wait_for() {
        let mut replies = replies("c");
        assert!(replies.is_empty() && replies.pop().is_none());
    }

    #[test]
    fn an_error_skips_to_the_next_sync() {
        let mut replies = replies("33S3");
        assert_eq!(replies.skip_to_sync().len(), 2);
        assert_eq!(shape(&replies), "S3");
    }

    #[test]
    fn what_is_counted_is_what_is_there() {
        let mut replies = replies("3S3cS3S");
        let counts = |replies: &Replies| {
            [Marks::ANSWERED, Marks::ROUND, Marks::SYNC, Marks::USES_NAMES].map(|mark| replies.count(mark))
        };
        assert_eq!(counts(&replies), [6, 3, 3, 3]);
        assert!(replies.begin_copy_in());
        assert_eq!((shape(&replies).as_str(), counts(&replies)), ("33S3S", [5, 2, 2, 3]));
        replies.skip_to_sync();
        replies.pop();
        assert_eq!((shape(&replies).as_str(), counts(&replies)), ("3S", [2, 1, 1, 1]));
        assert_eq!((replies.drain().count(), replies.is_empty()), (2, true));
    }
}
