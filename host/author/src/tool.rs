//! Tools of other people.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use crate::Error;

/// Runs a tool to its end and answers what it printed; `install` says how to get it.
pub(crate) fn capture(command: &mut Command, install: &str) -> Result<Output, Error> {
    command.stdin(Stdio::null()).output().map_err(|error| missing(command.get_program(), &error, install))
}

/// The same, and that it succeeds.
pub(crate) fn text(command: &mut Command, install: &str) -> Result<String, Error> {
    let output = capture(command, install)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim().to_owned();
        let message = format!("{} failed: {first}", command.get_program().display());
        return Err(Error::Tool { message, output: said.into_owned() });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn missing(program: &OsStr, error: &std::io::Error, install: &str) -> Error {
    let program = program.display();
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::Missing(format!("{program} is not installed: {install}"));
    }
    Error::Missing(format!("{program} cannot be run ({error}): {install}"))
}
