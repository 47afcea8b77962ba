mod backend;
mod encode;
mod frame;
mod frontend;
mod props;
mod startup;
