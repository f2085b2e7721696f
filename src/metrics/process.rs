//! What the kernel says of the process, as client_golang's collector asks it.
//!
//! Invariants
//! - A figure that cannot be had is left out.
//! - Nothing here takes long, whatever the process has open: it runs on an executor.

use std::fs;

use super::text::{Page, go_float};

/// The kernel's clock ticks in a second, as programs see them: fixed on amd64.
const TICKS_PER_SECOND: f64 = 100.0;

/// A page of memory.
const PAGE_BYTES: u64 = 4096;

/// The process's figures at one moment.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Process {
    cpu_seconds: Option<f64>,
    started_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    virtual_bytes_max: Option<u64>,
    open_files: Option<u64>,
    open_files_max: Option<u64>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
}

impl Process {
    /// Bytes of its memory that are resident.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.resident_bytes
    }

    /// Reads them.
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut process = Self::of_stat(&text("/proc/self/stat"), boot_seconds());
        let limits = text("/proc/self/limits");
        process.open_files_max = limit(&limits, "Max open files");
        process.virtual_bytes_max = limit(&limits, "Max address space");
        process.open_files = open_files();
        (process.received_bytes, process.sent_bytes) = of_netstat(&text("/proc/self/net/netstat"));
        process
    }

    /// The part that the line of `stat` tells. The command's name may hold anything, a closing bracket ends it.
    fn of_stat(stat: &str, boot_seconds: Option<u64>) -> Self {
        let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
        // Numbered from 1 in proc(5), with two fields before these.
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
        let ticks = |number| field(number).map(super::text::float);
        let started = ticks(22).zip(boot_seconds);
        Self {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            started_seconds: started.map(|(since, boot)| super::text::float(boot) + since / TICKS_PER_SECOND),
            virtual_bytes: field(23),
            resident_bytes: field(24).map(|pages| pages * PAGE_BYTES),
            ..Self::default()
        }
    }

    /// Open files now, and how many may be.
    pub fn files(&self) -> (Option<u64>, Option<u64>) {
        (self.open_files, self.open_files_max)
    }

    /// Writes the families of `process_`.
    pub fn show(&self, page: &mut Page) {
        let mut gauge = |name, help, value: Option<String>| {
            if let Some(value) = value {
                page.gauge(name, help, value);
            }
        };
        let text = |value: Option<u64>| value.map(|value| value.to_string());
        gauge("process_resident_memory_bytes", "Resident memory size in bytes.", text(self.resident_bytes));
        gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", text(self.virtual_bytes));
        gauge(
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            self.virtual_bytes_max.map(|bytes| go_float(super::text::float(bytes))),
        );
        gauge("process_open_fds", "Number of open file descriptors.", text(self.open_files));
        gauge("process_max_fds", "Maximum number of open file descriptors.", text(self.open_files_max));
        gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            self.started_seconds.map(|seconds| format!("{seconds:.2}")),
        );
        let mut counter = |name, help, value: Option<String>| {
            if let Some(value) = value {
                page.counter(name, help, value);
            }
        };
        let cpu = self.cpu_seconds.map(|seconds| format!("{seconds:.2}"));
        counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", cpu);
        counter(
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
            text(self.received_bytes),
        );
        counter(
            "process_network_transmit_bytes_total",
            "Number of bytes sent by the process over the network.",
            text(self.sent_bytes),
        );
    }
}

/// When the machine started, in seconds since 1970. Read once: the file is long on large machines.
fn boot_seconds() -> Option<u64> {
    static BOOT: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *BOOT.get_or_init(|| {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()
    })
}

/// Since Linux 6.2 the directory's length says how many there are; before, they are counted.
fn open_files() -> Option<u64> {
    let length = fs::metadata("/proc/self/fd").ok()?.len();
    if length > 0 {
        return Some(length);
    }
    u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

/// The soft limit of a line of `limits`; without one it is all that fits.
fn limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Octets in and out, of the two lines of names and values that begin with `IpExt:`.
fn of_netstat(netstat: &str) -> (Option<u64>, Option<u64>) {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return (None, None) };
    let find = |wanted: &str| {
        let mut both = names.split(' ').zip(values.split(' '));
        both.find(|(name, _)| *name == wanted)?.1.parse().ok()
    };
    (find("InOctets"), find("OutOctets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 3 0 1000 8192 5 18446744073709551615 1";
        let process = Process::of_stat(stat, Some(100));
        assert_eq!((process.cpu_seconds, process.started_seconds), (Some(3.0), Some(110.0)));
        assert_eq!((process.virtual_bytes, process.resident_bytes), (Some(8192), Some(5 * 4096)));
        assert_eq!(Process::of_stat("", None), Process::default());
        let limits =
            "Limit  Soft\nMax open files            1024   4096   files\nMax address space   unlimited unlimited\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024));
        assert_eq!(limit(limits, "Max address space"), Some(u64::MAX));
        assert_eq!(limit(limits, "Max anything"), None);
        let netstat = "TcpExt: A B\nTcpExt: 1 2\nIpExt: X InOctets OutOctets\nIpExt: 9 10 11\n";
        assert_eq!(of_netstat(netstat), (Some(10), Some(11)));
        assert_eq!(of_netstat("IpExt: InOctets"), (None, None));
    }

    #[test]
    fn this_process_has_figures() {
        let process = Process::read();
        let (open, max) = process.files();
        assert!(open.is_some_and(|open| open >= 3) && max >= open, "{process:?}");
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{process:?}");
        assert!(process.started_seconds.is_some_and(|seconds| seconds > 1e9), "{process:?}");
    }
}
