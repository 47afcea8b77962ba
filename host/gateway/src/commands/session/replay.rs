//! A recording as psql would have shown it: tables, command tags, errors, notices.

mod pipeline;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grille_admin::view::Moment;
use grille_pg_codec::Format;
use grille_pg_codec::backend::{DataRow, Message, Report, TransactionStatus, field};
use grille_pg_codec::frame::{Frames, INSPECTED_MAX};

use super::super::table::{harmless, time};
use pipeline::{Column, Pipeline, columns};

/// So many rows are aligned together, as psql does with FETCH_COUNT; the memory of a replay does not grow with results.
const ROWS_ALIGNED: usize = 10_000;

/// Plays moments in their order.
#[derive(Default)]
pub(crate) struct Replay {
    prompt: String,
    status: Option<TransactionStatus>,
    /// Bytes of a frame that is not complete yet.
    partial: Vec<u8>,
    columns: Vec<Column>,
    rows: Vec<Vec<Option<String>>>,
    /// Rows of this result that are printed already.
    printed: u64,
    has_result: bool,
    pipeline: Pipeline,
}

/// When a moment was, where it says.
pub(super) const fn at_ms(moment: &Moment) -> Option<u64> {
    match moment {
        Moment::Opened { .. } | Moment::Broken { .. } => None,
        Moment::Asked { at_ms, .. }
        | Moment::Sent { at_ms, .. }
        | Moment::Shown { at_ms, .. }
        | Moment::Elided { at_ms, .. }
        | Moment::Ended { at_ms, .. }
        | Moment::Closed { at_ms, .. } => Some(*at_ms),
    }
}

impl Replay {
    /// What comes onto the screen.
    pub(crate) fn play(&mut self, moment: &Moment) -> String {
        match moment {
            Moment::Opened { session } => {
                self.prompt = session.target.to_string();
                let roles = session.roles.join(", ");
                let begin = time(session.opened_ms);
                let name = &session.person.name;
                harmless(&format!("-- {} {name} on {} as {roles}, {begin}\n", session.id, session.target))
            }
            Moment::Asked { text, .. } => {
                let sign = match self.status {
                    Some(TransactionStatus::Open) => "=*>",
                    Some(TransactionStatus::Failed) => "=!>",
                    Some(TransactionStatus::Idle) | None => "=>",
                };
                let end = if text.trim_end().ends_with(';') { "" } else { ";" };
                harmless(&format!("{}{sign} {}{end}\n", self.prompt, text.trim_end()))
            }
            Moment::Sent { data, .. } => {
                if let Ok(bytes) = STANDARD.decode(data) {
                    self.pipeline.sent(&bytes);
                }
                String::new()
            }
            Moment::Shown { data, .. } => match STANDARD.decode(data) {
                Ok(bytes) => self.show(&bytes),
                Err(_) => "-- (bytes that are no base64)\n".to_owned(),
            },
            Moment::Elided { rows, bytes, .. } => {
                // The rest of the frame that was cut is among what is not kept.
                self.partial.clear();
                let mut text = self.flush();
                self.end_result();
                text.push_str(&format!("-- ({rows} more rows, {bytes} bytes: shown then, not kept)\n"));
                text
            }
            Moment::Ended { .. } => String::new(),
            Moment::Closed { at_ms, reason } => {
                let mut text = self.finish();
                text.push_str(&harmless(&format!("-- closed ({reason}) {}\n", time(*at_ms))));
                text
            }
            Moment::Broken { reason } => {
                let mut text = self.finish();
                text.push_str(&harmless(&format!("-- the recording cannot be read further: {reason}\n")));
                text
            }
        }
    }

    /// What is left when nothing more comes.
    pub(crate) fn finish(&mut self) -> String {
        // A shape without rows is the description of a statement that was not run.
        let text = if self.rows.is_empty() { String::new() } else { self.rows_text() };
        self.end_result();
        text
    }

