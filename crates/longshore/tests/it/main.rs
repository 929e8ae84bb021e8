//! Whole-system tests: the real binary, the real `aws` CLI and SDKs, real containers. They need
//! root and what `./x test` installs.
#![allow(clippy::unwrap_used)]

mod apart;
mod awsvpc;
mod certificates;
mod chance;
mod corpus;
mod crash;
mod crossing;
mod deployments;
mod deregistered;
mod durability;
mod ec2;
mod ensemble;
mod harness;
mod hostile;
mod house;
mod import;
mod inside;
mod linear;
mod listings;
mod log_drivers;
mod lost;
mod many;
mod namespaces;
mod networks;
mod observing;
mod people;
mod placing;
mod planning;
mod protection;
mod providers;
mod reboot;
mod replaced;
mod roles;
mod scenarios;
mod screens;
mod sdk;
mod secrets;
mod security;
mod services;
mod stores;
mod tailed;
mod tasks;
mod told;
mod watched;
