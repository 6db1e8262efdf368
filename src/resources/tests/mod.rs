//! Tests of the system resources: each against worlds made up by hand, and by properties.

mod accounts;
mod arguments;
mod cluster;
mod kernel;
mod limits;
mod node;
mod options;
mod packages;
mod running;
mod sources;
mod storage;
mod sync;
mod units;
