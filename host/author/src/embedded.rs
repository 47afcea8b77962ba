//! The files that come with the binary.

/// Paths such as `wit/world.wit` or `template/rust/src/lib.rs`, and their texts.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files below a folder of the table, by their path in it.
pub(crate) fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let folder = format!("{folder}/");
    FILES.iter().filter_map(move |(path, text)| Some((path.strip_prefix(folder.as_str())?, *text)))
}

/// A file of the table.
pub(crate) fn file(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}
