//! The treatments of one result, compiled for its columns, and their work on each row.

use std::sync::Arc;

use bytes::BytesMut;
use grille_mask::{ColumnMask, ColumnType, Context, Crossing, Masked};
use grille_pg_codec::backend::OwnedField;
use grille_pg_codec::encode::{EncodeError, RowCopy};
use grille_pg_codec::{Format, Malformed};
use grille_policy::{Batch, ResultShape, Treatment};

use crate::statements::ResultFormats;
use crate::transform;

/// What happens to each row of a result.
pub(crate) struct Filter {
    pub(crate) shape: ResultShape,
    pub(crate) columns: Vec<Column>,
}

/// What happens to one column.
pub(crate) struct Column {
    pub(crate) name: Arc<str>,
    pub(crate) treatment: Treatment,
    /// How its values cross into a policy's own code; none for types that do not in binary.
    crossing: Option<Crossing>,
    is_binary: bool,
    mask: ColumnMask,
}

impl Column {
    /// Appends the text of a value for a policy's own code. None if it does not cross, so that NULL stands for it.
    pub(crate) fn crosses(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        let crossed = match (self.is_binary, self.crossing) {
            (true, crossing) => crossing?.to_text(value, out),
            (false, _) => {
                out.extend_from_slice(value);
                Some(())
            }
        };
        let is_text = crossed.is_some() && std::str::from_utf8(out.get(start..).unwrap_or_default()).is_ok();
        if !is_text {
            out.truncate(start);
        }
        is_text.then_some(())
    }

    /// What came back, as the column's format has it; NULL if it is no value of the column's type.
    fn crosses_back<'v>(&self, value: &'v [u8], scratch: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        let Some(crossing) = self.crossing else { return (!self.is_binary).then_some(value) };
        if crossing.is_text() {
            return Some(value);
        }
        scratch.clear();
        crossing.to_binary(value, scratch)?;
        Some(if self.is_binary { scratch } else { value })
    }

    pub(crate) fn is_keep(&self) -> bool {
        self.mask.is_keep()
    }
}

impl Filter {
    /// Compiles one treatment per column; none if all of them keep.
    pub(crate) fn compile(
        shape: ResultShape,
        treatments: &[Treatment],
        fields: &[OwnedField],
        formats: &ResultFormats,
        context: &Context<'_>,
    ) -> Option<Self> {
        if treatments.iter().all(Treatment::is_keep) {
            return None;
        }
        let columns = treatments.iter().zip(fields).enumerate().map(|(index, (treatment, field))| {
            let column = ColumnType::new(field.type_oid, mask_format(formats.of(index))).with_typmod(field.typmod);
            Column {
                crossing: Crossing::of(field.type_oid),
                is_binary: formats.of(index) == Format::Binary,
                name: String::from_utf8_lossy(&field.name).into(),
                treatment: treatment.clone(),
                mask: ColumnMask::compile(treatment, column, context),
            }
        });
        Some(Self { columns: columns.collect(), shape })
    }

    /// Whether policies' own code rewrites columns.
    pub(crate) fn rewrites(&self) -> bool {
        self.transforms().next().is_some()
    }

    /// The columns that policies' own code rewrites, with the policies' names.
    pub(crate) fn transforms(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        self.columns.iter().enumerate().filter_map(|(index, column)| match &column.treatment {
            Treatment::Transform(policy) => Some((index, policy)),
            Treatment::Keep | Treatment::Mask(_) => None,
        })
    }

    /// Appends the DataRow frame with its values treated, and counts the treated values that are not NULL. `rewritten`
    /// holds the batches that came back, and which of their rows this is.
    pub(crate) fn row(
        &self,
        body: &[u8],
        out: &mut BytesMut,
        scratch: &mut Vec<u8>,
        counts: &mut [u64],
        rewritten: (&[(usize, Batch)], usize),
    ) -> Result<(), BadRow> {
        let mut row = RowCopy::begin(body, out)?;
        if row.len() != self.columns.len() {
            return Err(BadRow::Columns { row: row.len(), described: self.columns.len() });
        }
        for (index, (column, count)) in self.columns.iter().zip(counts).enumerate() {
            let value = row.read()?;
            if column.is_keep() {
                continue;
            }
            *count += u64::from(value.is_some());
            if let Some((_, batch)) = rewritten.0.iter().find(|(column, _)| *column == index) {
                let value = transform::value(batch, rewritten.1)?;
                row.replace(value.and_then(|value| column.crosses_back(value, scratch)))?;
                continue;
            }
            scratch.clear();
            match column.mask.apply(value, scratch) {
                Masked::Null => row.replace(None)?,
                Masked::Value => row.replace(Some(scratch))?,
            }
        }
        row.finish()
    }
}

