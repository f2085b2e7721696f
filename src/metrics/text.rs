//! Prometheus' text format.
//!
//! Invariants
//! - A family is written once, with its help and type before it; families stand in the order of their names.
//! - Numbers look as Go prints them, so that `le` labels are equal to etcd's.

use std::fmt::{Display, Write};

use super::histogram::Sum;

/// What a family is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The text that is being written.
#[derive(Debug, Default)]
pub struct Page(Vec<Family>);

/// One family that is being written.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    text: String,
    series: usize,
}

impl Page {
    /// Begins a family. One without series is left out.
    pub fn family(&mut self, name: &'static str, kind: Type, help: &str) -> &mut Family {
        assert!(self.0.iter().all(|family| family.name != name), "{name} is written once");
        let text = format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.word());
        self.0.push(Family { name, text, series: 0 });
        self.0.last_mut().expect("just pushed")
    }

    /// A family of one counter without labels.
    pub fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Type::Counter, help).value(&[], value);
    }

    /// A family of one gauge without labels.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Type::Gauge, help).value(&[], value);
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        self.0.retain(|family| family.series > 0);
        self.0.sort_by_key(|family| family.name);
        self.0.into_iter().map(|family| family.text).collect()
    }
}

impl Family {
    /// One series. Labels stand in the order of their names.
    pub fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// A distribution.
    pub fn histogram(&mut self, labels: &[(&str, &str)], sum: &Sum) {
        let mut total = 0;
        for (place, count) in sum.buckets.iter().enumerate() {
            total += count;
            let bound = (place < sum.scale.len()).then(|| float(sum.scale.bound(place)) / sum.scale.unit);
            let bound = bound.map_or_else(|| "+Inf".to_owned(), go_float);
            self.line("_bucket", labels, Some(&bound), total);
        }
        self.line("_sum", labels, None, go_float(float(sum.sum) / sum.scale.unit));
        self.line("_count", labels, None, total);
    }

    /// A distribution that is shown once something was observed.
    pub fn used(&mut self, labels: &[(&str, &str)], sum: Option<&Sum>) {
        if let Some(sum) = sum.filter(|sum| sum.count() > 0) {
            self.histogram(labels, sum);
        }
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: impl Display) {
        debug_assert!(labels.is_sorted_by_key(|(name, _)| *name), "labels in the order of their names: {labels:?}");
        self.series += 1;
        let text = &mut self.text;
        text.push_str(self.name);
        text.push_str(suffix);
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        for (place, (name, value)) in all.enumerate() {
            text.push(if place == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value);
            text.push('"');
        }
        if !labels.is_empty() || bound.is_some() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

fn escape(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            letter => text.push(letter),
        }
    }
}

/// The nearest float: both halves fit it exactly, and their sum is rounded once.
pub(super) fn float(value: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX));
    half(value >> 32) * 4_294_967_296.0 + half(value)
}

/// A float as Go's `%v` has it: the shortest digits, with an exponent from 10^21 on in general but from 10^6 on here, as
/// Prometheus' client writes it.
pub(super) fn go_float(value: f64) -> String {
    let plain = value == 0.0 || (1e-4..1e6).contains(&value.abs());
    if plain {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}
