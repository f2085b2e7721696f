//! The configuration: one table of flags, read from the command line and the environment by etcd's rules.

mod arguments;
mod bootstrap;
mod check;
mod derived;
mod environment;
mod exit;
mod field;
mod file;
mod flag;
mod gates;
mod help;
mod model;
mod parse;
mod settings;
mod settle;
mod start;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod value;

pub use bootstrap::{Bootstrap, Resolve, bootstrap};
pub use exit::{Exit, Parsed};
pub use gates::{Gate, Gates};
pub use help::readme_table;
pub use model::{
    Advertise, AutoCompaction, CompactionMode, Config, GrpcKeepalive, Listen, MemberState, Quota, RaftTiming,
    RequestBounds, Warnings,
};
pub use parse::{Outside, parse};
pub use start::{check_start, describe};
pub use tls::{ClientTls, TlsVersion, tls_notices};
