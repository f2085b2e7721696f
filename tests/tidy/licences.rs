//! The licences of everything that is built in, as cargo reports them.

use std::process::Command;

use super::source::Finding;

/// Licences that ask for no more than to be named. MPL-2.0 binds its own files alone, which we do not change.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Exceptions that only widen what a licence allows.
const ALLOWED_EXCEPTIONS: &[&str] = &["LLVM-exception"];

/// A package and what it says of its licence.
pub(crate) struct Package {
    name: String,
    licence: Option<String>,
}

/// Asks cargo for the packages of the lock file, for our platform, without the network.
pub(crate) fn packages() -> Vec<Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments =
        ["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform=x86_64-unknown-linux-gnu"];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs: it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let listed = metadata["packages"].as_array().expect("a list of packages");
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    listed
        .iter()
        .map(|package| Package { name: text(&package["name"]).unwrap_or_default(), licence: text(&package["license"]) })
        .collect()
}

/// Finds packages whose licence is not among the allowed ones.
pub(crate) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        match &package.licence {
            Some(licence) if is_allowed(licence) => {}
            Some(licence) => {
                findings.push(Finding::new(&package.name, format!("licence {licence} is not among the allowed ones")))
            }
            None => findings.push(Finding::new(&package.name, "no licence is named")),
        }
    }
    findings
}

/// An SPDX expression: any side of an OR will do, every side of an AND has to; the old slash is an OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let allowed = any_of(&mut rest);
    allowed == Some(true) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = all_of(rest)?;
    while let Some((&"OR", after)) = rest.split_first() {
        *rest = after;
        allowed |= all_of(rest)?;
    }
    Some(allowed)
}

fn all_of(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = term(rest)?;
    while let Some((&"AND", after)) = rest.split_first() {
        *rest = after;
        allowed &= term(rest)?;
    }
    Some(allowed)
}

fn term(rest: &mut &[&str]) -> Option<bool> {
    let (&first, after) = rest.split_first()?;
    *rest = after;
    if first == "(" {
        let inside = any_of(rest)?;
        let (&")", after) = rest.split_first()? else { return None };
        *rest = after;
        return Some(inside);
    }
    // A plus means "or any later version".
    let mut allowed = ALLOWED.contains(&first.trim_end_matches('+'));
    if let ["WITH", exception, ..] = *rest {
        allowed &= ALLOWED_EXCEPTIONS.contains(exception);
        *rest = &rest[2..];
    }
    Some(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "Apache-2.0/GPL-3.0",
            "(MIT OR X) AND ISC",
            "Apache-2.0 WITH LLVM-exception OR X",
            "MPL-2.0+",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in
            ["GPL-3.0", "MIT AND GPL-3.0", "MIT WITH Odd-exception", "", "(MIT", "MIT MIT", "(MIT OR X) AND Y", "OR"]
        {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn packages_without_an_allowed_licence_are_found() {
        let package = |licence: Option<&str>| Package { name: "p".to_owned(), licence: licence.map(str::to_owned) };
        assert_eq!(check(&[package(Some("MIT")), package(Some("AGPL-3.0")), package(None)]).len(), 2);
    }
}
