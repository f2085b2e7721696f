//! Small rules about words: module docs, module files, things left for later, casts, files that nobody compiles.

use super::source::{Finding, Source, declarations, words};

/// A file opens by saying what it is.
pub(crate) fn check_module_docs(source: &Source) -> Option<Finding> {
    let excused =
        source.path.ends_with("tests.rs") || source.path.contains("/tests/") && source.path.starts_with("src/");
    let opens = source.text.trim_start().starts_with("//!");
    (!opens && !excused).then(|| Finding::new(format!("{}:1", source.path), "the file does not open with `//!`"))
}

/// `mod.rs` is the module's table of contents and nothing else.
pub(crate) fn check_module_file(source: &Source) -> Vec<Finding> {
    if !source.path.ends_with("/mod.rs") {
        return Vec::new();
    }
    const ITEMS: &[&str] =
        &["fn", "struct", "enum", "impl", "trait", "const", "static", "type", "union", "macro_rules"];
    let items = words(&source.product).filter(|(_, word)| ITEMS.contains(word));
    items
        .map(|(offset, word)| source.finding(offset, format!("mod.rs has only `mod` and `pub use`, no `{word}`")))
        .collect()
}

/// What is not done is written down where work is planned, not in the code.
pub(crate) fn check_postponed(source: &Source) -> Vec<Finding> {
    let marks = ["TO", "FIX"].map(|start| format!("{start}{}", if start == "TO" { "DO" } else { "ME" }));
    let found = words(&source.comments)
        .chain(words(&source.code))
        .filter(|(_, word)| marks.iter().any(|mark| mark == word) || *word == "todo" && is_macro(source, word));
    found.map(|(offset, word)| source.finding(offset, format!("`{word}` belongs into the plan of work"))).collect()
}

fn is_macro(source: &Source, word: &str) -> bool {
    source.code.contains(&format!("{word}!"))
}

/// `as` may cut a number short without a word; `From`, `TryFrom` and friends do not. Where C leaves no other way, an
/// `#[expect(clippy::as_conversions, reason = …)]` on the statement says so.
pub(crate) fn check_casts(source: &Source) -> Vec<Finding> {
    let code = source.product.as_str();
    let casts = words(code).filter(|(offset, word)| {
        *word == "as" && !is_expected(code, *offset) && !in_use(code, *offset) && !in_qualified_path(code, *offset)
    });
    casts.map(|(offset, _)| source.finding(offset, "no `as`: use From, TryFrom or a method")).collect()
}

/// Whether the statement around `offset` carries the attribute that admits the cast.
fn is_expected(code: &str, offset: usize) -> bool {
    let start = code[..offset].rfind([';', '{', '}']).map_or(0, |at| at + 1);
    code[start..offset].contains("clippy::as_conversions")
}

/// Whether the statement around `offset` is a `use`, where `as` gives a name.
fn in_use(code: &str, offset: usize) -> bool {
    let start = code[..offset].rfind([';', '}']).map_or(0, |at| at + 1);
    let mut first = words(&code[start..offset])
        .map(|(_, word)| word)
        .filter(|word| !matches!(*word, "pub" | "super" | "crate" | "in"));
    // A group of names ends with a bracket too, so look whether an earlier `use` is still open.
    let open_use = code[..offset].rfind("use ").is_some_and(|at| !code[at..offset].contains(';'));
    first.next() == Some("use") || open_use
}

/// Whether `offset` lies in `<T as Trait>`.
fn in_qualified_path(code: &str, offset: usize) -> bool {
    let mut depth = 0usize;
    for byte in code[..offset].bytes().rev() {
        match byte {
            b'>' => depth += 1,
            b'<' if depth == 0 => return true,
            b'<' => depth -= 1,
            b';' | b'{' | b'}' | b'=' => return false,
            _ => {}
        }
    }
    false
}

