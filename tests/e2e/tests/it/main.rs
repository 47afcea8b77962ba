//! The product as people run it.

mod crash;
mod day_one;
mod drivers;
mod evidence;
mod explain;
mod hostile;
mod lifetime;
mod same;
mod streams;
mod swapping;
mod tour;
