//! Values that many rows have in common are in memory once.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many values of a type a thread remembers; a new one takes the place of another.
const REMEMBERED: usize = 1_024;

type Slots = Vec<Option<Arc<dyn Any + Send + Sync>>>;

thread_local! {
    static KNOWN: RefCell<HashMap<TypeId, Slots>> = RefCell::default();
}

/// The value that this thread was given last for an equal key, if it was not long ago: one that has
/// the key's hash and satisfies `is_it`. Otherwise what `make` makes.
///
/// # Errors
/// What `make` answers.
pub fn shared<T: Send + Sync + 'static, E>(
    key: &(impl Hash + ?Sized),
    is_it: impl Fn(&T) -> bool,
    make: impl FnOnce() -> Result<T, E>,
) -> Result<Arc<T>, E> {
    let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(key);
    let slot = hash as usize % REMEMBERED;
    let known = KNOWN.with_borrow(|known| {
        let found = known.get(&TypeId::of::<T>()).and_then(|slots| slots[slot].clone());
        found.and_then(|found| found.downcast::<T>().ok())
    });
    if let Some(known) = known.filter(|known| is_it(known)) {
        return Ok(known);
    }
    let made = Arc::new(make()?);
    KNOWN.with_borrow_mut(|known| {
        let slots = known.entry(TypeId::of::<T>()).or_insert_with(|| vec![None; REMEMBERED]);
        slots[slot] = Some(made.clone());
    });
    Ok(made)
}

/// A part of a row that is mostly equal in many of them: equal ones mostly share their memory, and
/// a clone costs nothing. It reads, is stored and compares as the value itself; writing to it makes
/// a copy of its own.
#[derive(PartialEq, Eq, Hash, Default)]
pub struct Shared<T>(Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone + Eq + Hash + Send + Sync + 'static> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        let found = shared(&value, |known| *known == value, || Ok::<_, Infallible>(value.clone()));
        Self(found.unwrap_or_else(|never| match never {}))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Shared<T>
where
    T: Deserialize<'de> + Clone + Eq + Hash + Send + Sync + 'static,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_until_they_are_written_to() {
        let one = Shared::from("web".to_owned());
        let mut other = Shared::from("web".to_owned());
        assert!(Arc::ptr_eq(&one.0, &other.0));
        other.push_str(":1");
        assert_eq!((one.as_str(), other.as_str()), ("web", "web:1"));
        for number in 0..10 * REMEMBERED {
            assert_eq!(*Shared::from(number), number);
        }
    }
}
