//! JavaScript on QuickJS.

use std::fs;
use std::process::Command;

use super::{Job, early_drop};
use crate::Error;

const INSTALL: &str = "install Node.js 20 or newer, then run: npm install componentize-qjs@0.4.5";

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
        Error::Tool { output, .. }
            if output.contains("canceled due to missing packages")
                || output.contains("could not determine executable") =>
        {
            Error::Missing(format!("componentize-qjs is not installed: {INSTALL}"))
        }
        other => other,
    })?;
    let component = fs::read(&out).map_err(Error::io("read", &out))?;
    early_drop::rewrite(&component).ok_or_else(|| {
        Error::Refused(
            "this componentize-qjs makes components of another kind; run: npm install componentize-qjs@0.4.5".into(),
        )
    })
}
