//! Texts as Go's standard library reads and writes them, for the flags, log fields and error texts that operators and
//! scripts know from etcd.

mod duration;
mod number;
mod push;
mod quote;

pub use duration::{GoDuration, parse_duration};
pub use number::{NumberError, parse_bool, parse_signed, parse_unsigned};
pub use push::push_fmt;
pub use quote::{quote, quote_list};
