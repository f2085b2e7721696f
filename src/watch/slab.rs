//! Things by small numbers that are used again.
//!
//! Invariants
//! - A number names one thing from its insertion to its removal.

/// The things.
#[derive(Debug)]
pub(super) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

fn index(at: u32) -> usize {
    usize::try_from(at).expect("32 bits fit")
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a thing in; its number.
    pub(super) fn insert(&mut self, item: T) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.items.push(None);
            u32::try_from(self.items.len() - 1).expect("fewer than 2^32 things")
        });
        self.items[index(at)] = Some(item);
        at
    }

    /// Takes a thing out.
    pub(super) fn remove(&mut self, at: u32) -> Option<T> {
        let item = self.items.get_mut(index(at))?.take()?;
        self.free.push(at);
        Some(item)
    }

    /// The thing with this number, if there is one.
    pub(super) fn find(&self, at: u32) -> Option<&T> {
        self.items.get(index(at))?.as_ref()
    }

    /// The same, to change it.
    pub(super) fn find_mut(&mut self, at: u32) -> Option<&mut T> {
        self.items.get_mut(index(at))?.as_mut()
    }

    /// One more than the largest number that was ever in use.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.items.len()).expect("fewer than 2^32 things")
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.items.len() - self.free.len()
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        self.find(at).expect("a number in use names a thing")
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        self.find_mut(at).expect("a number in use names a thing")
    }
}