    fn show(&mut self, bytes: &[u8]) -> String {
        let mut buffer = std::mem::take(&mut self.partial);
        buffer.extend_from_slice(bytes);
        let mut text = String::new();
        let mut frames = Frames::new(&buffer);
        for frame in frames.by_ref() {
            let Ok(frame) = frame else {
                text.push_str("-- (bytes that are no messages)\n");
                return text;
            };
            match Message::parse(frame.tag, frame.body()) {
                Ok(message) => self.message(message, &mut text),
                Err(error) => text.push_str(&harmless(&format!("-- ({error})\n"))),
            }
        }
        let rest = buffer.split_off(frames.consumed());
        if rest.len() <= INSPECTED_MAX {
            self.partial = rest;
        } else {
            text.push_str("-- (a message too large to show)\n");
        }
        text
    }

    fn message(&mut self, message: Message<'_>, text: &mut String) {
        match message {
            Message::RowDescription(shape) => {
                let columns = columns(&shape);
                if self.pipeline.shape(&columns) {
                    self.begin_result(columns);
                }
            }
            Message::DataRow(row) => {
                self.begin_prepared();
                self.add(row);
                if self.rows.len() >= ROWS_ALIGNED {
                    text.push_str(&self.rows_text());
                }
            }
            Message::CommandComplete(tag) => {
                self.begin_prepared();
                if self.has_result {
                    text.push_str(&self.flush());
                    let rows = self.printed;
                    text.push_str(&format!("({rows} row{})\n\n", if rows == 1 { "" } else { "s" }));
                } else {
                    text.push_str(&harmless(&format!("{}\n", String::from_utf8_lossy(tag.bytes()))));
                }
                self.end_result();
                self.pipeline.end();
            }
            Message::PortalSuspended | Message::EmptyQuery => {
                text.push_str(&self.flush());
                self.end_result();
                self.pipeline.end();
            }
            Message::ParseComplete | Message::BindComplete | Message::CloseComplete | Message::NoData => {
                self.pipeline.receipt();
            }
            Message::Error(report) => {
                text.push_str(&self.finish());
                text.push_str(&complaint(report));
                self.pipeline.error();
            }
            Message::Notice(report) => text.push_str(&complaint(report)),
            Message::CopyData(data) => text.push_str(&harmless(&String::from_utf8_lossy(data))),
            Message::ReadyForQuery(status) => {
                text.push_str(&self.finish());
                self.status = Some(status);
                self.pipeline.ready();
            }
            Message::Notification(note) => {
                let channel = String::from_utf8_lossy(note.channel);
                let payload = String::from_utf8_lossy(note.payload);
                let line = format!("Asynchronous notification \"{channel}\" with payload \"{payload}\"\n");
                text.push_str(&harmless(&line));
            }
            _ => {}
        }
    }

    /// A result under a description that came earlier.
    fn begin_prepared(&mut self) {
        if !self.has_result
            && let Some(columns) = self.pipeline.result()
        {
            self.begin_result(columns);
        }
    }

    fn begin_result(&mut self, columns: Vec<Column>) {
        self.end_result();
        self.columns = columns;
        for column in &mut self.columns {
            column.name = cell(&column.name);
        }
        self.has_result = true;
    }

    fn add(&mut self, row: DataRow<'_>) {
        self.has_result = true;
        let mut values = Vec::with_capacity(row.len());
        for (place, value) in row.values().enumerate() {
            let Ok(value) = value else { break };
            if self.columns.len() <= place {
                self.columns.push(Column { name: format!("column {}", place + 1), type_oid: 0, format: Format::Text });
            }
            let column = &self.columns[place];
            values.push(value.map(|bytes| match (column.format, std::str::from_utf8(bytes)) {
                // Without a description of its own a result may be binary; texts hold no zero bytes.
                (Format::Text, Ok(text)) if !text.contains('\0') => cell(text),
                _ => cell(&binary(column.type_oid, bytes)),
            }));
        }
        self.rows.push(values);
    }

    /// The rows that wait, under headings if they are the first ones; headings alone if there are none at all.
    fn flush(&mut self) -> String {
        if self.has_result && (self.printed == 0 || !self.rows.is_empty()) { self.rows_text() } else { String::new() }
    }