/// A file that no `mod` names is not compiled, and nobody notices.
pub(crate) fn check_dead_files(sources: &[Source]) -> Vec<Finding> {
    let dead = sources.iter().filter(|source| !is_declared(sources, source));
    dead.map(|source| Finding::new(&source.path, "no `mod` names this file")).collect()
}

fn is_declared(sources: &[Source], source: &Source) -> bool {
    // Binaries have roots of their own.
    if source.module_path().is_empty() || source.path.starts_with("src/bin/") {
        return true;
    }
    let file = source.path.rsplit('/').next().unwrap_or_default();
    let by_path = format!("#[path = \"{file}\"]");
    declarations(sources, source).any(|(parent, line)| parent.code.contains(&line))
        || sources.iter().any(|other| other.text.contains(&by_path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_docs_are_found() {
        assert!(check_module_docs(&Source::new("src/a.rs", "//! It is.\nfn f() {}")).is_none());
        assert!(check_module_docs(&Source::new("src/a.rs", "// It is not.\nfn f() {}")).is_some());
        assert!(check_module_docs(&Source::new("src/a/tests.rs", "use super::*;")).is_none());
        assert!(check_module_docs(&Source::new("tests/a.rs", "use super::*;")).is_some());
    }

    #[test]
    fn items_in_a_module_file_are_found() {
        assert!(
            check_module_file(&Source::new(
                "src/a/mod.rs",
                "//! A.\nmod b;\npub use b::{C, d};\n#[cfg(test)]\nmod tests;"
            ))
            .is_empty()
        );
        assert_eq!(check_module_file(&Source::new("src/a/mod.rs", "mod b;\npub const C: u8 = 1;\nfn d() {}")).len(), 2);
        assert!(check_module_file(&Source::new("src/a/b.rs", "fn d() {}")).is_empty());
    }

    #[test]
    fn postponed_work_is_found() {
        let mark = ["TO", "DO"].concat();
        for text in [
            format!("// {mark}: x"),
            format!("/* {}: x */", ["FIX", "ME"].concat()),
            format!("fn f() {{ {}!() }}", mark.to_lowercase()),
        ] {
            assert_eq!(check_postponed(&Source::new("src/a.rs", &text)).len(), 1, "{text}");
        }
        assert!(check_postponed(&Source::new("src/a.rs", "// A mastodon, todos.\nlet s = \"x\";")).is_empty());
    }

    #[test]
    fn casts_are_found_and_other_uses_of_the_word_are_not() {
        let count = |text: &str| check_casts(&Source::new("src/a.rs", text)).len();
        assert_eq!(count("fn f() { let a = b as u8; g(c as usize) }"), 2);
        assert_eq!(count("const A: u8 = B as u8;"), 1);
        assert_eq!(count("#[expect(clippy::as_conversions, reason = \"C\")]\nlet a = b as u8; let c = d as u8;"), 1);
        assert_eq!(count("use a::b as c; pub use d::{e as f, g::{h as i}};"), 0);
        assert_eq!(count("fn f() { <Vec<u8> as Into<T>>::into(x); <u8 as Y>::Z }"), 0);
        assert_eq!(count("// as u8\nlet a = \"x as y\"; a.as_str();"), 0);
        assert_eq!(count("#[cfg(test)]\nmod tests { fn f() { a as u8 } }"), 0);
    }

    #[test]
    fn files_that_nobody_names_are_found() {
        let files = [
            Source::new("src/lib.rs", "pub mod a; mod b;"),
            Source::new("src/main.rs", ""),
            Source::new("src/a/mod.rs", "mod c; // mod d;"),
            Source::new("src/b.rs", "mod e;"),
            Source::new("src/b/e.rs", ""),
            Source::new("src/a/c.rs", ""),
            Source::new("src/a/d.rs", ""),
        ];
        let dead: Vec<String> = check_dead_files(&files).iter().map(ToString::to_string).collect();
        assert_eq!(dead, ["src/a/d.rs: no `mod` names this file"]);
    }
}
