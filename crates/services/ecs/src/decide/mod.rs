//! Pure decisions: what there is and the time in, what to do out.

pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod placing;
pub(crate) mod report;
pub(crate) mod room;
pub(crate) mod service;
pub(crate) mod shares;
pub(crate) mod subject;
pub(crate) mod token;
pub(crate) mod usage;
pub(crate) mod why;
