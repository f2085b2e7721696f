use super::*;

fn entry(index: u64, term: u64, length: usize) -> eraftpb::Entry {
    eraftpb::Entry { index, term, data: vec![0u8; length].into(), ..Default::default() }
}

fn window(base: u64, term: u64) -> Window {
    Window::new(Position::new(RaftIndex(base), Term(term)), Default::default(), Default::default())
}

fn indexes(window: &Window, low: u64, high: u64, bytes: Option<u64>) -> Vec<u64> {
    let entries = window.entries(low, high, bytes, GetEntriesContext::empty(false)).unwrap();
    entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn it_answers_as_the_library_expects() {
    let mut window = window(5, 2);
    window.append(&[entry(6, 2, 10), entry(7, 3, 10), entry(8, 3, 10)]);
    assert_eq!((window.first_index().unwrap(), window.last_index().unwrap()), (6, 8));
    assert_eq!((5..=8).map(|index| window.term(index).unwrap()).collect::<Vec<_>>(), [2, 2, 3, 3]);
    assert_eq!(window.term(4), Err(StorageError::Compacted.into()));
    assert_eq!(window.term(9), Err(StorageError::Unavailable.into()));
    assert_eq!(indexes(&window, 6, 9, None), [6, 7, 8]);
    assert_eq!(indexes(&window, 7, 8, None), [7]);
    let entries = |low, high| window.entries(low, high, None, GetEntriesContext::empty(false));
    assert_eq!(entries(5, 7), Err(StorageError::Compacted.into()));
    assert_eq!(entries(6, 10), Err(StorageError::Unavailable.into()));
    window.assert_invariants();
}

#[test]
fn the_size_limit_always_lets_one_entry_through() {
    let mut window = window(0, 0);
    window.append(&[entry(1, 1, 1000), entry(2, 1, 1000), entry(3, 1, 1000)]);
    assert_eq!(indexes(&window, 1, 4, Some(0)), [1]);
    assert_eq!(indexes(&window, 1, 4, Some(2 * (1000 + RAFT_ENTRY_OVERHEAD_BYTES))), [1, 2]);
    assert_eq!(indexes(&window, 1, 4, Some(u64::MAX)), [1, 2, 3]);
}

#[test]
fn a_conflicting_append_replaces_the_end() {
    let mut window = window(0, 0);
    window.append(&[entry(1, 1, 5), entry(2, 1, 5), entry(3, 1, 5)]);
    window.append(&[entry(2, 2, 7)]);
    assert_eq!((window.last(), window.term(2).unwrap()), (RaftIndex(2), 2));
    window.assert_invariants();
}

#[test]
fn trimming_never_passes_what_is_applied_and_keeps_the_term_before() {
    let mut window = window(0, 0);
    window.append(&(1..=20).map(|index| entry(index, index, 1)).collect::<Vec<_>>());
    window.trim(RaftIndex(12), true);
    assert_eq!(window.base().index, RaftIndex(0), "within the bounds nothing is dropped");
    window.trim(RaftIndex(12), false);
    assert_eq!(window.base(), Position::new(RaftIndex(12), Term(12)));
    assert_eq!((window.term(12).unwrap(), window.first_index().unwrap()), (12, 13));
    window.trim(RaftIndex(20), false);
    assert_eq!((window.last(), window.bytes()), (RaftIndex(20), 0));
    window.append(&[entry(21, 20, 1)]);
    window.assert_invariants();
}

#[test]
fn the_window_is_bounded_by_bytes_and_by_count() {
    let mut window = window(0, 0);
    let length = 1024 * 1024;
    for index in 1..=40 {
        window.append(&[entry(index, 1, length)]);
        window.trim(RaftIndex(index), true);
        assert!(window.bytes() <= RAFT_WINDOW_BYTES_MAX);
    }
    for index in 41..=(41 + u64::try_from(RAFT_WINDOW_ENTRIES_MAX).unwrap()) {
        window.append(&[entry(index, 1, 0)]);
        window.trim(RaftIndex(index), true);
    }
    assert!(window.entries.len() <= RAFT_WINDOW_ENTRIES_MAX);
    window.assert_invariants();
}

#[test]
fn the_wish_for_a_snapshot_is_handed_out_once() {
    let window = window(0, 0);
    assert_eq!(window.snapshot(0, 7), Err(StorageError::SnapshotTemporarilyUnavailable.into()));
    assert_eq!(window.take_snapshot_wanted(), Some(MemberId(7)));
    assert_eq!(window.take_snapshot_wanted(), None);
}
