//! The product as people run it.

mod drivers;
mod hostile;
mod lifetime;
mod tour;
