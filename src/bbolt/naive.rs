//! A naive reader of bbolt files for tests: believes nothing, and panics at the first thing that bbolt's own check or a
//! look at the file would find wrong.

use std::collections::BTreeMap;

const PAGE: usize = 4096;

/// Rows of a bucket in the order of the file.
pub(crate) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

struct Reader<'a> {
    file: &'a [u8],
    /// How often each page was reached.
    reached: Vec<u8>,
}

/// A number of `N` bytes at `at`.
fn number<const N: usize>(bytes: &[u8], at: usize) -> usize {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&bytes[at..at + N]);
    usize::try_from(u64::from_le_bytes(wide)).unwrap()
}

fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 14_695_981_039_346_656_037;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211);
    }
    hash
}

/// All buckets of a file, each page of which was reached once.
pub(crate) fn read(file: &[u8]) -> BTreeMap<String, Rows> {
    assert_eq!(file.len() % PAGE, 0, "whole pages");
    let metas = [0, 1].map(|page| {
        let meta = &file[page * PAGE..(page + 1) * PAGE];
        assert_eq!((number::<8>(meta, 0), number::<2>(meta, 8)), (page, 4), "header of meta {page}");
        assert_eq!(number::<4>(meta, 16), 0xED0C_DAED);
        assert_eq!((number::<4>(meta, 20), number::<4>(meta, 24)), (2, PAGE));
        assert_eq!(number::<8>(meta, 72), usize::try_from(fnv1a(&meta[16..72])).unwrap(), "checksum of meta {page}");
        [32, 48, 56, 64].map(|at| number::<8>(meta, at))
    });
    assert_eq!(metas[0][..3], metas[1][..3]);
    assert_eq!(metas[0][3], metas[1][3] + 1, "the first one is the newer");
    let [root, free, pages, _] = metas[0];
    assert_eq!(pages, file.len() / PAGE, "the file is as long as it says");
    let mut reader = Reader { file, reached: vec![0; pages] };
    reader.reached[..2].fill(1);
    let list = reader.page(free);
    assert_eq!((number::<2>(list, 8), number::<2>(list, 10)), (16, 0), "no page is free");
    let mut buckets = BTreeMap::new();
    let mut names = Vec::new();
    reader.tree(root, None, &mut |reader, flags, name, value| {
        assert_eq!(flags, 1, "only buckets in the root");
        names.push((name.to_vec(), value.to_vec()));
        let _ = reader;
    });
    assert!(names.is_sorted());
    for (name, value) in names {
        let mut rows = Rows::new();
        let mut take = |_: &mut Reader<'_>, flags, key: &[u8], value: &[u8]| {
            assert_eq!(flags, 0, "no bucket in a bucket");
            rows.push((key.to_vec(), value.to_vec()));
        };
        match number::<8>(&value, 0) {
            0 => leaf(&mut reader, &value[16..], &mut take),
            root => reader.tree(root, None, &mut take),
        }
        assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "{name:?} is in order");
        buckets.insert(String::from_utf8(name).unwrap(), rows);
    }
    let odd: Vec<usize> = (0..pages).filter(|page| reader.reached[*page] != 1).collect();
    assert!(odd.is_empty(), "pages not reached once: {odd:?}");
    buckets
}

type Take<'t, 'a> = &'t mut dyn FnMut(&mut Reader<'a>, usize, &[u8], &[u8]);

fn leaf<'a>(reader: &mut Reader<'a>, page: &[u8], take: Take<'_, 'a>) {
    assert_eq!(number::<2>(page, 8), 2, "a leaf");
    for element in (0..number::<2>(page, 10)).map(|index| 16 + 16 * index) {
        let [flags, offset, key, value] = [0, 4, 8, 12].map(|at| number::<4>(page, element + at));
        let start = element + offset;
        take(reader, flags, &page[start..start + key], &page[start + key..start + key + value]);
    }
}

impl<'a> Reader<'a> {
    fn page(&mut self, id: usize) -> &'a [u8] {
        let page = &self.file[id * PAGE..];
        assert_eq!(number::<8>(page, 0), id, "a page knows its number");
        let further = number::<4>(page, 12);
        (id..=id + further).for_each(|page| self.reached[page] += 1);
        &page[..(further + 1) * PAGE]
    }

    fn tree(&mut self, id: usize, first: Option<&[u8]>, take: Take<'_, 'a>) {
        let page = self.page(id);
        let count = number::<2>(page, 10);
        if number::<2>(page, 8) == 2 {
            if let Some(first) = first {
                let [offset, key] = [4, 8].map(|at| number::<4>(page, 16 + at));
                assert_eq!(&page[16 + offset..16 + offset + key], first, "a branch names its child's first key");
            }
            return leaf(self, page, take);
        }
        assert_eq!(number::<2>(page, 8), 1, "a branch");
        assert!(count >= 2, "with {count} children");
        for (index, element) in (0..count).map(|index| (index, 16 + 16 * index)) {
            let [offset, key] = [0, 4].map(|at| number::<4>(page, element + at));
            let key = &page[element + offset..element + offset + key];
            assert!(index > 0 || first.is_none_or(|first| first == key));
            self.tree(number::<8>(page, element + 8), Some(key), take);
        }
    }
}
