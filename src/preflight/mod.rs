//! What is looked at before the first executor starts: the kernel, the limits, the data directory. Each thing that is
//! missing ends the process with one clear line that names the cure.

mod directory;
mod kernel;
mod network;
mod problem;
mod start;
mod tls;

pub use directory::DataDirectory;
pub use kernel::{available_cores, check_kernel};
pub use network::{bind_problem, default_host, resolve};
pub use problem::Problem;
pub use start::{Started, leave, read_file, start};
