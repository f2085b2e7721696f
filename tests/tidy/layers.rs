//! Which module uses which: `tools/layers.txt` is the law.

use std::collections::BTreeMap;

use super::source::{Finding, Source, closing, words};

/// The table of layers.
pub(crate) struct Layers {
    /// Each module with its place and what it may use; nothing is "all above".
    modules: BTreeMap<String, (usize, Option<Vec<String>>)>,
    pure: Vec<String>,
}

impl Layers {
    /// Reads the table; what is wrong with it comes back as findings.
    pub(crate) fn parse(text: &str) -> (Self, Vec<Finding>) {
        let mut layers = Self { modules: BTreeMap::new(), pure: Vec::new() };
        let mut findings = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let mut complain =
                |what: String| findings.push(Finding::new(format!("tools/layers.txt:{}", number + 1), what));
            let Some((name, uses)) = line.split_once(':') else {
                if !line.is_empty() {
                    complain(format!("no colon in `{line}`"));
                }
                continue;
            };
            let name = match name.strip_suffix('!') {
                Some(pure) => {
                    layers.pure.push(pure.to_owned());
                    pure
                }
                None => name,
            };
            let uses: Vec<String> = uses.split_whitespace().map(str::to_owned).collect();
            for used in uses.iter().filter(|used| *used != "*" && !layers.modules.contains_key(*used)) {
                complain(format!("`{name}` names `{used}`, which does not stand above it"));
            }
            let all = uses.iter().any(|used| used == "*");
            let place = layers.modules.len();
            if layers.modules.insert(name.to_owned(), (place, (!all).then_some(uses))).is_some() {
                complain(format!("`{name}` stands twice"));
            }
        }
        (layers, findings)
    }

    /// Whether the module has an exclamation mark.
    pub(crate) fn is_pure(&self, module: &str) -> bool {
        self.pure.iter().any(|pure| pure == module)
    }

    fn may_use(&self, user: &str, used: &str) -> bool {
        let (Some((user_place, uses)), Some((used_place, _))) = (self.modules.get(user), self.modules.get(used)) else {
            return false;
        };
        match uses {
            Some(uses) => uses.iter().any(|name| name == used),
            None => used_place < user_place,
        }
    }
}

/// Finds uses that the table does not allow, and modules that it does not know.
pub(crate) fn check(sources: &[Source], table: &str) -> Vec<Finding> {
    let (layers, mut findings) = Layers::parse(table);
    for source in sources {
        let path = source.module_path();
        let Some(&module) = path.first() else { continue };
        if !layers.modules.contains_key(module) {
            findings.push(Finding::new(&source.path, format!("module `{module}` has no line in tools/layers.txt")));
            continue;
        }
        for (offset, used) in uses_of(source, &path) {
            if used != module && layers.modules.contains_key(used) && !layers.may_use(module, used) {
                findings.push(source.finding(offset, format!("`{module}` must not use `{used}` (tools/layers.txt)")));
            }
        }
    }
    findings
}

/// The top-level modules that the product code of a file names, by `crate::` or by `super::` out of its own module.
fn uses_of<'a>(source: &'a Source, path: &[&str]) -> Vec<(usize, &'a str)> {
    let code = source.product.as_str();
    let mut uses = Vec::new();
    let mut supers = 0;
    for (offset, word) in words(code) {
        let after = offset + word.len();
        let leads_on = code[after..].starts_with("::");
        match word {
            "super" if leads_on => supers += 1,
            "crate" if leads_on => {
                supers = 0;
                uses.extend(names_at(code, after + 2));
                continue;
            }
            _ => {
                supers = 0;
                continue;
            }
        }
        if supers == path.len() {
            uses.extend(names_at(code, after + 2));
        }
    }
    uses
}

/// The first names of the path or of the group of paths that stands at `at`.
fn names_at(code: &str, at: usize) -> Vec<(usize, &str)> {
    if !code[at..].starts_with('{') {
        return words(&code[at..]).take(1).map(|(offset, word)| (at + offset, word)).collect();
    }
    let end = closing(code, at);
    let mut names = Vec::new();
    let (mut depth, mut expected) = (0usize, true);
    for (offset, byte) in code.bytes().enumerate().take(end).skip(at) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 1 => expected = true,
            _ if depth == 1 && expected && (byte == b'_' || byte.is_ascii_alphabetic()) => {
                names.extend(words(&code[offset..]).take(1).map(|(_, word)| (offset, word)));
                expected = false;
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "low!:\nmid!: low\nhigh: mid\ntop: *\n";

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&[Source::new(path, text)], TABLE).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn allowed_uses_pass() {
        assert!(
            found("src/mid.rs", "use crate::low::x; use crate::mid::y; // crate::top\nconst A: &str = \"crate::top\";")
                .is_empty()
        );
        assert!(found("src/top/a.rs", "use crate::{low::b, high}; use super::c;").is_empty());
        assert!(found("src/low.rs", "#[cfg(test)]\nmod tests { use crate::top::x; }").is_empty());
        assert!(found("src/lib.rs", "pub mod top; use crate::top;").is_empty());
    }

    #[test]
    fn uses_of_what_stands_below_are_found() {
        assert_eq!(
            found("src/low.rs", "\nuse crate::mid::x;"),
            ["src/low.rs:2: `low` must not use `mid` (tools/layers.txt)"]
        );
        assert_eq!(found("src/high.rs", "fn f() { crate::low::g() }").len(), 1);
        assert_eq!(found("src/mid.rs", "use crate::{low::{self, high}, top::y};").len(), 1);
        assert_eq!(found("src/mid/a.rs", "use super::super::top::x;").len(), 1);
        assert_eq!(found("src/mid/mod.rs", "use super::high;").len(), 1);
        assert_eq!(found("src/mid/a.rs", "use super::{super::top, b};").len(), 1);
    }

    #[test]
    fn modules_without_a_line_are_found() {
        assert_eq!(found("src/new/a.rs", ""), ["src/new/a.rs: module `new` has no line in tools/layers.txt"]);
    }

    #[test]
    fn a_table_with_a_cycle_or_a_double_is_refused() {
        let (_, findings) = Layers::parse("a: b\nb: a\nb:\nnonsense\n");
        let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3);
        assert!(texts[0].contains("`a` names `b`") && texts[1].contains("twice") && texts[2].contains("no colon"));
    }
}
