//! Where a value comes from.

use std::sync::Arc;

use grille_policy::Certainty;

use crate::analysis::Construct;

/// A column of a relation, as places in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ColumnId {
    pub(crate) relation: u32,
    pub(crate) column: u16,
}

/// Where the value of an expression comes from.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) origins: Origins,
    pub(crate) certainty: Certainty,
    /// What keeps the certainty from being better.
    pub(crate) constructs: Vec<Arc<Construct>>,
    /// The fields of a row whose structure is known.
    pub(crate) fields: Option<Arc<[Named]>>,
}

/// A column of a range or a field of a row.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) flow: Flow,
}

/// A set of columns; most values have none or one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origins {
    None,
    One(ColumnId),
    /// Sorted, each once, at least two.
    Many(Arc<[ColumnId]>),
}

impl Origins {
    pub(crate) fn as_slice(&self) -> &[ColumnId] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    fn collect(mut ids: Vec<ColumnId>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        match ids[..] {
            [] => Self::None,
            [id] => Self::One(id),
            _ => Self::Many(ids.into()),
        }
    }

    fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::None, other) | (other, Self::None) => other.clone(),
            (one, two) if one == two => one.clone(),
            (one, two) => Self::collect([one.as_slice(), two.as_slice()].concat()),
        }
    }
}

impl Flow {
    /// A constant, or what is as good as one.
    pub(crate) const fn constant() -> Self {
        Self { origins: Origins::None, certainty: Certainty::Exact, constructs: Vec::new(), fields: None }
    }

    /// Something computed of nothing stored.
    pub(crate) const fn computed() -> Self {
        Self { origins: Origins::None, certainty: Certainty::Derived, constructs: Vec::new(), fields: None }
    }

    /// The value of a column as it is.
    pub(crate) const fn column(id: ColumnId) -> Self {
        Self { origins: Origins::One(id), certainty: Certainty::Exact, constructs: Vec::new(), fields: None }
    }

    /// What could not be followed.
    pub(crate) fn unknown(construct: Arc<Construct>) -> Self {
        Self { origins: Origins::None, certainty: Certainty::Unknown, constructs: vec![construct], fields: None }
    }

    /// A row of these fields.
    pub(crate) fn row(fields: Arc<[Named]>) -> Self {
        Self { fields: Some(Arc::clone(&fields)), ..Self::derived(fields.iter().map(|field| &field.flow)) }
    }

    /// Something computed of all of these.
    pub(crate) fn derived<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut derived = Self::computed();
        let mut many: Vec<ColumnId> = Vec::new();
        for part in parts {
            derived.certainty = derived.certainty.max(part.certainty);
            derived.add_constructs(part);
            if many.is_empty() {
                match (&derived.origins, &part.origins) {
                    (_, Origins::None) => {}
                    (Origins::None, other) => derived.origins = other.clone(),
                    (one, two) if one == two => {}
                    (one, two) => many = [one.as_slice(), two.as_slice()].concat(),
                }
            } else {
                many.extend_from_slice(part.origins.as_slice());
            }
        }
        if !many.is_empty() {
            derived.origins = Origins::collect(many);
        }
        derived
    }

    /// Either of two values, in the same place: an arm of a set operation.
    pub(crate) fn either(&self, other: &Self) -> Self {
        if self.origins == Origins::None && other.origins == Origins::None {
            let mut both = Self { fields: None, ..self.clone() };
            both.certainty = self.certainty.max(other.certainty);
            both.add_constructs(other);
            return both;
        }
        let mut both = Self {
            origins: self.origins.union(&other.origins),
            certainty: Certainty::Derived.max(self.certainty).max(other.certainty),
            constructs: self.constructs.clone(),
            fields: None,
        };
        both.add_constructs(other);
        both
    }

    fn add_constructs(&mut self, other: &Self) {
        for construct in &other.constructs {
            if !self.constructs.contains(construct) {
                self.constructs.push(Arc::clone(construct));
            }
        }
    }

    /// Whether both say the same, fields aside.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.origins == other.origins && self.certainty == other.certainty && self.constructs == other.constructs
    }
}
