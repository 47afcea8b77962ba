//! The rules of the house that no compiler checks.

mod rooms;
mod texts;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

/// Prints what is out of order, with the way to put it right.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let problems = check(root)?;
    for problem in &problems {
        eprintln!("tidy: {problem}");
    }
    if problems.is_empty() {
        println!("tidy: in order");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = rooms::check(root)?;
    problems.extend(texts::check(root)?);
    Ok(problems)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_in_order() {
        let problems = super::check(&crate::root().expect("a repository")).expect("checks");
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
