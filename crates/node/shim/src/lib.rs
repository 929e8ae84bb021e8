//! The small program that holds one container.
