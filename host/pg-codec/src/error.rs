//! Why one complete frame is not the message that its type byte announces.

/// A frame that PostgreSQL would not have written: answer 08P01 and close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    #[error("message type {} is unknown in what a {side} sends", tag.escape_ascii())]
    UnknownType { side: &'static str, tag: u8 },
    #[error("{message} ends inside {field}")]
    Truncated { message: &'static str, field: &'static str },
    #[error("{message} has no zero byte after {field}")]
    Unterminated { message: &'static str, field: &'static str },
    #[error("{message} is followed by {count} bytes inside its own length")]
    Trailing { message: &'static str, count: usize },
    #[error("{message} has the value {value} as {field}")]
    BadValue { message: &'static str, field: &'static str, value: i64 },
}
