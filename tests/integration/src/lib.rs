//! Nothing: the tests are in `tests/it`, one binary, so that they are linked once.
#![forbid(unsafe_code)]
