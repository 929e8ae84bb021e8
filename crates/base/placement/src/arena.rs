//! Things by small numbers that are used again.

use std::ops::{Index, IndexMut};

/// Values by their numbers. A number stays with its value until that is removed, and is then given
/// to another one: numbers tell nothing of age or order.
#[derive(Clone, Debug)]
pub(crate) struct Arena<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }
}

impl<T> Arena<T> {
    /// Keeps `value` and answers its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.values[number as usize] = Some(value);
            return number;
        }
        self.values.push(Some(value));
        u32::try_from(self.values.len() - 1).expect("there are fewer than 2^32 things")
    }

    /// Forgets the value with this number.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.values.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(value)
    }

    /// The numbers in use, in no order that means anything.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + use<T> {
        let used: Vec<u32> =
            (0..).zip(&self.values).filter_map(|(n, v)| v.as_ref().map(|_| n)).collect();
        used.into_iter()
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;
    fn index(&self, number: u32) -> &T {
        self.values[number as usize]
            .as_ref()
            .expect("a number is used only while its value is here")
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        self.values[number as usize]
            .as_mut()
            .expect("a number is used only while its value is here")
    }
}
