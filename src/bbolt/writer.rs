//! The writer of both passes.

use super::format::{
    BUCKET, ELEMENT_BYTES, FIRST_PAGE, HEADER_BYTES, INLINE_BYTES_MAX, Kind, pad, pages_of, put_branch_elements,
    put_head, put_header, put_leaf_elements,
};
use crate::limits::PAGE_BYTES;

/// What the first pass finds: how long the file is and where its root stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    root: u64,
    pages: u64,
}

impl Layout {
    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.pages * u64::try_from(PAGE_BYTES).expect("a page is small")
    }
}

/// Why there is no file. Both mean that rows came otherwise than they were stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// A row or a bucket does not stand behind the one before.
    OutOfOrder,
    /// The second pass did not come out as the first one.
    Differs,
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::OutOfOrder => "rows out of order",
            Self::Differs => "rows differ from those that were measured",
        })
    }
}

impl std::error::Error for Error {}

/// The open leaf.
#[derive(Default, Debug)]
struct Leaf {
    /// Flags, bytes of the key, bytes of the value.
    elements: Vec<(u32, usize, usize)>,
    first_key: Vec<u8>,
    /// Bytes of keys and values.
    length: usize,
    /// Keys and values; empty in the first pass.
    content: Vec<u8>,
}

impl Leaf {
    fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    fn bytes(&self) -> usize {
        HEADER_BYTES + self.elements.len() * ELEMENT_BYTES + self.length
    }

    fn has_room_for(&self, length: usize) -> bool {
        self.is_empty() || self.bytes() + ELEMENT_BYTES + length <= PAGE_BYTES
    }

    /// Whether not even the smallest row has room.
    fn is_full(&self) -> bool {
        self.bytes() + ELEMENT_BYTES >= PAGE_BYTES
    }

    fn count(&mut self, flags: u32, key: &[u8], value_length: usize) {
        if self.is_empty() {
            self.first_key.clear();
            self.first_key.extend_from_slice(key);
        }
        self.elements.push((flags, key.len(), value_length));
        self.length += key.len() + value_length;
    }

    /// Appends the page and forgets its rows.
    fn put(&mut self, id: u64, out: &mut Vec<u8>) {
        assert_eq!(self.content.len(), self.length, "every value is as long as was said");
        out.reserve(self.bytes());
        put_header(out, id, Kind::Leaf, self.elements.len(), self.bytes());
        put_leaf_elements(out, &self.elements);
        out.extend_from_slice(&self.content);
    }

    fn clear(&mut self) {
        self.elements.clear();
        self.content.clear();
        self.length = 0;
    }
}

/// The open branch of a level.
#[derive(Default, Debug)]
struct Branch {
    /// Bytes of the key, child.
    elements: Vec<(usize, u64)>,
    keys: Vec<u8>,
}

impl Branch {
    fn bytes(&self) -> usize {
        HEADER_BYTES + self.elements.len() * ELEMENT_BYTES + self.keys.len()
    }

    /// A page has at least two children, however long their keys.
    fn has_room_for(&self, key: &[u8]) -> bool {
        self.elements.len() < 3 || self.bytes() + ELEMENT_BYTES + key.len() <= PAGE_BYTES
    }

    fn push(&mut self, key: &[u8], child: u64) {
        self.elements.push((key.len(), child));
        self.keys.extend_from_slice(key);
    }

    fn pop(&mut self) -> Option<(Vec<u8>, u64)> {
        let (length, child) = self.elements.pop()?;
        Some((self.keys.split_off(self.keys.len() - length), child))
    }

    fn first_key(&self) -> Vec<u8> {
        let length = self.elements.first().map_or(0, |(length, _)| *length);
        self.keys[..length].to_vec()
    }
}

/// Takes the rows of one bucket after the other, in the order of their names, and makes pages of them.
#[derive(Debug)]
pub struct Writer {
    next_page: u64,
    /// Nothing in the first pass.
    out: Option<Vec<u8>>,
    expected: Option<Layout>,
    leaf: Leaf,
    /// From the lowest level upwards.
    branches: Vec<Branch>,
    last_key: Vec<u8>,
    /// Names of the buckets that are through, and their values.
    buckets: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Writer {
    /// The first pass, which only finds the layout.
    pub fn measuring() -> Self {
        Self {
            next_page: FIRST_PAGE,
            out: None,
            expected: None,
            leaf: Leaf::default(),
            branches: Vec::new(),
            last_key: Vec::new(),
            buckets: Vec::new(),
        }
    }

    /// The second pass, over the same rows.
    pub fn writing(layout: Layout) -> Self {
        let mut out = Vec::new();
        put_head(&mut out, layout.root, layout.pages);
        Self { out: Some(out), expected: Some(layout), ..Self::measuring() }
    }

    /// Whether it writes, and so wants the values.
    pub fn is_writing(&self) -> bool {
        self.out.is_some()
    }

    /// Bytes of pages that can be taken.
    pub fn ready(&self) -> usize {
        self.out.as_ref().map_or(0, Vec::len)
    }

    /// Takes the first `length` of them.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        assert!(length <= self.ready(), "{length} bytes of {}", self.ready());
        self.out.as_mut().map_or_else(Vec::new, |out| {
            let rest = out.split_off(length);
            std::mem::replace(out, rest)
        })
    }

