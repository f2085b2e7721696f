//! The `console` format: the same record in columns, for a person at a terminal.

use super::encode::{Stamp, push_value, short_path};
use super::timestamp::push_timestamp;
use super::{Level, Value};
use crate::gotext::push_fmt;

/// Appends the line, newline included.
pub(super) fn push_console(out: &mut String, stamp: Stamp<'_>, level: Level, message: &str, fields: &[(&str, Value)]) {
    let start = out.len();
    push_timestamp(out, stamp.micros);
    push_fmt(out, format_args!("\t{}\t{}:{}\t", level.name(), short_path(stamp.file), stamp.line));
    // A message is ours, but one that holds a foreign text must not begin a line of its own.
    out.extend(message.chars().map(|symbol| if symbol.is_control() { ' ' } else { symbol }));
    if !fields.is_empty() {
        out.push_str("\t{");
        for (at, (name, value)) in fields.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            push_fmt(out, format_args!("{separator}\"{name}\": "));
            push_value(out, value);
        }
        out.push('}');
    }
    out.push('\n');
    assert!(out[start..].find('\n') == Some(out.len() - start - 1), "one record is one line");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_zap_s_columns() {
        let stamp = Stamp { micros: 0, file: "src/a/b.rs", line: 7 };
        let mut out = String::new();
        push_console(
            &mut out,
            stamp,
            Level::Info,
            "two\nlines",
            &[("a", Value::from(1u64)), ("b", Value::from("x\ny"))],
        );
        push_console(&mut out, stamp, Level::Error, "none", &[]);
        assert_eq!(
            out,
            "1970-01-01T00:00:00.000000Z\tinfo\ta/b.rs:7\ttwo lines\t{\"a\": 1, \"b\": \"x\\ny\"}\n\
             1970-01-01T00:00:00.000000Z\terror\ta/b.rs:7\tnone\n"
        );
    }
}
