//! Files are what the naive reader makes of them, and both passes agree.

use std::collections::BTreeMap;

use super::naive::{self, Rows};
use super::{Error, Layout, Writer};

fn pass(writer: &mut Writer, buckets: &BTreeMap<String, Rows>, file: &mut Vec<u8>) -> Result<Layout, Error> {
    for (name, rows) in buckets {
        for (key, value) in rows {
            writer.row(key, value.len(), |out| out.extend_from_slice(value))?;
            if writer.ready() > 10_000 {
                file.extend(writer.take(writer.ready() - writer.ready() % 3000));
            }
        }
        writer.end_bucket(name.as_bytes())?;
    }
    let layout = writer.finish()?;
    file.extend(writer.take(writer.ready()));
    Ok(layout)
}

fn file_of(buckets: &BTreeMap<String, Rows>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut measuring = Writer::measuring();
    let layout = pass(&mut measuring, buckets, &mut file).unwrap();
    assert!(file.is_empty() && !measuring.is_writing());
    assert_eq!(pass(&mut Writer::writing(layout), buckets, &mut file), Ok(layout));
    assert_eq!(u64::try_from(file.len()).unwrap(), layout.file_bytes());
    file
}

fn check(buckets: &BTreeMap<String, Rows>) -> usize {
    let file = file_of(buckets);
    assert!(naive::read(&file) == *buckets, "the file holds other rows");
    file.len()
}

fn numbered(count: usize, value: impl Fn(usize) -> Vec<u8>) -> Rows {
    (0..count).map(|index| (index.to_be_bytes().to_vec(), value(index))).collect()
}

fn buckets<const N: usize>(rows: [(&str, Rows); N]) -> BTreeMap<String, Rows> {
    rows.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect()
}

/// An xorshift generator: tests repeat by their seed.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 11).unwrap()
}

#[test]
fn an_empty_file_and_empty_buckets() {
    assert_eq!(check(&BTreeMap::new()), 4 * 4096);
    assert_eq!(check(&buckets([("a", vec![]), ("b", vec![]), ("c", numbered(3, |_| vec![7]))])), 4 * 4096);
}

/// Every number of rows around those at which a page or a level is full.
#[test]
fn every_number_of_rows() {
    for count in (0..400).chain([9_990, 10_000, 10_001, 25_000, 60_000]) {
        check(&buckets([("rows", numbered(count, |index| vec![1; index % 90]))]));
    }
}

/// Values around the sizes at which a bucket gets pages of its own, a row a leaf and a leaf further pages.
#[test]
fn every_size_of_values() {
    let edges = [900, 1024, 2000, 4000, 4050, 4096, 8100, 8192, 1 << 20, 5 << 20];
    for size in edges.into_iter().flat_map(|edge: usize| edge.saturating_sub(60)..edge + 60).step_by(3) {
        check(&buckets([("one", numbered(1, |_| vec![3; size]))]));
        if size < 10_000 {
            check(&buckets([("a", numbered(7, |_| vec![3; size])), ("b", numbered(2, |_| vec![4; size]))]));
        }
    }
}

#[test]
fn long_keys_still_make_branches_of_two() {
    let key = |index: usize| [vec![5; 3000], index.to_be_bytes().to_vec()].concat();
    check(&buckets([("long", (0..300).map(|index| (key(index), vec![1])).collect())]));
}

#[test]
fn random_rows() {
    for seed in 1..=60 {
        let mut state: u64 = seed << 32 | 0x7f4a_7c15;
        let mut all = BTreeMap::new();
        for bucket in 0..next(&mut state) % 6 {
            let (count, top) = (next(&mut state) % 3000, 1 + next(&mut state) % 3000);
            let mut rows = BTreeMap::new();
            for _ in 0..count {
                let length = 1 + next(&mut state) % 40;
                let key: Vec<u8> = (0..length).map(|_| u8::try_from(next(&mut state) % 4).unwrap()).collect();
                let byte = u8::try_from(next(&mut state) % 256).unwrap();
                rows.insert(key, vec![byte; next(&mut state) % top]);
            }
            all.insert(format!("bucket {bucket}"), rows.into_iter().collect());
        }
        println!("seed {seed}");
        check(&all);
    }
}

#[test]
fn rows_out_of_order_and_rows_that_differ_are_refused() {
    let mut writer = Writer::measuring();
    writer.row(b"b", 1, |_| ()).unwrap();
    assert_eq!(writer.row(b"b", 1, |_| ()), Err(Error::OutOfOrder));
    assert_eq!(writer.row(b"a", 1, |_| ()), Err(Error::OutOfOrder));
    writer.end_bucket(b"x").unwrap();
    assert_eq!(writer.end_bucket(b"x"), Err(Error::OutOfOrder));
    let one = buckets([("rows", numbered(1000, |_| vec![1; 9]))]);
    let other = buckets([("rows", numbered(5000, |_| vec![1; 9]))]);
    let layout = pass(&mut Writer::measuring(), &one, &mut Vec::new()).unwrap();
    assert_eq!(pass(&mut Writer::writing(layout), &other, &mut Vec::new()), Err(Error::Differs));
}
