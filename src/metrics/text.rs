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
        let mut page = String::with_capacity(self.0.iter().map(|family| family.text.len()).sum());
        page.extend(self.0.iter().map(|family| &*family.text));
        page
    }
}

impl Family {
    /// One series. Labels stand in the order of their names.
    pub fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", &escaped(labels), None, value);
    }

    /// A distribution.
    pub fn histogram(&mut self, labels: &[(&str, &str)], sum: &Sum) {
        // Of the page most lines are buckets: what they have in common is made once.
        let labels = escaped(labels);
        let mut total = 0;
        for (place, count) in sum.buckets.iter().enumerate() {
            total += count;
            let bound = (place < sum.scale.len()).then(|| float(sum.scale.bound(place)) / sum.scale.unit);
            let bound = bound.map_or_else(|| "+Inf".to_owned(), go_float);
            self.line("_bucket", &labels, Some(&bound), total);
        }
        self.line("_sum", &labels, None, go_float(float(sum.sum) / sum.scale.unit));
        self.line("_count", &labels, None, total);
    }

    /// A distribution that is shown once something was observed.
    pub fn used(&mut self, labels: &[(&str, &str)], sum: Option<&Sum>) {
        if let Some(sum) = sum.filter(|sum| sum.count() > 0) {
            self.histogram(labels, sum);
        }
    }

    fn line(&mut self, suffix: &str, labels: &str, bound: Option<&str>, value: impl Display) {
        self.series += 1;
        let text = &mut self.text;
        text.push_str(self.name);
        text.push_str(suffix);
        match bound {
            None if labels.is_empty() => {}
            None => text.extend(["{", labels, "}"]),
            Some(bound) if labels.is_empty() => text.extend(["{le=\"", bound, "\"}"]),
            Some(bound) => text.extend(["{", labels, ",le=\"", bound, "\"}"]),
        }
        let _ = writeln!(text, " {value}");
    }
}

/// Labels as they stand between the braces.
fn escaped(labels: &[(&str, &str)]) -> String {
    debug_assert!(labels.is_sorted_by_key(|(name, _)| *name), "labels in the order of their names: {labels:?}");
    let mut text = String::new();
    for (place, (name, value)) in labels.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.extend([name, "=\""]);
        escape(&mut text, value);
        text.push('"');
    }
    text
}

fn escape(text: &mut String, value: &str) {
    let mut rest = value;
    while let Some(place) = rest.bytes().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        let (before, special) = rest.split_at(place);
        text.push_str(before);
        text.push_str(match special.as_bytes()[0] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        });
        rest = &special[1..];
    }
    text.push_str(rest);
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
