//! The image store on a real disk, against registries and files made here. As root.

mod files;
mod hostile;
mod made;
mod processes;
mod pulls;
mod refusals;
mod registry;
mod roots;
mod secure;
