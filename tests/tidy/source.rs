//! The files that the rules look at, taken apart once.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::lexer::lex;

/// One thing that a rule does not like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    place: String,
    what: String,
}

impl Finding {
    /// A finding at a place that is named as `file:line` or in words.
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.what)
    }
}

/// One file of Rust.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// From the package's root, with slashes.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// Without comments and the inside of literals.
    pub(crate) code: String,
    /// The same without test code.
    pub(crate) product: String,
    /// Comments alone.
    pub(crate) comments: String,
}

impl Source {
    /// Takes a file apart.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let lexed = lex(text);
        let is_test = path.starts_with("tests/") || path.ends_with("tests.rs") || path.contains("/tests/");
        let product = if is_test {
            blank(&lexed.code, &[(0, lexed.code.len())])
        } else {
            blank(&lexed.code, &test_spans(&lexed.code))
        };
        Self { path: path.to_owned(), text: text.to_owned(), code: lexed.code, product, comments: lexed.comments }
    }

    /// The number of the line that `offset` lies on, from 1.
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        self.code.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// A finding on the line of `offset`.
    pub(crate) fn finding(&self, offset: usize, what: impl Into<String>) -> Finding {
        Finding::new(format!("{}:{}", self.path, self.line_at(offset)), what)
    }

    /// The names of the modules from the crate's root to this file; nothing for the roots themselves.
    pub(crate) fn module_path(&self) -> Vec<&str> {
        let inside = self.path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")).unwrap_or_default();
        let mut names: Vec<&str> = inside.split('/').filter(|name| !name.is_empty()).collect();
        if matches!(names.as_slice(), ["lib" | "main"]) || names.last() == Some(&"mod") {
            names.pop();
        }
        names
    }
}

/// The words of `code` with their offsets.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |symbol: char| symbol == '_' || symbol.is_alphanumeric();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let end = code[start..].find(|symbol| !is_word(symbol)).map_or(code.len(), |length| start + length);
        at = end;
        Some((start, &code[start..end]))
    })
}

/// The offset behind the bracket that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return offset + 1;
        }
    }
    code.len()
}

/// The spans of items behind `#[cfg(test)]` or `#[test]`, attributes included.
fn test_spans(code: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut at = 0;
    while let Some(found) = code[at..].find("#[") {
        let start = at + found;
        let end = closing(code, start + 1);
        let attribute: String = code[start..end].split_whitespace().collect();
        at = end;
        if matches!(attribute.as_str(), "#[cfg(test)]" | "#[test]") {
            at = item_end(code, end);
            spans.push((start, at));
        }
    }
    spans
}

/// The end of the item that begins at `from`, other attributes first.
fn item_end(code: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let Some(found) = code[at..].find(['{', ';', '(', '[']) else { return code.len() };
        let offset = at + found;
        match code.as_bytes()[offset] {
            b';' => return offset + 1,
            b'{' => return closing(code, offset),
            _ => at = closing(code, offset),
        }
    }
}

fn blank(code: &str, spans: &[(usize, usize)]) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for &(start, end) in spans {
        for byte in bytes[start..end].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
    }
    String::from_utf8(bytes).expect("whole items are blanked")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the package as text; empty if it is not there, which the rule that needs it finds.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// All Rust files below `src/`.
pub(crate) fn product() -> Vec<Source> {
    mark_test_files(load("src"))
}

/// Blanks the product code of files whose module is declared for tests alone, and of the files below them.
fn mark_test_files(mut sources: Vec<Source>) -> Vec<Source> {
    loop {
        let is_test = |source: &Source| {
            let declared_in = |text: fn(&Source) -> &str| {
                declarations(&sources, source).any(|(parent, line)| text(parent).contains(&line))
            };
            !source.product.trim().is_empty()
                && declared_in(|parent| &parent.code)
                && !declared_in(|parent| &parent.product)
        };
        let marked: Vec<usize> = (0..sources.len()).filter(|at| is_test(&sources[*at])).collect();
        if marked.is_empty() {
            return sources;
        }
        for at in marked {
            let length = sources[at].code.len();
            sources[at].product = blank(&sources[at].code, &[(0, length)]);
        }
    }
}

