/// What a result column is, as RowDescription and the Bind formats say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnType {
    /// The type's OID.
    pub oid: u32,
    /// The type modifier; −1 = none. Masked `varchar(n)` and `char(n)` stay within `n`.
    pub typmod: i32,
    /// How the values are written.
    pub format: Format,
}

impl ColumnType {
    /// A column without a type modifier.
    #[must_use]
    pub const fn new(oid: u32, format: Format) -> Self {
        Self { oid, typmod: -1, format }
    }

    /// The same with the type modifier of its RowDescription.
    #[must_use]
    pub const fn with_typmod(mut self, typmod: i32) -> Self {
        self.typmod = typmod;
        self
    }
}

/// How PostgreSQL writes values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Format code 0.
    Text,
    /// Format code 1.
    Binary,
}

impl Format {
    /// The format of a code on the wire.
    #[must_use]
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Text),
            1 => Some(Self::Binary),
            _ => None,
        }
    }

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }
}

/// The types that at least one masker can write. All others are [`Kind::Other`] and become NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// text, varchar, name and literals of no type.
    Text,
    /// char(n), padded with spaces.
    Bpchar,
    /// "char", one byte.
    Char,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Date,
    Timestamp,
    Timestamptz,
    Uuid,
    Json,
    Jsonb,
    Other,
}

impl Kind {
    /// Whether the wire form is the text itself, so that any characters are valid.
    pub(crate) const fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Bpchar)
    }
}

/// A built-in type: what it is itself and, if it is an array, of which element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Scalar(Kind),
    Array { element: Kind, element_oid: u32 },
}

impl Shape {
    pub(crate) fn of(oid: u32) -> Self {
        if let Some(&(_, _, kind)) = BUILT_IN.iter().find(|row| row.0 == oid) {
            return Self::Scalar(kind);
        }
        match BUILT_IN.iter().find(|row| row.1 == oid && oid != 0) {
            Some(&(element_oid, _, element)) => Self::Array { element, element_oid },
            None => Self::Scalar(Kind::Other),
        }
    }
}

/// Type OID, array OID, kind: pg_type.dat, where these numbers never change.
const BUILT_IN: &[(u32, u32, Kind)] = &[
    (25, 1009, Kind::Text),
    (1043, 1015, Kind::Text),
    (19, 1003, Kind::Text),
    (705, 0, Kind::Text),
    (1042, 1014, Kind::Bpchar),
    (18, 1002, Kind::Char),
    (21, 1005, Kind::Int2),
    (23, 1007, Kind::Int4),
    (20, 1016, Kind::Int8),
    (700, 1021, Kind::Float4),
    (701, 1022, Kind::Float8),
    (1700, 1231, Kind::Numeric),
    (1082, 1182, Kind::Date),
    (1114, 1115, Kind::Timestamp),
    (1184, 1185, Kind::Timestamptz),
    (2950, 2951, Kind::Uuid),
    (114, 199, Kind::Json),
    (3802, 3807, Kind::Jsonb),
];
