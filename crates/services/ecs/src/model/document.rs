//! A shape that is kept whole: typed in memory, AWS JSON text in the store.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A member of the API stored as it came, so that it can be returned as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Document<T>(Arc<T>);

impl<T> Document<T> {
    /// Keeps `shape` whole.
    pub(crate) fn new(shape: T) -> Self {
        Self(Arc::new(shape))
    }
}

impl<T> Deref for Document<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
