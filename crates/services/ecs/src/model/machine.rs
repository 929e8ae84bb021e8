//! State machines as tables.
//!
//! `cargo xtask machines` reads the tables where they stand in the source and draws them
//! (docs/state-machines.md), so what is drawn is what runs.

/// An event that something cannot meet in the state that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is {from:?} cannot go on by {event:?}")]
pub(crate) struct IllegalMove<S: std::fmt::Debug, E: std::fmt::Debug> {
    /// Where it is.
    pub(crate) from: S,
    /// What happened.
    pub(crate) event: E,
}

/// Gives a state its one total `next`: each state with the events that it can meet, and where they
/// lead. A state that is left out does not compile.
macro_rules! machine {
    ($state:ident by $event:ident {
        $($from:ident { $($what:ident => $to:ident),* $(,)? })*
    }) => {
        impl $state {
            /// The state after `event`.
            ///
            /// # Errors
            /// If the event cannot happen in this state.
            #[allow(unreachable_patterns)]
            pub(crate) const fn next(
                self,
                event: $event,
            ) -> Result<Self, $crate::model::machine::IllegalMove<Self, $event>> {
                match self {
                    $(Self::$from => match event {
                        $($event::$what => Ok(Self::$to),)*
                        _ => Err($crate::model::machine::IllegalMove { from: self, event }),
                    },)*
                }
            }
        }
    };
}

pub(crate) use machine;
