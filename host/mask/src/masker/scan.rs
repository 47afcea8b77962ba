//! `scan`: identifiers inside a text are replaced, the rest stays.

use std::sync::Arc;

use crate::detect::{Detector, Scratch};

pub(crate) struct Scan {
    detector: Arc<Detector>,
    /// Buffers of earlier values. One task applies a column's mask, so that nobody ever waits here.
    scratch: parking_lot::Mutex<Scratch>,
}

impl Scan {
    pub(super) fn new(detector: &Arc<Detector>) -> Self {
        Self { detector: Arc::clone(detector), scratch: parking_lot::Mutex::default() }
    }

    pub(super) fn text(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        self.detector.mask_bytes(value, &mut self.scratch.lock(), out);
        Some(())
    }

    pub(super) fn json(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        self.detector.mask_json(value, &mut self.scratch.lock(), out)
    }
}
