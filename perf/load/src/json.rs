//! Just enough JSON to print results: an object built field by field, in order.

/// An object under construction.
#[derive(Default)]
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a number.
    pub(crate) fn number(self, name: &str, value: impl ToString) -> Self {
        self.raw(name, &value.to_string())
    }

    /// Adds a text.
    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        let quoted = quote(value);
        self.raw(name, &quoted)
    }

    /// Adds numbers by name.
    pub(crate) fn map<K: AsRef<str>>(self, name: &str, entries: impl IntoIterator<Item = (K, u64)>) -> Self {
        let object = entries.into_iter().fold(Self::new(), |object, (key, value)| object.number(key.as_ref(), value));
        self.raw(name, &object.finish())
    }

    /// Adds numbers in order.
    pub(crate) fn list(self, name: &str, values: impl IntoIterator<Item = u64>) -> Self {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        self.raw(name, &format!("[{}]", values.join(",")))
    }

    fn raw(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&quote(name));
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    /// The text of the object.
    pub(crate) fn finish(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            _ if letter < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_nest_and_escape() {
        let object = Object::new().text("a\"", "b\n\\").map("m", [("x", 1)]).list("l", [1, 2]);
        assert_eq!(object.finish(), r#"{"a\"":"b\u000a\\","m":{"x":1},"l":[1,2]}"#);
        assert_eq!(Object::new().map("m", Vec::<(&str, u64)>::new()).finish(), r#"{"m":{}}"#);
    }
}
