//! The load balancers' data plane: not built yet but for what its configuration is made of.

mod cidr;

pub use cidr::Cidr;
