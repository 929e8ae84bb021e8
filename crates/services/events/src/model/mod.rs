//! What is stored, and events themselves.

mod bus;
mod delivery;
mod event;
mod rule;

pub use bus::Bus;
pub(crate) use bus::DEFAULT_BUS;
pub use delivery::{DeadLetter, Delivery, Failure};
pub(crate) use event::whole_seconds;
pub use event::{Event, Moment, NewEvent};
pub(crate) use rule::Rule;
