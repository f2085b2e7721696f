//! Seeded damage to one file: flipped bits, zeros, blocks in the wrong place, blocks of an earlier time, missing ends.
//!
//! **Invariants**: the file differs afterwards; most damage falls on blocks that hold something.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::client::Random;

/// The unit in which blocks are moved, and in which a disk may tear.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// What was done to which file.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    /// The kind, for the table.
    pub(crate) kind: &'static str,
    /// The file, below the data directory.
    pub(crate) file: PathBuf,
    /// The rest.
    pub(crate) detail: String,
}

/// The regular files below a directory, as relative paths in order.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("our directory") {
            let entry = entry.expect("our directory");
            let kind = entry.file_type().expect("our directory");
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(directory).expect("below it").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Damages one file below `data`; `earlier` is the directory as it was some writes before.
pub(crate) fn damage(data: &Path, earlier: &Path, random: &mut Random) -> Damage {
    let all = files(data);
    loop {
        let file = random.pick(&all).clone();
        let path = data.join(&file);
        let bytes = std::fs::read(&path).expect("our file");
        let (kind, detail) = match random.below(10) {
            0 => delete(&path),
            1 => truncate(&path, &bytes, random),
            2 | 3 => flip(&path, &bytes, random),
            4 | 5 => zero(&path, &bytes, random),
            6 => swap(&path, &bytes, random),
            7 => double(&path, &bytes, random),
            8 => noise(&path, &bytes, random),
            _ => lose(&path, &bytes, &earlier.join(&file), random),
        };
        let changed = std::fs::read(&path).map_or(true, |now| now != bytes);
        if changed {
            return Damage { kind, file, detail };
        }
    }
}

type Done = (&'static str, String);

fn delete(path: &Path) -> Done {
    std::fs::remove_file(path).expect("our file");
    ("deleted", String::new())
}

fn truncate(path: &Path, bytes: &[u8], random: &mut Random) -> Done {
    let used = used_blocks(bytes);
    let mut length = match random.below(4) {
        0 => 0,
        1 => block(&used, random) * BLOCK_BYTES,
        _ => block(&used, random) * BLOCK_BYTES + random.below(BLOCK_BYTES),
    };
    length = length.min(length_of(bytes));
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("our file");
    file.set_len(length).expect("our file");
    ("cut short", format!("to {length} of {} bytes", bytes.len()))
}

fn flip(path: &Path, bytes: &[u8], random: &mut Random) -> Done {
    let mut detail = Vec::new();
    for _ in 0..random.between(1, 3) {
        let at = position(bytes, random);
        let Some(&byte) = usize::try_from(at).ok().and_then(|at| bytes.get(at)) else { continue };
        let bit = random.below(8);
        write(path, at, &[byte ^ (1 << bit)]);
        detail.push(format!("bit {bit} at {at}"));
    }
    ("bits flipped", detail.join(", "))
}

fn zero(path: &Path, bytes: &[u8], random: &mut Random) -> Done {
    let mut at = position(bytes, random);
    let mut length = *random.pick(&[1, 8, 100, 512, BLOCK_BYTES, 3 * BLOCK_BYTES, 16 * BLOCK_BYTES]);
    if length >= BLOCK_BYTES {
        at -= at % BLOCK_BYTES;
    }
    length = length.min(length_of(bytes).saturating_sub(at));
    write(path, at, &vec![0; usize::try_from(length).expect("small")]);
    ("zeroed", format!("{length} bytes at {at}"))
}

fn swap(path: &Path, bytes: &[u8], random: &mut Random) -> Done {
    let used = used_blocks(bytes);
    let (one, other) = (block(&used, random), block(&used, random));
    write(path, one * BLOCK_BYTES, slice(bytes, other));
    write(path, other * BLOCK_BYTES, slice(bytes, one));
    ("blocks swapped", format!("{one} and {other}"))
}

fn double(path: &Path, bytes: &[u8], random: &mut Random) -> Done {
    let used = used_blocks(bytes);
    let (from, to) = (block(&used, random), block(&used, random));
    write(path, to * BLOCK_BYTES, slice(bytes, from));
    ("block doubled", format!("{from} over {to}"))
}

fn noise(path: &Path, bytes: &[u8], random: &mut Random) -> Done {
    let at = position(bytes, random);
    let length = (*random.pick(&[4, 64, 512, BLOCK_BYTES])).min(length_of(bytes).saturating_sub(at));
    let garbage: Vec<u8> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
    write(path, at, &garbage);
    ("overwritten", format!("{length} bytes at {at}"))
}

/// A write that never reached the disk: one block is as it was earlier.
fn lose(path: &Path, bytes: &[u8], earlier: &Path, random: &mut Random) -> Done {
    let before = std::fs::read(earlier).unwrap_or_default();
    let blocks = length_of(bytes).div_ceil(BLOCK_BYTES);
    let changed: Vec<u64> = (0..blocks).filter(|&block| slice(bytes, block) != slice(&before, block)).collect();
    if changed.is_empty() {
        return ("write lost", String::new());
    }
    let lost = *random.pick(&changed);
    let mut old = slice(&before, lost).to_vec();
    // What the file did not have yet was zeros.
    old.resize(slice(bytes, lost).len(), 0);
    write(path, lost * BLOCK_BYTES, &old);
    ("write lost", format!("block {lost}"))
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("64-bit")
}

fn slice(bytes: &[u8], block: u64) -> &[u8] {
    let length = length_of(bytes);
    let start = (block * BLOCK_BYTES).min(length);
    let end = (start + BLOCK_BYTES).min(length);
    &bytes[usize::try_from(start).expect("64-bit")..usize::try_from(end).expect("64-bit")]
}

/// Blocks that hold something, and one in eight of the others; at least one.
fn used_blocks(bytes: &[u8]) -> Vec<u64> {
    let blocks = length_of(bytes).div_ceil(BLOCK_BYTES).max(1);
    let mut used: Vec<u64> = (0..blocks).filter(|&block| slice(bytes, block).iter().any(|&byte| byte != 0)).collect();
    let some = used.len() / 8 + 1;
    used.extend((0..blocks).filter(|&block| slice(bytes, block).iter().all(|&byte| byte == 0)).take(some));
    used
}

fn block(used: &[u64], random: &mut Random) -> u64 {
    *random.pick(used)
}

/// A byte position, mostly in a block that holds something.
fn position(bytes: &[u8], random: &mut Random) -> u64 {
    let start = block(&used_blocks(bytes), random) * BLOCK_BYTES;
    let within = (length_of(bytes).saturating_sub(start)).clamp(1, BLOCK_BYTES);
    // Headers stand at the start of blocks.
    start + if random.chance(1, 3) { random.below(64).min(within - 1) } else { random.below(within) }
}

fn write(path: &Path, at: u64, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("our file");
    file.write_all_at(bytes, at).expect("our file");
}
