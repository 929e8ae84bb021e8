//! Three servers over one etcd, with agents that know all three.

mod etcd;
mod failover;
mod guarded;
mod images;
mod s3;
mod several;
mod stage;
mod trails;

pub use stage::Ensemble;
