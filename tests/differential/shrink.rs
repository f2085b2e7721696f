//! A failing sequence made short: parts are left out as long as the difference stays.
//!
//! **Invariants**: each try runs on two fresh pairs of data directories; bounded by tries and time.

use std::time::{Duration, Instant};

use crate::op::Op;
use crate::pair::{Pair, Source, Tally};

/// A sequence that still fails when replayed on fresh servers, as short as `budget` allows; `None` if the whole
/// sequence does not fail again.
pub(crate) async fn shrink(start: &dyn Fn() -> Pair, ops: &[Op], budget: Duration) -> Option<Vec<Op>> {
    let deadline = Instant::now() + budget;
    // A failing read needs only the writes before it and itself.
    let last = ops.last()?.clone();
    let mut best: Vec<Op> = ops[..ops.len() - 1].iter().filter(|op| !op.is_read()).cloned().collect();
    best.push(last);
    if let Some(shorter) = fails(start, &best).await {
        best = shorter;
    } else {
        best = fails(start, ops).await?;
    }
    let mut part = best.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < best.len() && Instant::now() < deadline {
            let end = (at + part).min(best.len());
            let without: Vec<Op> = best[..at].iter().chain(&best[end..]).cloned().collect();
            match fails(start, &without).await {
                Some(shorter) => best = shorter,
                None => at = end,
            }
        }
        part = if part == 1 || Instant::now() >= deadline { 0 } else { part.div_ceil(2) };
    }
    Some(best)
}

/// Replays on fresh servers; the sequence up to its first difference, if there is one.
async fn fails(start: &dyn Fn() -> Pair, ops: &[Op]) -> Option<Vec<Op>> {
    let mut pair = start();
    let mut done = Vec::new();
    let mut source = Source::Replay(ops.iter());
    let mut tally = Tally::default();
    let result = pair.run(&mut source, ops.len(), &mut done, &mut tally).await;
    let first = tally.harmless.first().map(|difference| difference.index);
    let index = first.or(result.err().map(|difference| difference.index))?;
    done.truncate(index + 1);
    Some(done)
}
