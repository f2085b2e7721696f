//! The value of every flag, and which were given.
//!
//! Invariants
//! - There is a value of the right kind for each flag of the table, always.

use super::flag::{Flag, Kind};
use super::gates::Gates;
use super::table::{all, find};
use super::value::{Value, read};
use crate::gotext::GoDuration;
use crate::identity::Url;

/// One value a flag, in the order of the table.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    values: Vec<Value>,
    given: Vec<bool>,
    from_file: bool,
}

impl Settings {
    /// Everything at its default.
    pub(super) fn new() -> Self {
        let values: Vec<Value> = all().map(default_value).collect();
        let given = vec![false; values.len()];
        assert!(!values.is_empty(), "there are flags");
        Self { values, given, from_file: false }
    }

    /// Everything at its default, to be filled from a configuration file.
    pub(super) fn for_file() -> Self {
        Self { from_file: true, ..Self::new() }
    }

    /// Whether a configuration file speaks: some defaults hold longer then.
    pub(super) fn is_from_file(&self) -> bool {
        self.from_file
    }

    /// Gives a flag a value, over an earlier one.
    pub(super) fn set(&mut self, index: usize, flag: &Flag, text: &str) -> Result<(), String> {
        assert!(index < self.values.len(), "a flag of the table");
        let value = read(flag.kind, text)?;
        let kind = std::mem::discriminant(&value);
        assert!(kind == std::mem::discriminant(&self.values[index]), "--{} changes its kind", flag.name);
        // etcd's URL flags take an empty text as "leave it".
        if !(matches!(flag.kind, Kind::Urls) && text.is_empty()) {
            self.values[index] = value;
        }
        self.given[index] = true;
        assert_eq!(self.values.len(), self.given.len(), "one mark a value");
        Ok(())
    }

    /// Gives a flag a value that was read already.
    pub(super) fn set_value(&mut self, index: usize, flag: &Flag, value: Value) {
        let kind = std::mem::discriminant(&value);
        assert!(kind == std::mem::discriminant(&self.values[index]), "--{} changes its kind", flag.name);
        self.values[index] = value;
        self.given[index] = true;
    }

    /// Notes that a flag was named, with nothing for a value.
    pub(super) fn mark_given(&mut self, index: usize) {
        self.given[index] = true;
    }

    /// Whether the flag was given, by whatever way.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given[index_of(name)]
    }

    /// Whether the flag stands at its default, given or not.
    pub(super) fn is_default(&self, flag: &Flag) -> bool {
        self.values[index_of(flag.name)] == default_value(flag)
    }

    /// A truth.
    pub(super) fn bool(&self, name: &str) -> bool {
        let Value::Bool(value) = self.value(name) else { mismatch(name) };
        *value
    }

    /// A signed number.
    pub(super) fn signed(&self, name: &str) -> i64 {
        let Value::Signed(value) = self.value(name) else { mismatch(name) };
        *value
    }

    /// An unsigned number.
    pub(super) fn unsigned(&self, name: &str) -> u64 {
        let Value::Unsigned(value) = self.value(name) else { mismatch(name) };
        *value
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> &str {
        let Value::Text(value) = self.value(name) else { mismatch(name) };
        value
    }

    /// A length of time.
    pub(super) fn duration(&self, name: &str) -> GoDuration {
        let Value::Duration(value) = self.value(name) else { mismatch(name) };
        *value
    }

    /// URLs, sorted.
    pub(super) fn urls(&self, name: &str) -> &[Url] {
        let Value::Urls(value) = self.value(name) else { mismatch(name) };
        value
    }

    /// Texts.
    pub(super) fn list(&self, name: &str) -> &[String] {
        let Value::List(value) = self.value(name) else { mismatch(name) };
        value
    }

    /// What the gates stand at.
    pub(super) fn gates(&self, name: &str) -> Gates {
        let Value::Gates(value) = self.value(name) else { mismatch(name) };
        Gates::new(value.to_owned())
    }

    fn value(&self, name: &str) -> &Value {
        &self.values[index_of(name)]
    }
}

fn index_of(name: &str) -> usize {
    find(name).expect("only flags of the table are asked for").0
}

fn default_value(flag: &Flag) -> Value {
    read(flag.kind, flag.default).expect("the table's defaults are values of their kinds")
}

fn mismatch(name: &str) -> ! {
    panic!("--{name} is of another kind in the table")
}
