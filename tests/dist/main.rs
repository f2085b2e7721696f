//! What is installed beside the binary: units, pods, profiles and sample configurations say what the server takes.

// Tests panic on purpose; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringbolt::config::{Outside, parse, readme_table};
use serde_json::Value;

fn dist(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(dist(name)).unwrap()
}

fn flags() -> BTreeSet<String> {
    let table = readme_table();
    let names = table.lines().filter_map(|line| line.strip_prefix("| `--")?.split_once('`'));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// `systemd-analyze` takes the unit, and finds no word in it that it does not know.
#[test]
fn the_unit_is_one_that_systemd_takes() {
    let there = Command::new("systemd-analyze").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        return println!("SKIPPED: no systemd-analyze on this machine; .ci/run installs Debian's systemd");
    }
    // It looks for the program, so the unit is given one that is there.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("unit-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let unit = directory.join("ringbolt.service");
    std::fs::write(&unit, text("ringbolt.service").replace("/usr/local/bin/ringbolt", "/bin/true")).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&unit).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let about_us: Vec<&str> = told.lines().filter(|line| line.contains("ringbolt")).collect();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(output.status.success() && about_us.is_empty(), "{told}");
}

#[test]
fn the_unit_has_what_the_server_needs() {
    let unit = text("ringbolt.service");
    for line in
        ["Type=notify", "LimitMEMLOCK=infinity", "NoNewPrivileges=true", "EnvironmentFile=-/etc/default/ringbolt"]
    {
        assert!(unit.lines().any(|found| found == line), "no {line}");
    }
    assert!(unit.contains("LimitNOFILE=") && unit.contains("io_uring_setup io_uring_enter io_uring_register"));
    for harmful in ["MemoryMax", "CPUQuota", "PrivateNetwork=true"] {
        assert!(!unit.lines().any(|line| line.starts_with(harmful)), "{harmful}");
    }
}

#[test]
fn the_environment_file_starts_a_member() {
    let pairs: Vec<(String, String)> = text("ringbolt.env")
        .lines()
        .map(|line| line.trim_start_matches('#'))
        .filter(|line| line.starts_with("ETCD_") && !line.starts_with("ETCD_CONFIG_FILE") && line.contains('='))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(pairs.len() > 10);
    let outside = Outside { default_host: &|| Err("none".to_owned()), read_file: &|_| Err("none".to_owned()) };
    let parsed = parse(&["ringbolt".to_owned()], &pairs, outside).unwrap();
    assert_eq!(parsed.config.data_dir.to_str(), Some("/var/lib/ringbolt/member"));
    assert!(!parsed.records.iter().any(|record| record.message.contains("unrecognized")));
}

#[test]
fn the_sample_configuration_starts_a_member() {
    let read_file = |_: &str| Ok(text("ringbolt.yaml"));
    let outside = Outside { default_host: &|| Err("none".to_owned()), read_file: &read_file };
    let arguments = ["ringbolt", "--config-file=x"].map(str::to_owned);
    let parsed = parse(&arguments, &[], outside).unwrap();
    assert_eq!(parsed.config.data_dir.to_str(), Some("/var/lib/ringbolt/member"));
}

#[test]
fn pods_call_the_server_with_flags_that_it_has_and_probe_it() {
    let known = flags();
    for name in ["kubernetes/stacked-etcd.yaml", "kubernetes/external-etcd.yaml"] {
        let pod: Value = serde_norway::from_str(&text(name)).unwrap();
        let container = &pod["spec"]["containers"][0];
        let command: Vec<&str> =
            container["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(command[0], "etcd");
        for flag in &command[1..] {
            let (flag, _) = flag.strip_prefix("--").unwrap().split_once('=').unwrap();
            assert!(known.contains(flag), "{name}: --{flag}");
        }
        let words: Vec<String> =
            command.iter().map(|word| word.replace("NODE_NAME", "node").replace("NODE_IP", "192.0.2.1")).collect();
        let outside = Outside { default_host: &|| Err("none".to_owned()), read_file: &|_| Err("none".to_owned()) };
        let parsed = parse(&words, &[], outside).unwrap_or_else(|exit| panic!("{name}: {:?}", exit.records));
        assert_eq!(parsed.config.name, "node");
        for (probe, path) in [("startupProbe", "/readyz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            assert_eq!(container[probe]["httpGet"]["path"], path, "{name}");
        }
        assert_eq!(pod["spec"]["securityContext"]["seccompProfile"]["localhostProfile"], "seccomp-ringbolt.json");
        let mounted: BTreeSet<&str> =
            container["volumeMounts"].as_array().unwrap().iter().map(|mount| mount["name"].as_str().unwrap()).collect();
        let volumes: BTreeSet<&str> =
            pod["spec"]["volumes"].as_array().unwrap().iter().map(|volume| volume["name"].as_str().unwrap()).collect();
        assert_eq!(mounted, volumes, "{name}");
    }
}

#[test]
fn the_seccomp_profile_lets_io_uring_pass_and_denies_the_rest() {
    let profile: Value = serde_json::from_str(&text("kubernetes/seccomp-ringbolt.json")).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let groups = profile["syscalls"].as_array().unwrap();
    let names: Vec<&str> = groups
        .iter()
        .inspect(|group| assert_eq!(group["action"], "SCMP_ACT_ALLOW"))
        .flat_map(|group| group["names"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len(), "a call stands twice");
    for needed in ["io_uring_setup", "io_uring_enter", "io_uring_register", "process_madvise", "fallocate", "accept4"] {
        assert!(unique.contains(needed), "{needed}");
    }
    for denied in ["ptrace", "mount", "bpf", "kexec_load", "init_module", "unshare", "setns", "keyctl", "reboot"] {
        assert!(!unique.contains(denied), "{denied}");
    }
}
