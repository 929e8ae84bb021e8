//! Pure decisions.

pub(crate) mod address;
