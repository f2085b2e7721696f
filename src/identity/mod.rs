//! Who a member is: its URLs, its ids and the bootstrap member list, as etcd reads and derives them.

mod cluster;
mod escape;
mod host;
mod parts;
#[cfg(test)]
mod tests;
mod url;
mod version;

pub use cluster::{BootstrapMember, InitialCluster, cluster_id, member_id};
pub use host::{join_host_port, split_host_port};
pub use url::{Scheme, Url, parse_urls};
pub use version::{ETCD_VERSION, Version};
