//! What definitions say of log drivers, and what is done of it.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use runtime::containers::Keep;

use super::options::{self, BLOCKING_BYTES, FluentdAddress, Kind, NON_BLOCKING_BYTES, Plan};
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

#[test]
fn the_options_of_fluentd_are_used_or_checked() {
    let plan = |options: &[(&str, &str)]| options::plan("fluentd", &of(options), &Facts::default());
    let fluentd = |options: &[(&str, &str)]| match plan(options).unwrap().shipping.unwrap().kind {
        Kind::Fluentd(fluentd) => fluentd,
        other => panic!("{other:?}"),
    };
    assert_eq!(bytes_max(&plan(&[]).unwrap()), BLOCKING_BYTES);
    let limit = ("fluentd-buffer-limit", "1m");
    assert_eq!(bytes_max(&plan(&[limit]).unwrap()), 512 << 20);
    let limit = [("mode", "non-blocking"), ("fluentd-buffer-limit", "10")];
    assert_eq!(bytes_max(&plan(&limit).unwrap()), NON_BLOCKING_BYTES);

    for (text, address) in [
        ("tls://log:24225", FluentdAddress::Tls("log:24225".to_owned())),
        ("tls://log", FluentdAddress::Tls("log:24224".to_owned())),
        ("log", FluentdAddress::Tcp("log:24224".to_owned())),
    ] {
        assert_eq!(fluentd(&[("fluentd-address", text)]).address, address);
    }
    assert!(plan(&[("fluentd-address", "http://log")]).is_err());

    let usual = fluentd(&[("fluentd-write-timeout", "0")]);
    assert_eq!((usual.write_timeout, usual.retry_wait), (Duration::from_secs(10), None));
    let told = fluentd(&[("fluentd-write-timeout", "1m1.5s"), ("fluentd-retry-wait", "700ms")]);
    assert_eq!(told.write_timeout, Duration::from_millis(61_500));
    assert_eq!(told.retry_wait, Some(Duration::from_millis(700)));

    for (name, value) in [
        ("fluentd-buffer-limit", "much"),
        ("fluentd-max-retries", "-1"),
        ("fluentd-max-retries", "2147483648"),
        ("fluentd-retry-wait", "5"),
        ("fluentd-write-timeout", "-1s"),
        ("fluentd-async-reconnect-interval", "99ms"),
        ("fluentd-async-reconnect-interval", "11s"),
    ] {
        let error = plan(&[(name, value)]).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
    plan(&[("fluentd-max-retries", "3"), ("fluentd-async-reconnect-interval", "10s")]).unwrap();
}
