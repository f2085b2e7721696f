//! What /proc tells about the server, the machine and this client at one moment.
//!
//! Invariants
//! - Only counters that grow are subtracted; memory is read as it stands.
//! - CPU time of the server is its process clock: all threads, living and ended, io_uring workers included, in nanoseconds.

use std::collections::BTreeMap;
use std::fs;

/// Nanoseconds of the monotonic clock, the same in every process of the machine.
pub(crate) fn now() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC).expect("the monotonic clock is always there")
}

fn read_clock(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the kernel to write to.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    if failed { None } else { Some(seconds * 1_000_000_000 + nanoseconds) }
}

fn process_cpu(pid: u32) -> Option<u64> {
    let mut clock = 0;
    // SAFETY: `clock` is a valid place for the answer.
    let failed = unsafe { libc::clock_getcpuclockid(i32::try_from(pid).ok()?, &raw mut clock) } != 0;
    if failed { None } else { read_clock(clock) }
}

/// Raises the limit of open files as far as this process may: some works hold thousands of connections.
pub(crate) fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place to write to and to read from.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// One reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// When it was taken.
    pub(crate) at: u64,
    /// Counters by name; the difference of two readings is what is reported.
    pub(crate) counters: BTreeMap<&'static str, u64>,
    /// Context switches of each thread of the server.
    switches: BTreeMap<u64, (u64, u64)>,
    /// Amounts by name, in bytes.
    pub(crate) amounts: BTreeMap<&'static str, u64>,
}

/// Reads everything; what cannot be read is left out.
pub(crate) fn sample(pid: u32) -> Sample {
    let mut sample = Sample { at: now(), ..Sample::default() };
    let counters = &mut sample.counters;
    if let Some(cpu) = process_cpu(pid) {
        counters.insert("server_cpu_ns", cpu);
    }
    if let Some((user, system)) = stat_ticks(pid) {
        counters.insert("server_user_ms", user * 1000 / ticks_per_second());
        counters.insert("server_system_ms", system * 1000 / ticks_per_second());
    }
    if let Some(cpu) = read_clock(libc::CLOCK_PROCESS_CPUTIME_ID) {
        counters.insert("client_cpu_ns", cpu);
    }
    for (name, field) in [
        ("io_read_bytes", "read_bytes"),
        ("io_write_bytes", "write_bytes"),
        ("io_cancelled_write_bytes", "cancelled_write_bytes"),
        ("io_write_calls", "syscw"),
    ] {
        if let Some(value) = field_of(&format!("/proc/{pid}/io"), field) {
            counters.insert(name, value);
        }
    }
    machine(counters);
    sample.switches = switches(pid);
    sample.amounts = memory(pid);
    sample
}

/// Memory of a process, in bytes.
pub(crate) fn memory(pid: u32) -> BTreeMap<&'static str, u64> {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/status")) else { return BTreeMap::new() };
    [("rss_anon", "RssAnon"), ("rss_file", "RssFile"), ("rss_shmem", "RssShmem"), ("rss_peak", "VmHWM")]
        .into_iter()
        .filter_map(|(name, field)| Some((name, field_in(&text, field)? * 1024)))
        .collect()
}

impl Sample {
    /// What the counters grew by since `before`.
    pub(crate) fn since(&self, before: &Self) -> BTreeMap<&'static str, u64> {
        let mut growth: BTreeMap<_, _> = self
            .counters
            .iter()
            .filter_map(|(name, value)| Some((*name, value.saturating_sub(*before.counters.get(name)?))))
            .collect();
        let (mut voluntary, mut involuntary) = (0, 0);
        for (thread, after) in &self.switches {
            let (before_voluntary, before_involuntary) = before.switches.get(thread).copied().unwrap_or_default();
            voluntary += after.0.saturating_sub(before_voluntary);
            involuntary += after.1.saturating_sub(before_involuntary);
        }
        growth.insert("switches_voluntary", voluntary);
        growth.insert("switches_involuntary", involuntary);
        growth.insert("wall_ns", self.at - before.at);
        growth
    }
}

fn ticks_per_second() -> u64 {
    // SAFETY: sysconf has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100)
}

fn stat_ticks(pid: u32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn switches(pid: u32) -> BTreeMap<u64, (u64, u64)> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    threads
        .flatten()
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("status")).ok()?;
            let thread = entry.file_name().to_str()?.parse().ok()?;
            let voluntary = field_in(&text, "voluntary_ctxt_switches")?;
            Some((thread, (voluntary, field_in(&text, "nonvoluntary_ctxt_switches")?)))
        })
        .collect()
}

/// Time of all CPUs by what they did, and what the disks wrote.
fn machine(counters: &mut BTreeMap<&'static str, u64>) {
    let Ok(text) = fs::read_to_string("/proc/stat") else { return };
    let numbers: Vec<u64> = text.lines().next().unwrap_or("").split_whitespace().flat_map(str::parse).collect();
    if let [user, nice, system, idle, wait, hard, soft, steal, ..] = numbers[..] {
        let milliseconds = |ticks: u64| ticks * 1000 / ticks_per_second();
        counters.insert("machine_busy_ms", milliseconds(user + nice + system + hard + soft));
        counters.insert("machine_interrupt_ms", milliseconds(hard + soft));
        counters.insert("machine_idle_ms", milliseconds(idle + wait));
        counters.insert("machine_steal_ms", milliseconds(steal));
    }
    if let Some(switches) = text.lines().find_map(|line| line.strip_prefix("ctxt ")?.parse().ok()) {
        counters.insert("machine_switches", switches);
    }
    let Ok(disks) = fs::read_dir("/sys/block") else { return };
    let (mut sectors, mut writes) = (0, 0);
    for disk in disks.flatten().filter(|disk| disk.path().join("device").exists()) {
        let Ok(text) = fs::read_to_string(disk.path().join("stat")) else { continue };
        let numbers: Vec<u64> = text.split_whitespace().flat_map(str::parse).collect();
        writes += numbers.get(4).copied().unwrap_or(0);
        sectors += numbers.get(6).copied().unwrap_or(0);
    }
    counters.insert("disk_writes", writes);
    counters.insert("disk_write_bytes", sectors * 512);
}

fn field_of(path: &str, field: &str) -> Option<u64> {
    field_in(&fs::read_to_string(path).ok()?, field)
}

fn field_in(text: &str, field: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        let pid = std::process::id();
        let before = sample(pid);
        assert!((0..10_000_000u64).fold(0, |sum, number| sum ^ std::hint::black_box(number)) < u64::MAX);
        let growth = sample(pid).since(&before);
        assert!(growth["server_cpu_ns"] > 0 && growth["server_cpu_ns"] <= 4 * growth["wall_ns"], "{growth:?}");
        assert!(before.amounts["rss_anon"] > 0);
        assert!(growth.contains_key("io_write_bytes"));
    }
}
