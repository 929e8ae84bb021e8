//! What happened to tasks, instances and clusters, kept for a month on disk and not in memory
//! (decision 0031): fed by the ledger's feed, off the path of any request.

mod merging;
mod recorder;
mod route;
mod store;

pub use recorder::Recorder;
pub use route::routes;
