//! A flag's value: its text read by its kind, with the error texts of Go's flag package and etcd's own kinds.
//!
//! Invariants
//! - What a kind reads is always the same variant of `Value`.

use std::collections::BTreeSet;

use super::flag::Kind;
use super::gates::{self, Gate};
use crate::gotext::{GoDuration, NumberError, parse_bool, parse_duration, parse_signed, parse_unsigned, quote};
use crate::identity::{Url, parse_urls};

/// A value that was read.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    /// A truth.
    Bool(bool),
    /// A signed number.
    Signed(i64),
    /// An unsigned number.
    Unsigned(u64),
    /// A text, or one of several words.
    Text(String),
    /// A length of time.
    Duration(GoDuration),
    /// URLs, sorted by text, each once.
    Urls(Vec<Url>),
    /// Texts.
    List(Vec<String>),
    /// The gates that are set, each once.
    Gates(Vec<(Gate, bool)>),
}

/// Reads `text`.
pub(super) fn read(kind: Kind, text: &str) -> Result<Value, String> {
    let number = |error: NumberError| error.text().to_owned();
    match kind {
        Kind::Bool => parse_bool(text).map(Value::Bool).map_err(number),
        Kind::Int => parse_signed(text).map(Value::Signed).map_err(number),
        Kind::Uint => parse_unsigned(text, 64).map(Value::Unsigned).map_err(number),
        Kind::Uint32 => {
            parse_unsigned(text, 32).map(Value::Unsigned).map_err(|error| error.strconv_text("ParseUint", text))
        }
        Kind::Text => Ok(Value::Text(text.to_owned())),
        // Go's flag package hides why a duration is bad.
        Kind::Duration => parse_duration(text).map(Value::Duration).map_err(|_| NumberError::Syntax.text().to_owned()),
        Kind::Urls => read_urls(text).map(Value::Urls),
        Kind::Origins => read_origins(text).map(Value::List),
        Kind::UniqueList => Ok(Value::List(read_unique(text))),
        Kind::List => Ok(Value::List(split(text))),
        Kind::OneOf(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::OneOf(_) => Err("invalid value".to_owned()),
        Kind::SomeOf(words) => read_some(words, text).map(Value::List),
        Kind::Gates => gates::read(text).map(Value::Gates),
    }
}

/// URLs, each once; no text is no URLs.
fn read_urls(text: &str) -> Result<Vec<Url>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut urls = parse_urls(text.split(','))?;
    urls.dedup();
    assert!(urls.is_sorted() && !urls.is_empty(), "a text gives at least one URL");
    Ok(urls)
}

fn read_origins(text: &str) -> Result<Vec<String>, String> {
    if text == "*" {
        return Ok(vec![text.to_owned()]);
    }
    let mut urls = parse_urls(text.split(','))?;
    urls.dedup();
    Ok(urls.into_iter().map(|url| url.to_string()).collect())
}

fn read_unique(text: &str) -> Vec<String> {
    let words: BTreeSet<String> = split(text).into_iter().collect();
    words.into_iter().collect()
}

fn read_some(words: &[&str], text: &str) -> Result<Vec<String>, String> {
    let given = split(text);
    match given.iter().find(|word| !words.contains(&word.as_str())) {
        Some(word) => Err(format!("invalid value {}", quote(word))),
        None => Ok(given),
    }
}

/// A list of comma-separated texts; only nothing at all is an empty list.
fn split(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
}
