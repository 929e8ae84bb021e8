//! The store that several servers share (docs/decisions/0018).

mod settings;

pub use settings::{AddressError, EtcdSettings, EtcdTls, Secret};
