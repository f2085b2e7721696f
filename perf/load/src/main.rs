//! `load`: drives an etcd v3 server and prints what it saw, and what /proc says the server used, as one JSON object.
//!
//! HTTP/2 is spoken by hand over epoll, with no runtime and no copies to speak of: the client shares the machine with the server,
//! and every microsecond that it takes is one that the server cannot have. See ../README.md for the works.

mod call;
mod connection;
mod engine;
mod first_read;
mod frame;
mod hpack;
mod idle;
mod json;
mod keepalive;
mod options;
mod poll;
mod pool;
mod process;
mod slow_lists;
mod socket;
mod stream;
mod watch;
mod wire;
mod work;

use engine::{Meeting, Pace, Plan, Tally};
use hdrhistogram::Histogram;
use json::Object;
use options::{Mode, Options};
use process::Sample;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use work::Work;

fn main() -> ExitCode {
    process::raise_file_limit();
    let outcome = Options::parse(std::env::args().skip(1)).and_then(|options| {
        let run = match options.mode {
            Mode::Work(_) | Mode::Watch | Mode::Keepalive => work_out(&options),
            Mode::FirstRead => first_read(&options),
            Mode::SlowLists => slow_lists(&options),
            Mode::Idle => idle(&options),
            Mode::HoldWatches => hold_watches(&options),
        };
        run.map_err(|error| error.to_string())
    });
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work_out(options: &Options) -> std::io::Result<String> {
    let plan = options.plan();
    let meeting = Meeting::new(plan.threads + 1);
    let (tally, before, after) = thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.threads)
            .map(|index| {
                let (plan, meeting) = (&plan, &meeting);
                scope.spawn(move || one_thread(options, plan, index, meeting))
            })
            .collect();
        let (before, at_end) = sample(&plan, options.pid, &meeting);
        let mut total: Option<Tally> = None;
        for worker in workers {
            let tally = worker.join().expect("a worker returns its errors")?;
            match &mut total {
                Some(total) => total.add(tally),
                None => total = Some(tally),
            }
        }
        let after = at_end.unwrap_or_else(|| process::sample(options.pid));
        Ok::<_, std::io::Error>((total.expect("at least one thread"), before, after))
    })?;
    Ok(report(options, &plan, &tally, &before, &after))
}

fn one_thread(options: &Options, plan: &Plan, index: usize, meeting: &Meeting) -> std::io::Result<Tally> {
    let number = |value: usize| u64::try_from(value).expect("few threads");
    match options.mode {
        Mode::Work(name) => {
            let work = Work::new(name, options.space(), plan.seed, number(index), number(plan.threads));
            engine::run(plan, work, index, meeting)
        }
        Mode::Watch => watch::run(plan, options.watchers(), &options.space(), meeting),
        Mode::Keepalive => keepalive::run(plan, options.each, options.streams, meeting),
        Mode::FirstRead | Mode::SlowLists | Mode::Idle | Mode::HoldWatches => unreachable!("these have no window"),
    }
}

/// Takes the samples at both ends of the window; without a length there is no second one yet.
fn sample(plan: &Plan, pid: u32, meeting: &Meeting) -> (Sample, Option<Sample>) {
    let start = meeting.wait();
    sleep_until(start + plan.warmup_ns);
    let before = process::sample(pid);
    let at_end = plan.window_ns.map(|length| {
        sleep_until(start + plan.warmup_ns + length);
        process::sample(pid)
    });
    (before, at_end)
}

fn sleep_until(moment: u64) {
    thread::sleep(Duration::from_nanos(moment.saturating_sub(process::now())));
}

