//! What definitions say of log drivers, and what is done of it.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use runtime::containers::Keep;

use super::options::{self, NON_BLOCKING_BYTES, Plan};
use super::tag::Facts;

fn of(options: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn bytes_max(plan: &Plan) -> u64 {
    let Keep::Unsent(unsent) = plan.keep.keep else { panic!("{plan:?} does not ship") };
    unsent.bytes_max
}

#[test]
fn the_buffer_limit_of_firelens_counts_lines() {
    let of_limit = |options: &[(&str, &str)]| {
        options::firelens(&of(options), "t".into(), PathBuf::from("/s"), &Facts::default())
    };
    let bytes =
        |limit: &str| of_limit(&[("log-driver-buffer-limit", limit)]).map(|p| bytes_max(&p));
    assert_eq!(bytes_max(&of_limit(&[]).unwrap()), NON_BLOCKING_BYTES);
    // A thousand lines are not a thousand bytes.
    assert_eq!(bytes("1000"), Ok(NON_BLOCKING_BYTES));
    assert_eq!(bytes("0"), Ok(NON_BLOCKING_BYTES));
    assert_eq!(bytes("2097152"), Ok(1 << 30));
    assert_eq!(bytes("536870912"), Ok(1 << 38));
    let error = bytes("536870913").unwrap_err();
    assert!(error.ends_with("536870913 is not from 0 to 536870912"), "{error}");
    assert!(bytes("many").is_err());
}
