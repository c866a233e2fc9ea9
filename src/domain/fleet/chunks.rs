//! Rows in shared chunks: a copy of the whole costs one pointer for each 256 rows, a change copies one chunk.
//!
//! Never moves a row: a slot stays its number until the row is removed.

use std::sync::Arc;

const CHUNK: usize = 256;

/// Numbered slots, each empty or holding a row.
#[derive(Clone)]
pub struct Chunks<T> {
    chunks: Vec<Arc<Vec<Option<T>>>>,
    free: Vec<u32>,
    filled: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Chunks<T> {
        Chunks { chunks: Vec::new(), free: Vec::new(), filled: 0 }
    }
}

impl<T: Clone> Chunks<T> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The row in a slot.
    pub fn get(&self, slot: usize) -> Option<&T> {
        self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)?.as_ref()
    }

    /// The row in a slot, to change it; a shared chunk is copied first.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        Arc::make_mut(self.chunks.get_mut(slot / CHUNK)?).get_mut(slot % CHUNK)?.as_mut()
    }

    /// Puts a row into a free slot.
    pub fn insert(&mut self, row: T) -> u32 {
        self.filled += 1;
        if let Some(slot) = self.free.pop() {
            let slot_of = slot as usize;
            Arc::make_mut(&mut self.chunks[slot_of / CHUNK])[slot_of % CHUNK] = Some(row);
            return slot;
        }
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
        }
        let at = self.chunks.len() - 1;
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        chunk.push(Some(row));
        (at * CHUNK + chunk.len() - 1) as u32
    }

    /// Takes a row out of its slot.
    pub fn remove(&mut self, slot: u32) -> Option<T> {
        let slot_of = slot as usize;
        let row = Arc::make_mut(self.chunks.get_mut(slot_of / CHUNK)?).get_mut(slot_of % CHUNK)?.take()?;
        self.filled -= 1;
        self.free.push(slot);
        Some(row)
    }

    /// Every row, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().flatten())
    }

    /// Every row with its slot.
    pub fn slots(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().enumerate().flat_map(|(at, chunk)| {
            let rows = chunk.iter().enumerate();
            rows.filter_map(move |(offset, row)| row.as_ref().map(|row| ((at * CHUNK + offset) as u32, row)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_later_changes() {
        let mut rows = Chunks::default();
        let slots: Vec<u32> = (0..600).map(|number| rows.insert(number)).collect();
        let copy = rows.clone();
        rows.remove(slots[3]);
        *rows.get_mut(4).expect("filled") = 99;
        assert_eq!((copy.get(3), copy.get(4), copy.len()), (Some(&3), Some(&4), 600));
        assert_eq!((rows.get(3), rows.get(4), rows.len()), (None, Some(&99), 599));
        assert_eq!(rows.insert(7), slots[3], "free slots are used again");
        assert_eq!(rows.iter().count(), 600);
    }
}
