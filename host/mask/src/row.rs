//! Rows as DataRow and binary COPY write them: a count of fields, then length and bytes of each.

use crate::column::{ColumnMask, Masked};

/// A row that is not what the result's description says. It must not reach the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// It ends within a field.
    #[error("the row ends within a field")]
    Truncated,
    /// Bytes follow the last field.
    #[error("bytes follow the last field of the row")]
    Surplus,
    /// The number of fields is not the number of columns.
    #[error("the row has {found} fields, the result {expected} columns")]
    Fields {
        /// As the row says.
        found: i16,
        /// As the result says.
        expected: usize,
    },
    /// A masked field would exceed what a length can say.
    #[error("a masked field is too long")]
    TooLong,
}

/// Appends the masked form of one row, of the body of a DataRow. On an error what was appended is meaningless.
pub fn mask_row(columns: &[ColumnMask], row: &[u8], out: &mut Vec<u8>) -> Result<(), RowError> {
    let rest = mask_fields(columns, row, out)?;
    if rest.is_empty() { Ok(()) } else { Err(RowError::Surplus) }
}

/// The same for a row that others follow; gives what is behind it.
pub(crate) fn mask_fields<'a>(columns: &[ColumnMask], row: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], RowError> {
    let (&count, mut rest) = row.split_first_chunk().ok_or(RowError::Truncated)?;
    let found = i16::from_be_bytes(count);
    if usize::try_from(found) != Ok(columns.len()) {
        return Err(RowError::Fields { found, expected: columns.len() });
    }
    out.extend_from_slice(&count);
    for column in columns {
        let (&length, after) = rest.split_first_chunk().ok_or(RowError::Truncated)?;
        let length = i32::from_be_bytes(length);
        let value = if length == -1 {
            rest = after;
            None
        } else {
            let length = usize::try_from(length).map_err(|_| RowError::Truncated)?;
            let (value, after) = after.split_at_checked(length).ok_or(RowError::Truncated)?;
            rest = after;
            Some(value)
        };
        write_field(column, value, out)?;
    }
    Ok(rest)
}

fn write_field(column: &ColumnMask, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), RowError> {
    let head = out.len();
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    if column.apply(value, out) == Masked::Value {
        let length = i32::try_from(out.len() - head - 4).map_err(|_| RowError::TooLong)?;
        if let Some(place) = out.get_mut(head..head + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}