/// The mask room names formats itself, so that it depends on no protocol.
const fn mask_format(format: Format) -> grille_mask::Format {
    match format {
        Format::Text => grille_mask::Format::Text,
        Format::Binary => grille_mask::Format::Binary,
    }
}

/// A row that does not fit its description. Nothing of it may reach the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRow {
    #[error("a row cannot be read")]
    Malformed(#[from] Malformed),
    #[error("a row has {row} columns where {described} were described")]
    Columns { row: usize, described: usize },
    #[error("a policy's values do not fit their rows")]
    Batch,
    #[error("a treated row cannot be written")]
    Unwritable(#[from] EncodeError),
}

#[cfg(test)]
mod tests {
    use grille_mask::MaskKey;
    use grille_mask::detect::Detector;
    use grille_pg_codec::encode::RowWriter;
    use grille_pg_codec::frame;
    use grille_policy::Masker;

    use super::*;

    fn field(name: &str, type_oid: u32) -> OwnedField {
        OwnedField {
            name: name.as_bytes().into(),
            table_oid: 0,
            attnum: 0,
            type_oid,
            type_len: -1,
            typmod: -1,
            format: Format::Text,
        }
    }

    fn frame_of(values: &[Option<&[u8]>]) -> BytesMut {
        let mut out = BytesMut::new();
        let mut row = RowWriter::begin(&mut out);
        for value in values {
            row.value(*value).expect("short values");
        }
        row.finish().expect("a short row");
        out
    }

    fn filter(treatments: &[Treatment], fields: &[OwnedField]) -> Option<Filter> {
        let key = MaskKey::new([7; 32]);
        let detector = Arc::new(Detector::new().expect("the patterns compile"));
        let context = Context { key: &key, detector: &detector, year: 2026 };
        Filter::compile(ResultShape { columns: Vec::new() }, treatments, fields, &ResultFormats::default(), &context)
    }

    #[test]
    fn treated_values_change_and_kept_ones_do_not() {
        let fields = [field("id", 20), field("ssn", 25), field("born", 1082)];
        let treatments = [Treatment::Keep, Treatment::Mask(Masker::Redact), Treatment::Mask(Masker::Year)];
        let filter = filter(&treatments, &fields).expect("two columns are treated");
        let row = frame_of(&[Some(b"17"), Some(b"123-45-6789"), Some(b"1980-06-15")]);
        let (mut out, mut counts) = (BytesMut::new(), [0; 3]);
        filter.row(&row[frame::HEADER_BYTES..], &mut out, &mut Vec::new(), &mut counts, (&[], 0)).expect("a whole row");
        assert_eq!(out, frame_of(&[Some(b"17"), Some(b"[redacted]"), Some(b"1980-01-01")]));
        assert_eq!(counts, [0, 1, 1]);
    }

    #[test]
    fn a_row_that_does_not_fit_is_refused_and_all_keep_needs_no_filter() {
        let fields = [field("ssn", 25)];
        assert!(filter(&[Treatment::Keep], &fields).is_none());
        let filter = filter(&[Treatment::Mask(Masker::Null)], &fields).expect("one column is treated");
        let row = frame_of(&[Some(b"a"), Some(b"b")]);
        let mut out = BytesMut::new();
        let refused = filter.row(&row[frame::HEADER_BYTES..], &mut out, &mut Vec::new(), &mut [0], (&[], 0));
        assert!(matches!(refused, Err(BadRow::Columns { row: 2, described: 1 })));
        assert!(out.is_empty());
    }
}
