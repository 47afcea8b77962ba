//! What a session may have to wait for before it goes on, as marks on what is owed: they are counted, so that no message
//! looks through a pipeline of thousands.

use crate::operation::Judged;

/// A set of marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks(u16);

impl Marks {
    /// Something answers it.
    pub(crate) const ANSWERED: Self = Self(1);
    /// ReadyForQuery is the end of its answer.
    pub(crate) const ROUND: Self = Self(1 << 1);
    /// After an error the server skips up to here.
    pub(crate) const SYNC: Self = Self(1 << 2);
    /// It is a part of a question of Grille's own.
    pub(crate) const OWN: Self = Self(1 << 3);
    pub(crate) const OPERATION: Self = Self(1 << 4);
    /// It may ask for COPY data.
    pub(crate) const COPY_IN: Self = Self(1 << 5);
    pub(crate) const CHANGES_NAMES: Self = Self(1 << 6);
    pub(crate) const CHANGES_MEANINGS: Self = Self(1 << 7);
    pub(crate) const FORGETS_NAMES: Self = Self(1 << 8);
    pub(crate) const ENDS_TRANSACTION: Self = Self(1 << 9);
    /// It names what SQL prepared or declared, or gives such a name.
    pub(crate) const USES_NAMES: Self = Self(1 << 10);
    pub(crate) const RETURNS_ROWS: Self = Self(1 << 11);
    /// Values of its results are treated.
    pub(crate) const TREATED: Self = Self(1 << 12);
    /// How many there are.
    const COUNT: usize = 13;

    /// The marks of an operation by what it means.
    pub(crate) fn of(judged: &Judged) -> Self {
        let marks = [
            (judged.may_copy_in(), Self::COPY_IN),
            (judged.changes_names(), Self::CHANGES_NAMES),
            (judged.changes_meanings(), Self::CHANGES_MEANINGS),
            (judged.forgets_names(), Self::FORGETS_NAMES),
            (judged.ends_transaction(), Self::ENDS_TRANSACTION),
            (judged.uses_names(), Self::USES_NAMES),
            (judged.may_return_rows(), Self::RETURNS_ROWS),
            (judged.has_treatments(), Self::TREATED),
        ];
        marks.into_iter().filter(|(holds, _)| *holds).fold(Self::OPERATION, |all, (_, mark)| all.and(mark))
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }
}

/// How many have each mark.
#[derive(Debug, Default)]
pub(crate) struct Counts([usize; Marks::COUNT]);

impl Counts {
    pub(crate) fn add(&mut self, marks: Marks) {
        self.each(marks, |count| *count += 1);
    }

    pub(crate) fn remove(&mut self, marks: Marks) {
        self.each(marks, |count| *count = count.saturating_sub(1));
    }

    /// Of a single mark.
    pub(crate) fn of(&self, mark: Marks) -> usize {
        self.0.get(mark.0.trailing_zeros() as usize).copied().unwrap_or_default()
    }

    fn each(&mut self, marks: Marks, change: impl Fn(&mut usize)) {
        self.0.iter_mut().enumerate().filter(|(bit, _)| marks.0 >> bit & 1 == 1).for_each(|(_, count)| change(count));
    }
}