/// The files that may declare the module of `source`, each with the line that would do it.
pub(crate) fn declarations<'a>(sources: &'a [Source], source: &Source) -> impl Iterator<Item = (&'a Source, String)> {
    let path = source.module_path();
    let (name, parents) = path.split_last().map_or(("", [].as_slice()), |(name, parents)| (*name, parents));
    let files = match parents.join("/").as_str() {
        "" => ["src/lib.rs".to_owned(), "src/main.rs".to_owned()],
        joined => [format!("src/{joined}/mod.rs"), format!("src/{joined}.rs")],
    };
    let line = format!("mod {name};");
    sources.iter().filter(move |parent| files.contains(&parent.path)).map(move |parent| (parent, line.to_owned()))
}

/// All Rust files that are ours: the product, its tests, its measurements.
pub(crate) fn all() -> Vec<Source> {
    ["src", "tests", "benches", "perf", "fuzz"]
        .into_iter()
        .flat_map(load)
        .chain([Source::new("build.rs", &read("build.rs"))])
        .collect()
}

/// The protocol files with their texts.
pub(crate) fn proto_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    walk(&root().join("proto"), "proto", &mut files);
    files.into_iter().map(|path| (path.to_owned(), read(&path))).collect()
}

fn load(directory: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(directory), "rs", &mut paths);
    paths.iter().map(|path| Source::new(path, &read(path))).collect()
}

fn walk(directory: &Path, extension: &str, paths: &mut Vec<String>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        // A crate below ours builds into a target directory of its own.
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, extension, paths);
        } else if path.extension().is_some_and(|found| found == extension) {
            let relative = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
            paths.push(relative);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_code_is_left_out_of_the_product() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { \"}\" }\n}\nfn c() {}\n#[test]\n#[ignore]\nfn d(x: [u8; 2]) {}\nfn e() {}\n";
        let names: Vec<String> =
            words(&Source::new("src/x.rs", text).product).map(|(_, word)| word.to_owned()).collect();
        assert_eq!(names, ["fn", "a", "fn", "c", "fn", "e"]);
        assert!(words(&Source::new("src/x/tests.rs", text).product).next().is_none());
        let declared = Source::new("src/x.rs", "#[cfg(test)]\nmod tests;\nmod y;");
        assert_eq!(words(&declared.product).map(|(_, word)| word).collect::<Vec<_>>(), ["mod", "y"]);
    }

    #[test]
    fn files_of_test_modules_are_no_product() {
        let files = [
            ("src/lib.rs", "mod a;"),
            ("src/a/mod.rs", "#[cfg(test)]\nmod fake;\nmod b;"),
            ("src/a/b.rs", "x"),
            ("src/a/fake.rs", "mod c;"),
            ("src/a/fake/c.rs", "y"),
        ];
        let marked = mark_test_files(files.iter().map(|(path, text)| Source::new(path, text)).collect());
        let product: Vec<&str> =
            marked.iter().filter(|file| !file.product.trim().is_empty()).map(|file| file.path.as_str()).collect();
        assert_eq!(product, ["src/lib.rs", "src/a/mod.rs", "src/a/b.rs"]);
    }

    #[test]
    fn paths_are_modules() {
        let path = |path: &str| Source::new(path, "").module_path().join("::");
        assert_eq!(path("src/lib.rs"), "");
        assert_eq!(path("src/main.rs"), "");
        assert_eq!(path("src/a.rs"), "a");
        assert_eq!(path("src/a/mod.rs"), "a");
        assert_eq!(path("src/a/b/c.rs"), "a::b::c");
    }

    #[test]
    fn lines_are_counted_from_one() {
        let source = Source::new("src/x.rs", "a\nb /* c\n */ d\n");
        let at = source.code.find('d').unwrap();
        assert_eq!(source.finding(at, "x").to_string(), "src/x.rs:3: x");
    }
}
