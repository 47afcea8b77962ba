//! Python on CPython.

use std::fs;
use std::process::Command;

use super::Job;
use crate::Error;

const INSTALL: &str = "run: pip install componentize-py==0.25.1";

pub(super) fn component(job: &Job<'_>) -> Result<Vec<u8>, Error> {
    let out = job.scratch.join("plugin.wasm");
    let module = job.source.file_stem().unwrap_or_default();
    let mut command = Command::new("componentize-py");
    command
        .arg("-d")
        .arg(job.wit()?)
        .args(["-w", job.world, "componentize", "--stub-wasi"])
        .arg(module)
        .arg("-o")
        .arg(&out);
    job.run(&mut command, INSTALL)?;
    fs::read(&out).map_err(Error::io("read", &out))
}
