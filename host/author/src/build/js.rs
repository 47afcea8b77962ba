//! JavaScript on QuickJS.

use std::fs;
use std::process::Command;

use super::Job;
use crate::Error;

const INSTALL: &str = "install Node.js 20 or newer, then run: npm install --save-dev componentize-qjs";

pub(super) fn component(job: &Job<'_>) -> Result<Vec<u8>, Error> {
    let out = job.scratch.join("plugin.wasm");
    let mut command = Command::new("npx");
    command
        .args(["--no-install", "componentize-qjs", "--sync", "--stub-wasi", "-n", job.world, "-w"])
        .arg(job.wit()?)
        .arg("-j")
        .arg(job.source)
        .arg("-o")
        .arg(&out);
    job.run(&mut command, INSTALL).map_err(|error| match error {
        Error::Tool { output, .. } if output.contains("canceled due to missing packages") || output.contains("could not determine executable") => {
            Error::Missing(format!("componentize-qjs is not installed: {INSTALL}"))
        }
        other => other,
    })?;
    fs::read(&out).map_err(Error::io("read", &out))
}
