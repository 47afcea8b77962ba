//! The product as people run it.

mod crash;
mod drivers;
mod explain;
mod hostile;
mod lifetime;
mod swapping;
mod tour;
