//! gRPC over HTTP/2, and plain HTTP/1.1, on one connection of one executor. No word of the services above is known here.

mod budget;
mod calls;
mod clock;
mod connection;
mod context;
mod exchange;
pub mod frame;
mod fuzz;
mod handler;
mod head;
mod http1;
mod http2;
mod inflate;
mod lane;
mod pace;
mod pings;
mod shutdown;
mod status;
#[cfg(test)]
mod test_client;
#[cfg(test)]
mod tests;
mod timeout;
mod wire;

pub use connection::{SpokeTls, serve};
pub use context::{Config, Context, Keepalive};
pub use exchange::{Answers, Call, Reply, Requests, framed};
pub use fuzz::fuzz_connection;
pub use handler::{Handler, HttpRequest, HttpResponse};
pub use head::Head;
pub use inflate::fuzz_gzip;
pub use pace::Pace;
pub use shutdown::Shutdown;
pub use status::{Code, Status};
#[cfg(test)]
pub(crate) use test_client::TestClient;
