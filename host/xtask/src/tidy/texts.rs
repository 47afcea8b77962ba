//! Length of files, and words that have no place in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file that needs more is two files.
const LINES_MAX: usize = 700;
const ROOTS: [&str; 7] = ["host", "plugins", "sdk", "tests", "examples", "wit", ".ci"];
const TOP_FILES: [&str; 3] = ["README.md", "ARCHITECTURE.md", "Cargo.toml"];
const ENDINGS: [&str; 8] = ["rs", "toml", "md", "wit", "sql", "py", "sh", "run"];

/// What must not stand in a file, and why. Split so that this file does not find itself.
const WORDS: [(&str, &str); 6] = [
    (concat!("TO", "DO"), "finish it, or write it down where the plan is"),
    (concat!("FIX", "ME"), "fix it, or write it down where the plan is"),
    (concat!("XX", "X:"), "say what is wrong, or put it right"),
    (PROVISIONAL, "say until when, or make it final"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
];

const PROVISIONAL: &str = concat!("for ", "now");

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for name in ROOTS {
        collect(&root.join(name), &mut files)?;
    }
    files.extend(TOP_FILES.iter().map(|name| root.join(name)).filter(|file| file.is_file()));
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display();
        problems.extend(
            look(&text, file.extension().is_some_and(|e| e == "rs")).into_iter().map(|p| format!("{shown}{p}")),
        );
    }
    Ok(problems)
}

fn look(text: &str, is_rust: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if is_rust && lines > LINES_MAX {
        problems.push(format!(" has {lines} lines, more than {LINES_MAX}: split it"));
    }
    for (index, line) in text.lines().enumerate() {
        for (word, why) in WORDS {
            // In a message to people "for so long" is honest; in a comment it hides that something is unfinished.
            let counts = word != PROVISIONAL || !is_rust || line.trim_start().starts_with("//");
            if counts && line.contains(word) {
                problems.push(format!(":{}: `{}`: {why}", index + 1, word.trim()));
            }
        }
    }
    problems
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // Build output, virtual environments, caches and fuzz corpora are nobody's prose.
            if !matches!(name.as_str(), "target" | "corpus" | "artifacts" | "node_modules" | "__pycache__" | ".venv") {
                collect(&path, files)?;
            }
        } else if ENDINGS.iter().any(|ending| name == *ending || name.ends_with(&format!(".{ending}"))) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, look};

    #[test]
    fn long_files_and_unfinished_work_are_named() {
        assert!(look("fn main() {}\n", true).is_empty());
        assert!(look(&"line\n".repeat(LINES_MAX), true).is_empty());
        assert_eq!(look(&"line\n".repeat(LINES_MAX + 1), true).len(), 1);
        assert!(look(&"line\n".repeat(LINES_MAX + 1), false).is_empty());
        let found = look(concat!("fine\n// TO", "DO later\n"), true);
        assert!(found.len() == 1 && found[0].starts_with(":2:"), "{found:?}");
    }
}
