//! The configuration beside real etcd: the same arguments and environment, the same texts and exit status.
//!
//! Each case is a call that etcd refuses before it serves anybody. etcd is run for real; ours is read in this process, since
//! reading the configuration is a function. `RINGBOLT_ORACLE_DIR` names a folder with etcd's `server`; without it
//! tests/oracle/build makes one.

mod cases;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ringbolt::config::{self, Exit, Outside};
use ringbolt::log::{self, Level, Options, Record, Target};
use serde_json::Value;

use cases::Case;

/// What is compared of an end.
#[derive(PartialEq, Eq, Debug)]
struct End {
    status: i32,
    /// Lines on standard error that are no records, up to the usage.
    complaint: Vec<String>,
    /// Records without time, place and stack, as JSON with sorted names.
    records: Vec<String>,
}

#[test]
fn refusals_are_etcd_s() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("flags-{}", std::process::id()));
    let cases = cases::all();
    let mut differences = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let directory = scratch.join(number.to_string());
        prepare(case, &directory);
        let (theirs, ours) = (run_etcd(case, &directory), read_ours(case, &directory));
        if theirs != ours {
            differences.push(format!("{case:?}\n  etcd {theirs:?}\n  ours {ours:?}"));
        }
    }
    std::fs::remove_dir_all(&scratch).unwrap();
    assert!(cases.len() > 90, "the cases are there");
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), cases.len(), differences.join("\n"));
}

/// What a client sees of it is the same; the text is better.
#[test]
fn unreadable_files_end_it_as_with_etcd_and_name_the_line() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{}", std::process::id()));
    for (number, case) in cases::unreadable().iter().enumerate() {
        let directory = scratch.join(number.to_string());
        prepare(case, &directory);
        let mut ends = [run_etcd(case, &directory), read_ours(case, &directory)];
        let told = |end: &End| {
            let last: Value = serde_json::from_str(end.records.last().expect("a record")).unwrap();
            last["error"].as_str().expect("an error").to_owned()
        };
        let ours = told(&ends[1]);
        assert!(ours.starts_with("etcd.conf:"), "{case:?}: {ours}");
        for end in &mut ends {
            let (error, record) = (told(end), end.records.pop().expect("a record"));
            end.records.push(record.replace(&Value::from(error).to_string(), "ERROR"));
        }
        assert_eq!(ends[0], ends[1], "{case:?}");
    }
    std::fs::remove_dir_all(&scratch).unwrap();
}

fn prepare(case: &Case, directory: &Path) {
    std::fs::create_dir_all(directory).expect("our directory");
    if let Some(text) = case.file {
        std::fs::write(directory.join("etcd.conf"), text).expect("our directory");
    }
}

fn run_etcd(case: &Case, directory: &Path) -> End {
    // One that etcd takes after all must not keep this waiting.
    let mut command = Command::new("timeout");
    command.arg("20").arg(oracle());
    let inherited = std::env::vars().filter(|(name, _)| !name.starts_with("ETCD_"));
    command.env_clear().envs(inherited).envs(case.variables.iter().copied()).args(case.flags).current_dir(directory);
    let output = command.output().expect("etcd runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let before_usage = text.split("Usage:").next().unwrap_or_default();
    let (records, complaint): (Vec<&str>, Vec<&str>) = before_usage.lines().partition(|line| line.starts_with('{'));
    let complaint = complaint.into_iter().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    End { status: output.status.code().expect("etcd exits"), complaint, records: comparable(&records) }
}

fn read_ours(case: &Case, directory: &Path) -> End {
    let words = std::iter::once("etcd").chain(case.flags.iter().copied());
    let arguments: Vec<String> = words.map(str::to_owned).collect();
    // A child's environment comes sorted from `Command`, and so does ours.
    let variables: BTreeMap<&str, &str> = case.variables.iter().copied().collect();
    let variables: Vec<(String, String)> =
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let read_file = |path: &str| {
        let (place, prefix) = (directory.join(path).display().to_string(), format!("{}/", directory.display()));
        ringbolt::preflight::read_file(&place).map_err(|why| why.replace(&prefix, ""))
    };
    let outside = Outside { default_host: &|| Err("none".to_owned()), read_file: &read_file };
    let exit = config::parse(&arguments, &variables, outside).map_or_else(|exit| exit, |parsed| start(&parsed.config));
    let path = directory.join("log");
    let options = Options { level: Level::Debug, targets: vec![Target::File(path.to_owned())], ..Options::default() };
    let (logger, thread) = log::open(&options).expect("a file in our own directory opens");
    exit.records.iter().for_each(|record| logger.record(record));
    drop(logger);
    thread.join();
    let written = std::fs::read_to_string(&path).expect("the log was written");
    let complaint = exit.stderr.split("Usage:").next().unwrap_or_default().lines().map(str::to_owned).collect();
    End { status: i32::from(exit.code), complaint, records: comparable(&written.lines().collect::<Vec<_>>()) }
}

/// What the start makes of flags that were found good.
fn start(config: &config::Config) -> Exit {
    let begun = config::check_start(config).and_then(|()| config::bootstrap(config, &|host| Ok(host.to_owned())));
    let why = begun.err().unwrap_or_else(|| "nothing: this would start".to_owned());
    Exit::failed(vec![Record::new(Level::Fatal, "discovery failed", vec![("error", why.into())])])
}

/// The records that have to agree: all of them, or once etcd has begun to start, the last word alone.
fn comparable(lines: &[&str]) -> Vec<String> {
    let mut records: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect();
    if records.last().is_some_and(|last| last["msg"] == "discovery failed") {
        records.drain(..records.len() - 1);
    }
    for record in &mut records {
        let fields = record.as_object_mut().expect("a record is an object");
        for name in ["ts", "caller", "stacktrace", "args"] {
            fields.remove(name);
        }
    }
    records.iter().map(Value::to_string).collect()
}

fn oracle() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(directory) = std::env::var_os("RINGBOLT_ORACLE_DIR") {
            return PathBuf::from(directory).join("server");
        }
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
        let status = Command::new(directory.join("build")).status().expect("tests/oracle/build runs");
        assert!(status.success(), "tests/oracle/build: {status}");
        directory.join("bin/server")
    })
}
