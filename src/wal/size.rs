//! Lengths between memory (`usize`) and disk (`u64`, `u32`), in one place.

/// A length in memory, as the disk counts.
pub(super) fn on_disk(length: usize) -> u64 {
    u64::try_from(length).expect("a 64-bit machine's lengths fit 64 bits")
}

/// A length of something that is, or will be, in memory.
pub(super) fn in_memory(length: u64) -> usize {
    usize::try_from(length).expect("lengths are bounded by WAL_SEGMENT_BYTES_MAX or checked against a slice")
}

/// A length that its bound keeps below 4 GiB.
pub(super) fn short(length: u64) -> u32 {
    u32::try_from(length).expect("lengths are bounded by WAL_SEGMENT_BYTES_MAX and WAL_GROUP_BYTES_MAX")
}
