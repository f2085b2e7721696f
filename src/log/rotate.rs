//! A log file that begins anew when it is full: `--enable-log-rotation`, by the rules of Go's lumberjack.
//!
//! Invariants
//! - A file never holds more than its bound, unless it did when it was opened; a line is in one file, whole.
//! - The full file keeps its bytes under a name with the moment of its end; only such names are ever removed, the oldest
//!   first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::timestamp::{MICROS_PER_DAY, parse_file_timestamp, push_file_timestamp};
use flate2::{Compression, write::GzEncoder};

/// `--log-rotation-config-json`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// Bytes that a file may hold.
    pub bytes_max: u64,
    /// Full files that are kept; 0 is all.
    pub files_max: u64,
    /// Days that full files are kept; 0 is for ever.
    pub days_max: u64,
    /// Whether full files are compressed.
    pub compress: bool,
}

/// The file that is written and where its predecessors are.
pub(super) struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    length: u64,
    /// Compresses full files; one at a time.
    compressing: Option<JoinHandle<()>>,
}

impl RotatingFile {
    /// Opens the file at the end that it has, making it and its directory if need be.
    pub(super) fn open(path: &Path, rotation: Rotation, now_micros: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        let mut rotating = Self { path: path.to_path_buf(), rotation, file, length, compressing: None };
        rotating.remove_old(now_micros);
        Ok(rotating)
    }

    /// Writes whole lines, into as many files as they take.
    pub(super) fn write(&mut self, lines: &str, now_micros: u64) -> io::Result<()> {
        let mut gathered = 0;
        let mut rest = lines;
        for line in lines.split_inclusive('\n') {
            let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
            if length > self.rotation.bytes_max {
                // As with lumberjack the line is lost: it would not fit into any file.
                self.put(&rest[..gathered])?;
                rest = &rest[gathered + line.len()..];
                gathered = 0;
                continue;
            }
            let held = self.length + u64::try_from(gathered).unwrap_or(u64::MAX);
            if held + length > self.rotation.bytes_max {
                self.put(&rest[..gathered])?;
                rest = &rest[gathered..];
                gathered = 0;
                self.rotate(now_micros)?;
            }
            gathered += line.len();
        }
        self.put(&rest[..gathered])
    }

    fn put(&mut self, lines: &str) -> io::Result<()> {
        self.length += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        self.file.write_all(lines.as_bytes())
    }

    /// Puts the full file aside and begins the next, with the same mode.
    fn rotate(&mut self, now_micros: u64) -> io::Result<()> {
        let mode = self.file.metadata().map_or(0o600, |metadata| metadata.permissions().mode());
        // Two that were full within a millisecond must not share a name.
        let free = (0..).map(|later| self.full_name(now_micros + later * 1000)).find(|name| !name.exists());
        fs::rename(&self.path, free.expect("some name is free"))?;
        self.file = OpenOptions::new().append(true).create(true).mode(mode & 0o7777).open(&self.path)?;
        self.length = 0;
        self.remove_old(now_micros);
        Ok(())
    }

    /// Compresses full files that are not, beside what is written meanwhile; one that fails is tried again next time.
    fn compress_full(&mut self) {
        if self.compressing.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let plain: Vec<PathBuf> = self.full_files().into_iter().map(|(_, path)| path).collect();
        let plain: Vec<PathBuf> =
            plain.into_iter().filter(|path| path.extension().is_none_or(|end| end != "gz")).collect();
        if !plain.is_empty() {
            let work = move || plain.iter().for_each(|path| drop(compress_file(path)));
            // Without a thread they wait for the next time, too.
            self.compressing = std::thread::Builder::new().name("log-gzip".to_owned()).spawn(work).ok();
        }
    }

    /// `server.log` becomes `server-2006-01-02T15-04-05.000.log`.
    fn full_name(&self, micros: u64) -> PathBuf {
        let (stem, extension) = self.name_parts();
        let mut name = format!("{stem}-");
        push_file_timestamp(&mut name, micros);
        name.push_str(&extension);
        self.path.with_file_name(name)
    }

    /// The name before and from its last dot on.
    fn name_parts(&self) -> (String, String) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.rfind('.') {
            Some(dot) => (name[..dot].to_owned(), name[dot..].to_owned()),
            None => (name, String::new()),
        }
    }

    /// Removes full files that are too many or too old. What cannot be removed is tried again next time.
    fn remove_old(&mut self, now_micros: u64) {
        let Rotation { files_max, days_max, .. } = self.rotation;
        let oldest = now_micros.saturating_sub(days_max.saturating_mul(MICROS_PER_DAY));
        let (mut moments, mut last) = (0, None);
        for (micros, path) in self.full_files() {
            // One that is half compressed is there twice and counts once.
            moments += u64::from(last.replace(micros) != Some(micros));
            let too_many = files_max > 0 && moments > files_max;
            let too_old = days_max > 0 && micros < oldest;
            if too_many || too_old {
                let _ = fs::remove_file(path);
            }
        }
        if self.rotation.compress {
            self.compress_full();
        }
    }

    /// The full files by the moment in their names, the newest first.
    fn full_files(&self) -> Vec<(u64, PathBuf)> {
        let (stem, extension) = self.name_parts();
        let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let entries = fs::read_dir(directory.unwrap_or(Path::new(".")));
        let mut found = Vec::new();
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stamp = name.strip_prefix(&format!("{stem}-"));
            let stamp = stamp.map(|stamp| stamp.strip_suffix(".gz").unwrap_or(stamp));
            let micros = stamp.and_then(|stamp| parse_file_timestamp(stamp.strip_suffix(&extension)?));
            found.extend(micros.map(|micros| (micros, entry.path())));
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        found
    }
}

