//! Any text as an expression, asked of one instance: it is read or refused at a place inside the
//! text, and evaluating it ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use placement::query::{Expression, Subject};
use terms::Timestamp;

/// An instance that has everything that is asked for.
struct Facts;

impl Subject for Facts {
    fn attribute(&self, name: &str) -> Option<Option<&str>> {
        (name != "none").then_some(Some("us-east-1a"))
    }

    fn agent_connected(&self) -> bool {
        true
    }

    fn agent_version(&self) -> Option<&str> {
        Some("1.96.0-rc1")
    }

    fn ec2_instance_id(&self) -> Option<&str> {
        Some("i-0123456789abcdef0")
    }

    fn registered_at(&self) -> Timestamp {
        Timestamp::from_millis(1_529_360_908_000)
    }

    fn running_tasks(&self) -> u32 {
        3
    }

    fn any_group(&self, accepts: &mut dyn FnMut(&str) -> bool) -> bool {
        ["service:web", "family:batch"].into_iter().any(|group| accepts(group))
    }
}

fuzz_target!(|text: &str| {
    match text.parse::<Expression>() {
        Ok(expression) => {
            expression.matches(&Facts);
            assert_eq!(expression.to_string(), text);
        }
        Err(error) => assert!(text.is_char_boundary(error.at), "{error}"),
    }
});