    fn rows_text(&mut self) -> String {
        let rows = std::mem::take(&mut self.rows);
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.name.chars().count()).collect();
        for row in &rows {
            for (width, value) in widths.iter_mut().zip(row) {
                *width = (*width).max(value.as_deref().map_or(0, |value| value.chars().count()));
            }
        }
        let mut text = String::new();
        if self.printed == 0 {
            let heading = |(column, width): (&Column, &usize)| format!(" {:^width$} ", column.name);
            text.push_str(
                self.columns.iter().zip(&widths).map(heading).collect::<Vec<_>>().join("|").trim_end_matches(' '),
            );
            text.push('\n');
            text.push_str(&widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("+"));
            text.push('\n');
        }
        for row in &rows {
            let value = |((value, column), width): ((&Option<String>, &Column), &usize)| {
                let value = value.as_deref().unwrap_or_default();
                if is_number(column.type_oid) { format!(" {value:>width$} ") } else { format!(" {value:<width$} ") }
            };
            let line = row.iter().zip(&self.columns).zip(&widths).map(value).collect::<Vec<_>>().join("|");
            text.push_str(line.trim_end_matches(' '));
            text.push('\n');
        }
        self.printed += rows.len() as u64;
        text
    }

    fn end_result(&mut self) {
        self.columns.clear();
        self.rows.clear();
        self.printed = 0;
        self.has_result = false;
    }
}

/// An error or a notice, as psql words it with `VERBOSITY verbose`: an auditor wants the SQLSTATE.
fn complaint(report: Report<'_>) -> String {
    let get = |code| report.get(code).map(String::from_utf8_lossy);
    let severity = get(field::SEVERITY).unwrap_or_default();
    let code = get(field::SQLSTATE).filter(|code| code != "00000").map(|code| format!("{code}: ")).unwrap_or_default();
    let mut text = format!("{severity}:  {code}{}\n", get(field::MESSAGE).unwrap_or_default());
    for (name, code) in [("DETAIL", field::DETAIL), ("HINT", field::HINT), ("CONTEXT", field::WHERE)] {
        if let Some(value) = get(code) {
            text.push_str(&format!("{name}:  {value}\n"));
        }
    }
    harmless(&text)
}

/// One value on one line.
fn cell(text: &str) -> String {
    harmless(text).replace('\n', "↵").replace('\t', "  ")
}

/// The types that psql aligns to the right.
const fn is_number(type_oid: u32) -> bool {
    matches!(type_oid, 20 | 21 | 23 | 26 | 28 | 29 | 700 | 701 | 790 | 1700)
}

/// A binary value in the words of its type where that is easy, in hexadecimal digits elsewhere.
fn binary(type_oid: u32, bytes: &[u8]) -> String {
    let exact = |text: Option<String>| text.unwrap_or_else(|| hex(bytes));
    match type_oid {
        16 => {
            exact(bytes.first().filter(|_| bytes.len() == 1).map(|&byte| if byte == 0 { "f" } else { "t" }.to_owned()))
        }
        20 => exact(bytes.try_into().ok().map(|bytes| i64::from_be_bytes(bytes).to_string())),
        21 => exact(bytes.try_into().ok().map(|bytes| i16::from_be_bytes(bytes).to_string())),
        23 => exact(bytes.try_into().ok().map(|bytes| i32::from_be_bytes(bytes).to_string())),
        26 => exact(bytes.try_into().ok().map(|bytes| u32::from_be_bytes(bytes).to_string())),
        700 => exact(bytes.try_into().ok().map(|bytes| f32::from_be_bytes(bytes).to_string())),
        701 => exact(bytes.try_into().ok().map(|bytes| f64::from_be_bytes(bytes).to_string())),
        1082 => exact(bytes.try_into().ok().and_then(|bytes| date(i32::from_be_bytes(bytes)))),
        2950 if bytes.len() == 16 => {
            let digits = hex(bytes);
            let digits = digits.trim_start_matches("\\x");
            let mut text = String::new();
            for (place, digit) in digits.chars().enumerate() {
                if matches!(place, 8 | 12 | 16 | 20) {
                    text.push('-');
                }
                text.push(digit);
            }
            text
        }
        18 | 19 | 25 | 114 | 142 | 1042 | 1043 => String::from_utf8_lossy(bytes).into_owned(),
        // jsonb is its version and then text.
        3802 => exact(bytes.strip_prefix(&[1]).map(|text| String::from_utf8_lossy(text).into_owned())),
        _ => hex(bytes),
    }
}

/// A date as days since 2000-01-01.
fn date(days: i32) -> Option<String> {
    let day = jiff::civil::date(2000, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
    Some(day.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("\\x"), |mut text, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
