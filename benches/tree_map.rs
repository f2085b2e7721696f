//! First and later touches of a page in the ways the tree file could be held in memory (measures the choice that
//! `src/disk/map.rs` made): the file mapped MAP_PRIVATE with its page cached, in a hole, and an anonymous arena.

use std::io::Write;
use std::os::fd::AsRawFd;

const PAGES: usize = 4096;
const PAGE_BYTES: usize = 4096;

fn main() {
    divan::main();
}

struct Range(*mut u8);

impl Range {
    fn map(file: Option<&std::fs::File>) -> Self {
        let flags = if file.is_some() { libc::MAP_PRIVATE } else { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS };
        let descriptor = file.map_or(-1, AsRawFd::as_raw_fd);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), PAGES * PAGE_BYTES, protection, flags | libc::MAP_NORESERVE, descriptor, 0)
        };
        assert_ne!(address, libc::MAP_FAILED);
        Self(address.cast())
    }

    fn store_all(&self, byte: u8) {
        for page in 0..PAGES {
            // SAFETY: inside the mapping, whose file is long enough.
            unsafe { std::ptr::write_bytes(self.0.add(page * PAGE_BYTES), byte, PAGE_BYTES) };
        }
    }

    fn populate_write(&self) {
        // SAFETY: inside the mapping.
        unsafe { libc::madvise(self.0.cast(), PAGES * PAGE_BYTES, libc::MADV_POPULATE_WRITE) };
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: our own mapping.
        unsafe { libc::munmap(self.0.cast(), PAGES * PAGE_BYTES) };
    }
}

fn file(cached: bool) -> std::fs::File {
    let path = std::env::temp_dir().join(format!("ringbolt-tree-map-{}-{cached}", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .expect("the temporary directory is writable");
    std::fs::remove_file(&path).expect("just made");
    if cached {
        file.write_all(&vec![7; PAGES * PAGE_BYTES]).expect("room for 16 MiB");
    } else {
        file.set_len(u64::try_from(PAGES * PAGE_BYTES).expect("fits")).expect("room for a hole");
    }
    file
}

fn counter() -> divan::counter::ItemsCount {
    divan::counter::ItemsCount::new(PAGES)
}

#[divan::bench]
fn first_touch_private_cached(bencher: divan::Bencher<'_, '_>) {
    let file = file(true);
    bencher.counter(counter()).with_inputs(|| Range::map(Some(&file))).bench_refs(|range| range.store_all(1));
}

#[divan::bench]
fn first_touch_private_hole(bencher: divan::Bencher<'_, '_>) {
    bencher.counter(counter()).with_inputs(|| Range::map(Some(&file(false)))).bench_refs(|range| range.store_all(1));
}

#[divan::bench]
fn first_touch_anonymous(bencher: divan::Bencher<'_, '_>) {
    bencher.counter(counter()).with_inputs(|| Range::map(None)).bench_refs(|range| range.store_all(1));
}

#[divan::bench]
fn populate_private_cached_then_store(bencher: divan::Bencher<'_, '_>) {
    let file = file(true);
    bencher.counter(counter()).with_inputs(|| Range::map(Some(&file))).bench_refs(|range| {
        range.populate_write();
        range.store_all(1);
    });
}

#[divan::bench]
fn later_touch_private(bencher: divan::Bencher<'_, '_>) {
    let file = file(true);
    let range = Range::map(Some(&file));
    range.store_all(1);
    bencher.counter(counter()).bench_local(|| range.store_all(2));
}
