//! Content-addressed store that nodes and the registry share.
