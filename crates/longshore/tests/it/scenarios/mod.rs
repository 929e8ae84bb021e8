//! Every Linux field of a task definition on real containers. Each scenario is named after the rule
//! of ECS that it proves; they share one `longshore up`.

mod containers;
mod linux;
mod order;
mod refusals;
mod stage;
mod volumes;
