//! README.md tells the truth about flags and commands.

use super::source::Finding;

/// Looks for the table of flags as the program has it, and for the two commands that do all the set-up.
pub(crate) fn check(readme: &str, table: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in table.lines().filter(|line| !readme.lines().any(|found| found == *line)) {
        findings.push(Finding::new("README.md", format!("lacks this line of the table of flags: {line}")));
    }
    for line in readme.lines().filter(|line| line.starts_with("| `--") && !table.lines().any(|known| known == *line)) {
        findings.push(Finding::new("README.md", format!("has a line that the table of flags has not: {line}")));
    }
    for command in ["cargo run --release", "tests/run"] {
        if !readme.contains(command) {
            findings.push(Finding::new("README.md", format!("does not name `{command}`")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_stale_lines_are_found() {
        let table = "| flag |\n| `--a` |\n| `--b` |\n";
        let readme = format!("cargo run --release\ntests/run\n{table}");
        assert!(check(&readme, table).is_empty());
        assert_eq!(check(&readme.replace("| `--a` |\n", ""), table).len(), 1);
        assert_eq!(check(&format!("{readme}| `--c` |\n"), table).len(), 1);
        assert_eq!(check(table, table).len(), 2);
    }
}
