//! Where unsafe code may stand, and that it says why it is right.

use super::source::{Finding, Source, words};

/// The only places for unsafe code.
const PLACES: &[&str] = &["src/tree/page.rs", "src/disk/"];

/// Finds unsafe code elsewhere, and unsafe code that does not give its reason.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let placed = PLACES.iter().any(|place| source.path.starts_with(place));
    let mut findings = Vec::new();
    for (offset, _) in words(&source.code).filter(|(_, word)| *word == "unsafe") {
        let declares = source.code[offset..]
            .split_whitespace()
            .nth(1)
            .is_some_and(|next| matches!(next, "fn" | "extern" | "trait"));
        let (word, reason) = if declares {
            ("# Safety", "its docs have no `# Safety`")
        } else {
            ("SAFETY:", "no `// SAFETY:` above it")
        };
        // A test may reach into memory anywhere, but it says why it may.
        let is_product = source.product[offset..].starts_with("unsafe");
        if is_product && !placed {
            findings.push(source.finding(offset, "unsafe code belongs into src/tree/page.rs or src/disk/"));
        }
        if !comment_above(source, offset).contains(word) {
            findings.push(source.finding(offset, reason));
        }
    }
    findings
}

/// The comments on the line of `offset`, on the lines directly above it (attributes and the statement's own lines between
/// them), and on the line below.
fn comment_above(source: &Source, offset: usize) -> String {
    let line = source.line_at(offset) - 1;
    let code: Vec<&str> = source.code.lines().collect();
    let comments: Vec<&str> = source.comments.lines().collect();
    let mut first = line;
    while first > 0 {
        let above = code[first - 1].trim();
        let is_comment = above.is_empty() && !comments[first - 1].trim().is_empty();
        let is_same_statement = !above.is_empty() && !above.ends_with([';', '{', '}', ',']);
        if !is_comment && !is_same_statement && !above.starts_with("#[") {
            break;
        }
        first -= 1;
    }
    comments[first..=(line + 1).min(comments.len() - 1)].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&[Source::new(path, text)]).iter().map(ToString::to_string).collect()
    }

    const GOOD: &str =
        "fn f() {\n    // SAFETY: it is alive.\n    // And aligned.\n    let a =\n        unsafe { g() };\n}\n";

    #[test]
    fn unsafe_code_with_its_reason_in_its_place_passes() {
        assert!(found("src/tree/page.rs", GOOD).is_empty());
        assert!(found("src/disk/map.rs", GOOD).is_empty());
        assert!(
            found(
                "src/disk/map.rs",
                "/// Reads.\n///\n/// # Safety\n/// Must be alive.\n#[inline]\npub unsafe fn f() {}"
            )
            .is_empty()
        );
        assert!(found("src/x.rs", "// unsafe\nconst A: &str = \"unsafe\";").is_empty());
    }

    #[test]
    fn unsafe_code_elsewhere_is_found() {
        assert_eq!(
            found("src/wal/log.rs", GOOD),
            ["src/wal/log.rs:5: unsafe code belongs into src/tree/page.rs or src/disk/"]
        );
        assert!(found("src/wal/log.rs", &format!("#[cfg(test)]\nmod tests {{\n{GOOD}\n}}")).is_empty());
    }

    #[test]
    fn unsafe_code_without_a_reason_is_found() {
        assert_eq!(
            found("src/disk/a.rs", "fn f() {\n    g();\n    unsafe { h() }\n}"),
            ["src/disk/a.rs:3: no `// SAFETY:` above it"]
        );
        assert_eq!(found("src/disk/a.rs", "// SAFETY: far away.\nfn f() {\n    unsafe { h() }\n}").len(), 1);
        assert_eq!(
            found("src/disk/a.rs", "/// Docs.\npub unsafe fn f() {}"),
            ["src/disk/a.rs:2: its docs have no `# Safety`"]
        );
    }
}
