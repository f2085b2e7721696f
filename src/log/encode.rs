//! A record as one line of text.
//!
//! Invariants
//! - A line holds no control character, whatever the fields hold, so that one record is one line.
//! - Field names are ours and need no escaping.

use super::timestamp::push_timestamp;
use super::{Level, Value};
use crate::gotext::push_fmt;

/// Where and when a record was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp<'a> {
    pub(super) micros: u64,
    pub(super) file: &'a str,
    pub(super) line: u32,
}

/// Appends the line, newline included, as a JSON object.
pub(super) fn push_json(out: &mut String, stamp: Stamp<'_>, level: Level, message: &str, fields: &[(&str, Value)]) {
    let start = out.len();
    out.push_str("{\"level\":\"");
    out.push_str(level.name());
    out.push_str("\",\"ts\":\"");
    push_timestamp(out, stamp.micros);
    push_fmt(out, format_args!("\",\"caller\":\"{}:{}\",\"msg\":", short_path(stamp.file), stamp.line));
    push_text(out, message);
    for (name, value) in fields {
        out.push_str(",\"");
        out.push_str(name);
        out.push_str("\":");
        push_value(out, value);
    }
    out.push_str("}\n");
    assert!(out[start..].find('\n') == Some(out.len() - start - 1), "one record is one line");
}

/// The file with the directory it lies in.
pub(super) fn short_path(file: &str) -> &str {
    file.rmatch_indices('/').nth(1).map_or(file, |(at, _)| &file[at + 1..])
}

/// Appends the value as JSON.
pub(super) fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Text(text) => push_text(out, text),
        Value::Texts(texts) => push_texts(out, texts),
        Value::Signed(number) => push_fmt(out, format_args!("{number}")),
        Value::Unsigned(number) => push_fmt(out, format_args!("{number}")),
        Value::Boolean(truth) => push_fmt(out, format_args!("{truth}")),
        Value::Duration(duration) => push_fmt(out, format_args!("\"{duration}\"")),
        Value::Moment(micros) => {
            out.push('"');
            push_timestamp(out, *micros);
            out.push('"');
        }
    }
}

fn push_texts(out: &mut String, texts: &[String]) {
    out.push('[');
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_text(out, text);
    }
    out.push(']');
}

fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if symbol.is_control() => push_fmt(out, format_args!("\\u{:04x}", u32::from(symbol))),
            _ => out.push(symbol),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gotext::GoDuration;

    const STAMP: Stamp<'_> = Stamp { micros: 1_136_214_245_000_005, file: "src/shard/run.rs", line: 42 };

    #[test]
    fn a_line_has_etcd_s_shape() {
        let mut out = String::new();
        let fields = [
            ("name", Value::from("m1")),
            ("urls", Value::displays(["a", "b"])),
            ("took", Value::Duration(GoDuration(1_842_577))),
            ("ok", Value::from(true)),
            ("size", Value::from(-7i64)),
            ("count", Value::from(u64::MAX)),
            ("none", Value::Texts(Vec::new())),
        ];
        push_json(&mut out, STAMP, Level::Warn, "slow fdatasync", &fields);
        assert_eq!(
            out,
            concat!(
                r#"{"level":"warn","ts":"2006-01-02T15:04:05.000005Z","caller":"shard/run.rs:42","msg":"slow fdatasync","#,
                r#""name":"m1","urls":["a","b"],"took":"1.842577ms","ok":true,"size":-7,"count":18446744073709551615,"none":[]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn every_text_stays_on_one_line_and_parses() {
        let nasty: String = (0..0x300).filter_map(char::from_u32).collect();
        let mut out = String::new();
        push_json(&mut out, STAMP, Level::Info, &nasty, &[("f", Value::from(nasty.to_owned()))]);
        assert_eq!(out.lines().count(), 1);
        assert!(!out.trim_end().chars().any(char::is_control));
        let parsed: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(parsed["msg"], nasty);
        assert_eq!(parsed["f"], nasty);
    }

    #[test]
    fn callers_keep_one_directory() {
        assert_eq!(short_path("src/config/parse.rs"), "config/parse.rs");
        assert_eq!(short_path("src/main.rs"), "src/main.rs");
        assert_eq!(short_path("main.rs"), "main.rs");
    }
}
