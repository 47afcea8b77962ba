//! COPY … TO STDOUT of treated columns: there is no description of the rows, so the columns come from the statement.

use grille_mask::{
    ColumnMask, ColumnType, Context, CopyFormat, CopyMasker, CsvOptions, ForceQuote, Format, TextOptions,
};
use grille_policy::Certainty;
use grille_sql::{Catalog, ColumnPlan, CopyInfo};

/// The treatment of one COPY stream.
pub(crate) struct CopyOut {
    masker: CopyMasker,
    out: Vec<u8>,
}

impl CopyOut {
    /// Compiles the plan for the options of the statement. An error says what cannot be treated.
    pub(crate) fn new(
        copy: &CopyInfo,
        plan: &[ColumnPlan],
        catalog: &Catalog,
        context: &Context<'_>,
    ) -> Result<Self, String> {
        let options = Options::read(copy)?;
        let wire = if options.format == CopyFormat::Binary { Format::Binary } else { Format::Text };
        let columns = catalog.base_columns();
        let masks = plan.iter().map(|plan| {
            let known = plan.origins.first().filter(|_| plan.certainty == Certainty::Exact);
            let column = known.and_then(|name| columns.iter().find(|column| column.name == *name));
            match column {
                _ if plan.treatment.is_keep() => ColumnMask::keep(),
                Some(column) => ColumnMask::compile(&plan.treatment, ColumnType::new(column.type_oid, wire), context),
                // Without a type only NULL is sure to be valid.
                None => ColumnMask::null(),
            }
        });
        Ok(Self { masker: CopyMasker::new(masks.collect(), options.format), out: Vec::new() })
    }

    /// The treated rows that became whole with this data.
    pub(crate) fn treat(&mut self, data: &[u8]) -> Result<Vec<u8>, String> {
        self.out.clear();
        self.masker.feed(data, &mut self.out).map_err(|error| error.to_string())?;
        Ok(std::mem::take(&mut self.out))
    }

    /// The stream must end with a whole row.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        self.masker.finish().map_err(|error| error.to_string())
    }
}

struct Options {
    format: CopyFormat,
}

impl Options {
    fn read(copy: &CopyInfo) -> Result<Self, String> {
        let option = |name: &str| copy.options.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value);
        let byte = |name: &str, default: u8| match option(name).map(str::as_bytes) {
            None => Ok(default),
            Some([byte]) => Ok(*byte),
            Some(_) => Err(format!("its option {name} is not one byte")),
        };
        let header = match option("header").map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "off" | "0") => false,
            Some("" | "true" | "on" | "1" | "match") => true,
            Some(_) => return Err("its option header is neither true nor false".to_owned()),
        };
        if let Some(encoding) = option("encoding").map(|name| name.to_ascii_lowercase().replace(['-', '_'], ""))
            && !matches!(&*encoding, "utf8" | "unicode")
        {
            return Err("it is not encoded in UTF8".to_owned());
        }
        let null = option("null").map(|value| value.as_bytes().to_vec());
        let format = match copy.format {
            grille_sql::CopyFormat::Binary => CopyFormat::Binary,
            grille_sql::CopyFormat::Text => {
                let default = TextOptions::default();
                CopyFormat::Text(TextOptions {
                    delimiter: byte("delimiter", default.delimiter)?,
                    null: null.unwrap_or(default.null),
                    header,
                })
            }
            grille_sql::CopyFormat::Csv => {
                let default = CsvOptions::default();
                let quote = byte("quote", default.quote)?;
                // Quoting more than was asked for is still the same data.
                let force_quote = if option("force_quote").is_some() { ForceQuote::All } else { ForceQuote::None };
                CopyFormat::Csv(CsvOptions {
                    delimiter: byte("delimiter", default.delimiter)?,
                    null: null.unwrap_or(default.null),
                    header,
                    quote,
                    escape: byte("escape", quote)?,
                    force_quote,
                })
            }
            grille_sql::CopyFormat::Unknown => return Err("its format is not known".to_owned()),
        };
        Ok(Self { format })
    }
}
