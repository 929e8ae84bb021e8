//! The store that several servers share (docs/decisions/0018).

mod api;
mod client;
pub(crate) mod layout;
mod link;
mod memory;
mod settings;

pub use api::{
    Etcd, EtcdAnswer, EtcdCompare, EtcdError, EtcdEvent, EtcdLease, EtcdOp, EtcdPage, EtcdPair,
    EtcdRange, EtcdStatus, EtcdTxn, EtcdWatch,
};
pub(crate) use client::EtcdClient;
pub use memory::MemoryEtcd;
pub use settings::{AddressError, EtcdSettings, EtcdTls, Secret};
