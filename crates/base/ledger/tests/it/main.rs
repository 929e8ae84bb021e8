//! The ledger from outside: one suite for every store, properties, failures, crashes.
#![allow(clippy::unwrap_used, missing_docs)]

mod archive;
mod crash;
mod directory;
mod etcd;
mod etcd_members;
mod etcd_server;
mod etcd_upkeep;
mod failure;
mod faulty_etcd;
mod feed;
mod guards;
mod leader_reads;
mod properties;
mod records;
mod secrets;
mod shared_properties;
mod suite;
mod totals;
mod versions;
mod world;
