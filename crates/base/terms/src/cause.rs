//! Because of what something is being done: known to all that happens in a request's name, without
//! being handed from function to function. It changes nothing that is done.

use std::cell::RefCell;
use std::sync::Arc;

use crate::Uuid;

/// The request in whose name something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its id, as its client was told it.
    pub request_id: Uuid,
    /// The service, such as `ecs`.
    pub service: &'static str,
    /// The operation, such as `RunTask`.
    pub operation: &'static str,
    /// The caller's ARN.
    pub caller: String,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Cause>>> = const { RefCell::new(None) };
}

/// Puts back what was current before, also when what it was for panics.
struct Before(Option<Arc<Cause>>);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.with(|current| *current.borrow_mut() = self.0.take());
    }
}

impl Cause {
    /// Runs `f`, such as one poll of a future, in this request's name.
    pub fn scope<R>(self: &Arc<Self>, f: impl FnOnce() -> R) -> R {
        let before = CURRENT.with(|current| current.borrow_mut().replace(self.clone()));
        let _before = Before(before);
        f()
    }

    /// The request in whose name the calling function runs, if it is in one's.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.with(|current| current.borrow().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_current_in_its_scope_alone() {
        let cause = |operation| {
            let request_id = Uuid::from_random([7; 16]);
            Arc::new(Cause { request_id, service: "ecs", operation, caller: "me".to_owned() })
        };
        let operation = || Cause::current().map(|cause| cause.operation);
        cause("RunTask").scope(|| {
            cause("StopTask").scope(|| assert_eq!(operation(), Some("StopTask")));
            assert_eq!(operation(), Some("RunTask"));
        });
        assert_eq!(operation(), None);
    }
}
