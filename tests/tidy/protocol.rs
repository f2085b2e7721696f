//! Every file of `proto/` is compiled and its package reachable.

use super::source::Finding;

/// Looks for each file's name in the build script and for its package among the generated modules.
pub(crate) fn check(files: &[(String, String)], build_script: &str, modules: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if files.is_empty() {
        findings.push(Finding::new("proto/", "no protocol files"));
    }
    for (path, text) in files {
        let stem = path.rsplit('/').next().and_then(|name| name.strip_suffix(".proto")).unwrap_or(path);
        if !build_script.contains(&format!("\"{stem}\"")) {
            findings.push(Finding::new(path, "build.rs does not compile it"));
        }
        let package = text.lines().find_map(|line| line.trim().strip_prefix("package ")?.trim().strip_suffix(';'));
        match package {
            Some(package) if modules.contains(&format!("\"/{package}.rs\"")) => {}
            Some(package) => {
                findings.push(Finding::new(path, format!("src/proto.rs does not include package {package}")))
            }
            None => findings.push(Finding::new(path, "it names no package")),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_files_and_packages_are_found() {
        let files = |text: &str| vec![("proto/kv.proto".to_owned(), text.to_owned())];
        let good = files("syntax = \"proto3\";\npackage mvccpb;\n");
        assert!(check(&good, "[\"rpc\", \"kv\"]", "concat!(X, \"/mvccpb.rs\")").is_empty());
        assert_eq!(check(&good, "[\"rpc\"]", "concat!(X, \"/mvccpb.rs\")").len(), 1);
        assert_eq!(check(&good, "[\"kv\"]", "").len(), 1);
        assert_eq!(check(&files(""), "[\"kv\"]", "").len(), 1);
        assert_eq!(check(&[], "", "").len(), 1);
    }
}
