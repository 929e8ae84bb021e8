//! Amazon ECS that anyone can run.

fn main() {}
