use std::collections::HashMap;
use std::ops::Range;

use crate::Problem;

/// Where each key stands, so that problems found later can still name line and column.
#[derive(Debug, Clone, Default)]
pub struct Locations {
    /// Key path → line and column of its value, or of its header for tables.
    places: HashMap<String, (u32, u32)>,
    line_starts: Vec<usize>,
    /// For columns in characters.
    text: String,
}

impl Locations {
    pub(crate) fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { places: HashMap::new(), line_starts: std::iter::once(0).chain(ends).collect(), text: text.to_owned() }
    }

    pub(crate) fn add(&mut self, key: &str, span: Range<usize>) {
        let place = self.line_and_column(span.start);
        self.places.insert(key.to_owned(), place);
    }

    pub(crate) fn at(&self, span: Range<usize>, key: &str, message: String, hint: Option<String>) -> Problem {
        let (line, column) = self.line_and_column(span.start);
        Problem { key: key.to_owned(), line, column, message, hint }
    }

    /// A problem with a key; where the key is not in the text, the nearest table around it gives the place.
    #[must_use]
    pub fn problem(&self, key: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        let mut around = key;
        let (line, column) = loop {
            match (self.places.get(around), around.rfind(['.', '['])) {
                (Some(place), _) => break *place,
                (None, Some(at)) => around = around.get(..at).unwrap_or_default(),
                (None, None) => break (1, 1),
            }
        };
        Problem { key: key.to_owned(), line, column, message: message.into(), hint }
    }

    fn line_and_column(&self, offset: usize) -> (u32, u32) {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or_default();
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// Where things stand is no part of what they mean.
impl PartialEq for Locations {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A key path with one more part; parts that are no bare keys are quoted as TOML quotes them.
pub(crate) fn join(path: &str, part: &str) -> String {
    let bare = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    match (path.is_empty(), bare) {
        (true, true) => part.to_owned(),
        (true, false) => format!("{part:?}"),
        (false, true) => format!("{path}.{part}"),
        (false, false) => format!("{path}.{part:?}"),
    }
}