fn report(options: &Options, plan: &Plan, tally: &Tally, before: &Sample, after: &Sample) -> String {
    let window = plan.window_ns.unwrap_or_else(|| tally.last_end.saturating_sub(before.at));
    let seconds = Duration::from_nanos(window).as_secs_f64();
    let ended = f64::from(u32::try_from(tally.ended).unwrap_or(u32::MAX));
    let object = Object::new().text("work", &options.mode_text);
    let object = match plan.pace {
        Pace::Closed { streams } => object.number("streams", streams),
        Pace::Open { rate } => object.number("rate", rate),
    };
    object
        .number("connections", plan.connections)
        .number("threads", plan.threads)
        .number("seconds", format!("{seconds:.6}"))
        .number("operations", tally.operations)
        .number("ended", tally.ended)
        .number("throughput", format!("{:.1}", ended / seconds.max(1e-9)))
        .number("unfinished", tally.unfinished)
        .number("conflicts", tally.conflicts)
        .number("error_count", tally.error_count)
        .map("errors", tally.errors.iter().map(|(text, count)| (text, *count)))
        .number("answer_bytes", tally.answer_bytes)
        .map("latency_ns", percentiles(&tally.latency))
        .map("lateness_ns", percentiles(&tally.lateness))
        .list("per_second", tally.per_second.iter().copied())
        .map("growth", after.since(before))
        .map("memory_before", before.amounts.clone())
        .map("memory_after", after.amounts.clone())
        .map("compaction", tally.compaction_ns.map(|took| ("answer_ns", took)))
        .finish()
}

fn percentiles(histogram: &Histogram<u64>) -> Vec<(&'static str, u64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let at = |percent| histogram.value_at_percentile(percent);
    let mean = Duration::try_from_secs_f64(histogram.mean() / 1e9).map_or(0, |mean| mean.as_nanos());
    vec![
        ("mean", u64::try_from(mean).unwrap_or(u64::MAX)),
        ("p10", at(10.0)),
        ("p50", at(50.0)),
        ("p75", at(75.0)),
        ("p90", at(90.0)),
        ("p95", at(95.0)),
        ("p99", at(99.0)),
        ("p99.9", at(99.9)),
        ("p99.99", at(99.99)),
        ("max", histogram.max()),
    ]
}

fn first_read(options: &Options) -> std::io::Result<String> {
    let mut key = Vec::new();
    options.space().key(0, &mut key);
    let deadline = process::now() + options.deadline_ns;
    let moment = first_read::wait(options.target, &key, options.present, deadline)?;
    Ok(Object::new().text("work", "first-read").number("answered_at_ns", moment).finish())
}

fn slow_lists(options: &Options) -> std::io::Result<String> {
    let plan = slow_lists::Plan {
        target: options.target,
        pid: options.pid,
        clients: options.connections,
        prefix: options.space().prefix,
        keys: options.keys,
        pace: options.read_pace,
        deadline_ns: options.deadline_ns,
    };
    let before = process::sample(options.pid);
    let outcome = slow_lists::run(&plan)?;
    let after = process::sample(options.pid);
    let mut errors = std::collections::BTreeMap::<String, u64>::new();
    for error in &outcome.errors {
        *errors.entry(error.clone()).or_default() += 1;
    }
    Ok(Object::new()
        .text("work", "slow-lists")
        .number("connections", plan.clients)
        .number("complete", outcome.complete)
        .number("answer_bytes", outcome.answer_bytes)
        .number("error_count", outcome.errors.len())
        .map("errors", errors)
        .map("memory_before", outcome.before)
        .map("memory_peak", outcome.peak)
        .map("memory_after", after.amounts.clone())
        .list("rss_anon_series", outcome.rss_anon_series)
        .map("growth", after.since(&before))
        .finish())
}

fn idle(options: &Options) -> std::io::Result<String> {
    let mut key = Vec::new();
    options.space().key(0, &mut key);
    let outcome = idle::run(&idle::Plan {
        target: options.target,
        pid: options.pid,
        connections: options.connections,
        certificate: options.certificate.clone(),
        key,
        rest: Duration::from_secs_f64(options.seconds),
    })?;
    Ok(held(options, options.connections, outcome))
}

fn hold_watches(options: &Options) -> std::io::Result<String> {
    let rest = Duration::from_secs_f64(options.seconds);
    let outcome = watch::hold(options.target, options.pid, options.watchers(), &options.space(), rest)?;
    Ok(held(options, options.watchers().count(), outcome))
}

/// What so many connections or watchers cost in memory.
fn held(options: &Options, count: usize, outcome: idle::Outcome) -> String {
    Object::new()
        .text("work", &options.mode_text)
        .number("connections", options.connections)
        .number("held", count)
        .map("memory_before", outcome.before)
        .map("memory_opened", outcome.opened)
        .map("memory_after", outcome.after)
        .finish()
}