/// Puts a compressed file in the place of a full one, with its mode. Half a file, from a process that ended, is written anew.
fn compress_file(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    let packed = PathBuf::from(name);
    let mut from = File::open(path)?;
    let mode = from.metadata()?.permissions().mode() & 0o7777;
    let to = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&packed)?;
    let mut to = GzEncoder::new(to, Compression::default());
    let written = io::copy(&mut from, &mut to).and_then(|_| to.finish());
    written.inspect_err(|_| drop(fs::remove_file(&packed)))?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment in 2020, and so many seconds.
    fn moment(seconds: u64) -> u64 {
        (1_577_836_800 + seconds) * 1_000_000
    }

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("ringbolt-rotate-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&directory));
        directory
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_put_aside_and_no_line_is_cut() {
        let directory = scratch("full").join("logs");
        let path = directory.join("etcd.log");
        let rotation = Rotation { bytes_max: 10, files_max: 0, days_max: 0, compress: false };
        let mut file = RotatingFile::open(&path, rotation, moment(0)).unwrap();
        file.write("aaaa\nbbbb\n", moment(1)).unwrap();
        assert_eq!(names(&directory), ["etcd.log"], "exactly full is not too full");
        file.write("cccc\ntoo long for any\ndd\nee\nff\n", moment(2)).unwrap();
        file.write("g\n", moment(3)).unwrap();
        let full = ["etcd-2020-01-01T00-00-02.000.log", "etcd-2020-01-01T00-00-02.001.log", "etcd.log"];
        let found = names(&directory);
        assert_eq!(
            (found.first().map(String::as_str), found.last().map(String::as_str)),
            (Some(full[0]), Some(full[2]))
        );
        let all: String = found[..found.len() - 1]
            .iter()
            .chain([&full[2].to_owned()])
            .map(|name| fs::read_to_string(directory.join(name)).unwrap())
            .collect();
        assert_eq!(all, "aaaa\nbbbb\ncccc\ndd\nee\nff\ng\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(directory.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_that_is_there_goes_on_and_keeps_its_mode() {
        let directory = scratch("mode");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("log");
        fs::write(&path, "12345678\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let rotation = Rotation { bytes_max: 10, files_max: 1, days_max: 0, compress: false };
        let mut file = RotatingFile::open(&path, rotation, moment(0)).unwrap();
        for second in 1..5 {
            file.write("87654321\n", moment(second)).unwrap();
        }
        assert_eq!(names(&directory), ["log", "log-2020-01-01T00-00-04.000"], "one full file is kept");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn files_that_are_too_old_go_and_others_names_stay() {
        let directory = scratch("old");
        fs::create_dir_all(&directory).unwrap();
        for name in ["a-2020-01-01T00-00-00.000.log", "a-2020-01-03T00-00-00.000.log.gz", "a-b.log", "a.log"] {
            fs::write(directory.join(name), "").unwrap();
        }
        let rotation = Rotation { bytes_max: 10, files_max: 0, days_max: 2, compress: false };
        RotatingFile::open(&directory.join("a.log"), rotation, moment(3 * 86_400)).unwrap();
        assert_eq!(names(&directory), ["a-2020-01-03T00-00-00.000.log.gz", "a-b.log", "a.log"]);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn full_files_are_compressed_beside_the_writing() {
        let directory = scratch("gzip");
        let path = directory.join("a.log");
        let rotation = Rotation { bytes_max: 10, files_max: 0, days_max: 0, compress: true };
        let mut file = RotatingFile::open(&path, rotation, moment(0)).unwrap();
        file.write("aaaaaaaa\nbbbbbbbb\n", moment(1)).unwrap();
        let wanted = ["a-2020-01-01T00-00-01.000.log.gz", "a.log"];
        while names(&directory) != wanted {
            std::thread::yield_now();
        }
        let packed = directory.join(wanted[0]);
        let output = std::process::Command::new("gzip").arg("-dc").arg(&packed).output().unwrap();
        assert_eq!(output.stdout, b"aaaaaaaa\n");
        assert_eq!(fs::metadata(&packed).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(&directory).unwrap();
    }
}
