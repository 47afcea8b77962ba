//! Values that a policy's own code rewrites: collected column by column out of what one read delivered, sent over in one
//! call each, and put back into their rows.

use grille_pg_codec::backend::DataRow;
use grille_pg_codec::{frame, tag::backend as tag};
use grille_policy::Batch;

use crate::filter::{BadRow, Filter};

/// Rows per batch.
const ROWS_MAX: usize = 1_000;
/// Bytes of rows per batch; one larger row is a batch of its own.
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// A larger value becomes NULL instead of crossing into a plugin.
const CELL_BYTES_MAX: usize = 1 << 20;

/// The complete rows at the front of a buffer that make up one batch: their bodies' places, and the bytes of all frames.
pub(crate) fn rows_at_front(inbox: &[u8]) -> (Vec<std::ops::Range<usize>>, usize) {
    let (mut rows, mut consumed) = (Vec::new(), 0);
    while rows.len() < ROWS_MAX && (consumed < BATCH_BYTES_MAX || rows.is_empty()) {
        let Some(rest) = inbox.get(consumed..) else { break };
        let Ok(Some(head)) = frame::head(rest) else { break };
        if head.tag != tag::DATA_ROW || rest.len() < head.len {
            break;
        }
        rows.push(consumed + frame::HEADER_BYTES..consumed + head.len);
        consumed += head.len;
    }
    (rows, consumed)
}

/// The values of one column.
pub(crate) fn collect(
    filter: &Filter,
    column: usize,
    inbox: &[u8],
    rows: &[std::ops::Range<usize>],
) -> Result<Batch, BadRow> {
    let mut batch = Batch {
        column: u32::try_from(column).unwrap_or(u32::MAX),
        blob: Vec::new(),
        offsets: vec![0],
        nulls: vec![0; rows.len().div_ceil(8)],
    };
    let of = filter.columns.get(column).ok_or(BadRow::Batch)?;
    for (index, place) in rows.iter().enumerate() {
        let body = inbox.get(place.clone()).unwrap_or_default();
        let value = DataRow::from_body(body)?.values().nth(column).transpose()?.flatten();
        let value = value.filter(|value| value.len() <= CELL_BYTES_MAX);
        if value.and_then(|value| of.crosses(value, &mut batch.blob)).is_none()
            && let Some(byte) = batch.nulls.get_mut(index / 8)
        {
            *byte |= 1 << (index % 8);
        }
        batch.offsets.push(u32::try_from(batch.blob.len()).map_err(|_| BadRow::Batch)?);
    }
    Ok(batch)
}

/// One value of a batch that came back; `None` for NULL, an error if the batch does not hold it.
pub(crate) fn value(batch: &Batch, row: usize) -> Result<Option<&[u8]>, BadRow> {
    let is_null = batch.nulls.get(row / 8).ok_or(BadRow::Batch)? >> (row % 8) & 1 == 1;
    if is_null {
        return Ok(None);
    }
    let (start, end) = (batch.offsets.get(row).ok_or(BadRow::Batch)?, batch.offsets.get(row + 1).ok_or(BadRow::Batch)?);
    batch.blob.get(*start as usize..*end as usize).map(Some).ok_or(BadRow::Batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_by_row_and_broken_batches_are_refused() {
        let batch = Batch { column: 0, blob: b"abcd".to_vec(), offsets: vec![0, 2, 2, 4], nulls: vec![0b010] };
        let all: Vec<_> = (0..3).map(|row| value(&batch, row).expect("a sound batch")).collect();
        assert_eq!(all, [Some(&b"ab"[..]), None, Some(&b"cd"[..])]);
        assert!(value(&batch, 3).is_err(), "one row too many");
        let wild = Batch { offsets: vec![0, 9], nulls: vec![0], ..batch };
        assert!(value(&wild, 0).is_err(), "an offset behind the blob");
    }
}