    /// The next row of the open bucket. `put` appends the value; it is asked in the second pass only.
    pub fn row(&mut self, key: &[u8], value_length: usize, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        let first = self.leaf.is_empty() && self.branches.is_empty();
        if !first && key <= &*self.last_key {
            return Err(Error::OutOfOrder);
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        if !self.leaf.has_room_for(key.len() + value_length) {
            self.close_leaf();
        }
        let alone = self.leaf.is_empty();
        self.leaf.count(0, key, value_length);
        let is_full = self.leaf.is_full();
        if alone && is_full {
            self.put_alone(key, put);
            return Ok(());
        }
        if self.is_writing() {
            self.leaf.content.extend_from_slice(key);
            put(&mut self.leaf.content);
            assert_eq!(self.leaf.content.len(), self.leaf.length, "a value is as long as was said");
        }
        if is_full {
            self.close_leaf();
        }
        Ok(())
    }

    /// Puts a leaf out whose only row was counted: a large value is not copied once more.
    fn put_alone(&mut self, key: &[u8], put: impl FnOnce(&mut Vec<u8>)) {
        let (bytes, id) = (self.leaf.bytes(), self.allot(self.leaf.bytes()));
        if let Some(out) = &mut self.out {
            out.reserve(bytes.next_multiple_of(PAGE_BYTES));
            let start = out.len();
            put_header(out, id, Kind::Leaf, 1, bytes);
            put_leaf_elements(out, &self.leaf.elements);
            out.extend_from_slice(key);
            put(out);
            assert_eq!(out.len() - start, bytes, "a value is as long as was said");
            pad(out, bytes);
        }
        self.add_leaf(id);
    }

    /// The open bucket is through; the next row belongs to the next one.
    pub fn end_bucket(&mut self, name: &[u8]) -> Result<(), Error> {
        if self.buckets.last().is_some_and(|(last, _)| name <= &**last) {
            return Err(Error::OutOfOrder);
        }
        let is_small = self.branches.is_empty() && self.leaf.bytes() <= INLINE_BYTES_MAX;
        let value = if is_small { self.inline() } else { header(self.close_tree()) };
        self.buckets.push((name.to_vec(), value));
        assert!(self.leaf.is_empty() && self.branches.is_empty(), "nothing is open between buckets");
        Ok(())
    }

    /// All buckets are through. What is `ready` afterwards is the rest of the file.
    pub fn finish(&mut self) -> Result<Layout, Error> {
        assert!(self.leaf.is_empty() && self.branches.is_empty(), "the last bucket was ended");
        let mut root = Leaf::default();
        for (name, value) in std::mem::take(&mut self.buckets) {
            root.count(BUCKET, &name, value.len());
            root.content.extend_from_slice(&name);
            root.content.extend_from_slice(&value);
        }
        let id = self.allot(root.bytes());
        if let Some(out) = &mut self.out {
            root.put(id, out);
            pad(out, root.bytes());
        }
        let layout = Layout { root: id, pages: self.next_page };
        if self.expected.is_some_and(|expected| expected != layout) { Err(Error::Differs) } else { Ok(layout) }
    }

    /// The value of a bucket whose only page stands in it. In the first pass its rows are zeros: lengths are what counts.
    fn inline(&mut self) -> Vec<u8> {
        let mut value = header(0);
        self.leaf.content.resize(self.leaf.length, 0);
        self.leaf.put(0, &mut value);
        self.leaf.clear();
        value
    }

    /// Takes the next pages for so many bytes.
    fn allot(&mut self, bytes: usize) -> u64 {
        let id = self.next_page;
        self.next_page += u64::try_from(pages_of(bytes)).expect("a page's bytes fit memory");
        id
    }

    fn close_leaf(&mut self) {
        assert!(!self.leaf.is_empty(), "a leaf is opened by its first row");
        let id = self.allot(self.leaf.bytes());
        if let Some(out) = &mut self.out {
            self.leaf.put(id, out);
            pad(out, self.leaf.bytes());
        }
        self.add_leaf(id);
    }

    /// Notes a leaf that is out.
    fn add_leaf(&mut self, id: u64) {
        self.leaf.clear();
        let key = std::mem::take(&mut self.leaf.first_key);
        self.add_child(0, &key, id);
        self.leaf.first_key = key;
    }

    /// Adds a child to the open branch of a level. A branch that is full keeps its last child for the next one, so that
    /// none is left with a single child.
    fn add_child(&mut self, level: usize, key: &[u8], child: u64) {
        if self.branches.len() == level {
            self.branches.push(Branch::default());
        }
        if !self.branches[level].has_room_for(key) {
            let kept = self.branches[level].pop();
            self.close_branch(level);
            if let Some((key, child)) = kept {
                self.branches[level].push(&key, child);
            }
        }
        self.branches[level].push(key, child);
    }

    fn close_branch(&mut self, level: usize) {
        let branch = std::mem::take(&mut self.branches[level]);
        let id = self.allot(branch.bytes());
        if let Some(out) = &mut self.out {
            put_header(out, id, Kind::Branch, branch.elements.len(), branch.bytes());
            put_branch_elements(out, &branch.elements);
            out.extend_from_slice(&branch.keys);
            pad(out, branch.bytes());
        }
        self.add_child(level + 1, &branch.first_key(), id);
    }

    /// Closes every open page of the bucket; its root.
    fn close_tree(&mut self) -> u64 {
        if !self.leaf.is_empty() {
            self.close_leaf();
        }
        let mut level = 0;
        loop {
            let top = level + 1 == self.branches.len();
            if let (true, [(_, root)]) = (top, &*self.branches[level].elements) {
                let root = *root;
                self.branches.clear();
                return root;
            }
            self.close_branch(level);
            level += 1;
        }
    }
}

/// A bucket's header.
fn header(root: u64) -> Vec<u8> {
    let mut value = root.to_le_bytes().to_vec();
    value.extend_from_slice(&0u64.to_le_bytes());
    value
}
