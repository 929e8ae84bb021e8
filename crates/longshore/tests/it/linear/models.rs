//! The objects whose histories are recorded.

use super::checker::{Entry, Model};

/// One value: a tag of a cluster.
pub struct Register;

/// What is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterCall {
    /// TagResource with one value.
    Write(u64),
    /// ListTagsForResource: the value seen.
    Read(Option<u64>),
}

impl Model for Register {
    type State = Option<u64>;
    type Call = RegisterCall;

    fn start() -> Self::State {
        None
    }

    fn apply(state: &Self::State, call: &RegisterCall, is_known: bool) -> Option<Self::State> {
        match call {
            RegisterCall::Write(value) => Some(Some(*value)),
            RegisterCall::Read(seen) => (!is_known || seen == state).then_some(*state),
        }
    }
}

/// The history without the writes of unknown outcome whose value nobody read: whether they
/// happened makes no difference to anybody.
pub fn without_unseen(history: &[Entry<RegisterCall>]) -> Vec<Entry<RegisterCall>> {
    let is_seen =
        |value: u64| history.iter().any(|entry| entry.call == RegisterCall::Read(Some(value)));
    let counts = |entry: &&Entry<RegisterCall>| match entry.call {
        RegisterCall::Write(value) => entry.returned.is_some() || is_seen(value),
        RegisterCall::Read(_) => true,
    };
    history.iter().filter(counts).cloned().collect()
}

/// A number that only rises: the revisions of a task definition.
pub struct Counter;

/// What is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CounterCall {
    /// RegisterTaskDefinition: the revision it made, if it was answered.
    Next(Option<u64>),
    /// DescribeTaskDefinition of the family: its newest revision, 0 if there is none.
    Last(u64),
}

impl Model for Counter {
    type State = u64;
    type Call = CounterCall;

    fn start() -> u64 {
        0
    }

    fn apply(state: &u64, call: &CounterCall, is_known: bool) -> Option<u64> {
        match call {
            CounterCall::Next(made) => {
                let is_right = !is_known || *made == Some(state + 1);
                is_right.then_some(state + 1)
            }
            CounterCall::Last(seen) => (!is_known || seen == state).then_some(*state),
        }
    }
}
