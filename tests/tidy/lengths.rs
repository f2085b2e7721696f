//! How long files and functions may be, with a list of exceptions that can only shrink.
//!
//! `tools/ratchet.txt` has one exception a line: `path lines` for a file, `path::function lines` for a function. A thing on
//! the list may not grow, and one that became short enough has to leave it.

use std::collections::BTreeMap;

use super::source::{Finding, Source, closing, words};

/// Code lines of a file.
const FILE_LINES_MAX: usize = 800;
/// Lines of a function, signature included.
const FUNCTION_LINES_MAX: usize = 70;
/// No exception goes beyond this.
const FUNCTION_LINES_END: usize = 100;

/// Measures the product code of every file.
pub(crate) fn check(sources: &[Source], ratchet: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut allowed = BTreeMap::new();
    for (number, line) in
        ratchet.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
    {
        match line.split_once(' ').and_then(|(name, lines)| Some((name, lines.trim().parse::<usize>().ok()?))) {
            Some((name, lines)) => drop(allowed.insert(name.to_owned(), lines)),
            None => findings.push(Finding::new(
                format!("tools/ratchet.txt:{}", number + 1),
                "neither `path lines` nor `path::function lines`",
            )),
        }
    }
    let mut measure = |name: String, lines: usize, max: usize, end: usize| match allowed.remove(&name) {
        None if lines > max => findings.push(Finding::new(name, format!("{lines} lines, more than {max}"))),
        Some(_) if lines > end => {
            findings.push(Finding::new(name, format!("{lines} lines, more than any exception may have ({end})")))
        }
        Some(listed) if lines > listed => {
            findings.push(Finding::new(name, format!("grew from {listed} to {lines} lines")))
        }
        Some(_) if lines <= max => {
            findings.push(Finding::new(name, "is short enough now; take it off tools/ratchet.txt"))
        }
        Some(listed) if lines < listed => {
            findings.push(Finding::new(name, format!("shrank to {lines} lines; say so in tools/ratchet.txt")))
        }
        None | Some(_) => {}
    };
    for source in sources {
        measure(source.path.to_owned(), code_lines(&source.product), FILE_LINES_MAX, usize::MAX);
        for (name, lines) in functions(&source.product) {
            measure(format!("{}::{name}", source.path), lines, FUNCTION_LINES_MAX, FUNCTION_LINES_END);
        }
    }
    findings.extend(allowed.into_keys().map(|name| Finding::new(name, "is on tools/ratchet.txt but nowhere else")));
    findings
}

fn code_lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// The functions that have a body, each with its lines.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut words = words(code).peekable();
    while let Some((offset, word)) = words.next() {
        // `fn(u8)` is a type: what follows a function's `fn` is its name.
        if word != "fn" || !code[offset + 2..].starts_with(' ') {
            continue;
        }
        if let Some((_, name)) = words.peek()
            && let Some(end) = body_end(code, offset)
        {
            found.push(((*name).to_owned(), code[offset..end].lines().count()));
        }
    }
    found
}

/// The end of the body of the function at `offset`; nothing if it is only declared.
fn body_end(code: &str, offset: usize) -> Option<usize> {
    let mut at = offset;
    loop {
        let open = at + code[at..].find(['{', ';', '(', '['])?;
        match code.as_bytes()[open] {
            b'{' => return Some(closing(code, open)),
            b';' => return None,
            _ => at = closing(code, open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, lines: usize) -> String {
        format!("fn {name}(a: [u8; 2]) -> u8 {{\n{}}}\n", "    work();\n".repeat(lines - 2))
    }

    fn found(text: &str, ratchet: &str) -> Vec<String> {
        check(&[Source::new("src/x.rs", text)], ratchet).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_function_one_line_too_long_is_found() {
        assert!(found(&function("f", 70), "").is_empty());
        assert_eq!(found(&function("f", 71), ""), ["src/x.rs::f: 71 lines, more than 70"]);
        assert!(found(&format!("#[cfg(test)]\nmod tests {{ {} }}", function("f", 90)), "").is_empty());
        assert!(
            found(
                "trait T { fn f(&self);\n fn g(h: fn(u8) -> u8); }\nmacro_rules! m { ($x:ident) => { fn $x() {} } }",
                ""
            )
            .is_empty()
        );
    }

    #[test]
    fn a_file_that_is_too_long_is_found_and_comments_are_free() {
        let text = "const A: u8 = 1;\n".repeat(801);
        assert_eq!(found(&text, ""), ["src/x.rs: 801 lines, more than 800"]);
        assert!(found(&format!("{}{}", "// a\n\n".repeat(900), "x();\n".repeat(800)), "").is_empty());
    }

    #[test]
    fn exceptions_only_shrink() {
        let text = function("f", 80);
        assert!(found(&text, "# why\nsrc/x.rs::f 80\n").is_empty());
        assert_eq!(found(&text, "src/x.rs::f 79"), ["src/x.rs::f: grew from 79 to 80 lines"]);
        assert_eq!(found(&text, "src/x.rs::f 81"), ["src/x.rs::f: shrank to 80 lines; say so in tools/ratchet.txt"]);
        assert_eq!(
            found(&function("f", 60), "src/x.rs::f 80"),
            ["src/x.rs::f: is short enough now; take it off tools/ratchet.txt"]
        );
        assert_eq!(found(&function("f", 101), "src/x.rs::f 101").len(), 1);
        assert_eq!(found("", "src/x.rs::g 80"), ["src/x.rs::g: is on tools/ratchet.txt but nowhere else"]);
        assert_eq!(found("", "nonsense").len(), 1);
    }
}
