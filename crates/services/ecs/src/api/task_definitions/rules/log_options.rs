//! Options of log drivers, as Docker checks them when a container is created: whoever registers a
//! definition that no engine could start is told at once.
//!
//! The lists are those of `daemon/logger` of Docker 28.

use std::collections::BTreeMap;

use agent_protocol::datetime::of_datetime;
use agent_protocol::tag::Template;
use regex::Regex;
use shapes_ecs as shapes;

use crate::error::Error;

/// What the value of an option must be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// As Go's `strconv.ParseBool` reads it.
    Boolean,
    /// A whole number, 0 or more.
    Count,
    /// A whole number, 1 or more.
    Positive,
    /// Bytes, as in `10m`.
    Size,
    /// As Go writes it: `250ms`, `1m30s`.
    Duration,
    OneOf(&'static [&'static str]),
    /// An address with one of these schemes.
    Address(&'static [&'static str]),
    Facility,
    /// Docker's template.
    Tag,
    /// A regular expression.
    Pattern,
    /// Of `strftime`, and else a regular expression.
    Datetime,
    /// Where something listens that speaks the forward protocol.
    Forward,
}

type Known = &'static [(&'static str, Kind)];

/// What several drivers take.
const OF_FACTS: Known = &[
    ("labels", Kind::Text),
    ("labels-regex", Kind::Pattern),
    ("env", Kind::Text),
    ("env-regex", Kind::Pattern),
    ("tag", Kind::Tag),
];
const OF_ALL: Known =
    &[("mode", Kind::OneOf(&["blocking", "non-blocking"])), ("max-buffer-size", Kind::Size)];
const JSON_FILE: Known =
    &[("max-size", Kind::Size), ("max-file", Kind::Positive), ("compress", Kind::Boolean)];
/// ECS takes no other option of Docker's driver whose name begins with `awslogs-`: agents set them.
const AWSLOGS: Known = &[
    ("awslogs-create-group", Kind::Boolean),
    ("awslogs-region", Kind::Text),
    ("awslogs-group", Kind::Text),
    ("awslogs-stream-prefix", Kind::Text),
    ("awslogs-datetime-format", Kind::Datetime),
    ("awslogs-multiline-pattern", Kind::Pattern),
    ("tag", Kind::Tag),
];
const SYSLOG: Known = &[
    ("syslog-address", Kind::Address(&["udp", "tcp", "tcp+tls", "unix", "unixgram"])),
    ("syslog-facility", Kind::Facility),
    ("syslog-format", Kind::OneOf(&["rfc3164", "rfc5424", "rfc5424micro"])),
    ("syslog-tls-ca-cert", Kind::Text),
    ("syslog-tls-cert", Kind::Text),
    ("syslog-tls-key", Kind::Text),
    // Docker reads nothing of it but whether it is there.
    ("syslog-tls-skip-verify", Kind::Text),
];
const FLUENTD: Known = &[
    ("fluentd-address", Kind::Forward),
    ("fluentd-async", Kind::Boolean),
    ("fluentd-async-connect", Kind::Boolean),
    ("fluentd-async-reconnect-interval", Kind::Duration),
    ("fluentd-buffer-limit", Kind::Size),
    ("fluentd-max-retries", Kind::Count),
    ("fluentd-request-ack", Kind::Boolean),
    ("fluentd-retry-wait", Kind::Duration),
    ("fluentd-sub-second-precision", Kind::Boolean),
    ("fluentd-write-timeout", Kind::Duration),
];
const GELF: Known = &[
    ("gelf-address", Kind::Address(&["udp", "tcp"])),
    ("gelf-compression-level", Kind::Text),
    ("gelf-compression-type", Kind::OneOf(&["gzip", "zlib", "none"])),
    ("gelf-tcp-max-reconnect", Kind::Count),
    ("gelf-tcp-reconnect-delay", Kind::Count),
];
const SPLUNK: Known = &[
    ("splunk-url", Kind::Text),
    ("splunk-token", Kind::Text),
    ("splunk-source", Kind::Text),
    ("splunk-sourcetype", Kind::Text),
    ("splunk-index", Kind::Text),
    ("splunk-capath", Kind::Text),
    ("splunk-caname", Kind::Text),
    ("splunk-insecureskipverify", Kind::Boolean),
    ("splunk-format", Kind::OneOf(&["inline", "json", "raw"])),
    ("splunk-verify-connection", Kind::Boolean),
    ("splunk-gzip", Kind::Boolean),
    ("splunk-gzip-level", Kind::Text),
    ("splunk-index-acknowledgment", Kind::Boolean),
];

/// The options of a driver; none if it takes any.
fn known(driver: shapes::LogDriver) -> Option<[Known; 3]> {
    use shapes::LogDriver;
    match driver {
        LogDriver::JsonFile => Some([OF_ALL, OF_FACTS, JSON_FILE]),
        LogDriver::Awslogs => Some([OF_ALL, AWSLOGS, &[]]),
        LogDriver::Syslog => Some([OF_ALL, OF_FACTS, SYSLOG]),
        LogDriver::Fluentd => Some([OF_ALL, OF_FACTS, FLUENTD]),
        LogDriver::Gelf => Some([OF_ALL, OF_FACTS, GELF]),
        LogDriver::Splunk => Some([OF_ALL, OF_FACTS, SPLUNK]),
        LogDriver::Journald => Some([OF_ALL, OF_FACTS, &[]]),
        // Docker looks at no option of `none`; those of FireLens are its router's.
        LogDriver::None | LogDriver::Awsfirelens => None,
    }
}

/// Checks that a driver knows the options, those that are secret too, and that each has a value
/// that it can use.
pub(super) fn check(
    driver: shapes::LogDriver,
    options: &BTreeMap<String, String>,
    secrets: &[shapes::Secret],
) -> Result<(), Error> {
    let Some(known) = known(driver) else { return Ok(()) };
    let kind = |name: &str| {
        known.iter().copied().flatten().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    };
    let names = options.keys().chain(secrets.iter().map(|secret| &secret.name));
    let unknown: Vec<&str> =
        names.map(String::as_str).filter(|name| kind(name).is_none()).collect();
    let word = driver.as_str();
    if !unknown.is_empty() {
        // Observed for `awslogs-endpoint`.
        let unknown = unknown.join(", ");
        return Err(Error::client(format!("Log driver {word} disallows options: {unknown}")));
    }
    for (name, value) in options.iter().filter(|(_, value)| !value.is_empty()) {
        if let Some(wanted) = kind(name).and_then(|kind| wrong(kind, value)) {
            return Err(Error::client(format!("The log driver option '{name}' must be {wanted}.")));
        }
    }
    together(driver, options)
}

/// What options say of each other.
fn together(driver: shapes::LogDriver, options: &BTreeMap<String, String>) -> Result<(), Error> {
    let get = |name: &str| options.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if get("max-buffer-size").is_some() && get("mode") == Some("blocking") {
        return Err(Error::client(
            "The log driver option 'max-buffer-size' is only supported with mode=non-blocking.",
        ));
    }
    let both = ["awslogs-datetime-format", "awslogs-multiline-pattern"];
    if driver == shapes::LogDriver::Awslogs && both.iter().all(|name| get(name).is_some()) {
        return Err(Error::client(
            "The log driver options 'awslogs-datetime-format' and 'awslogs-multiline-pattern' \
             cannot be used at the same time.",
        ));
    }
    let compresses = get("compress").is_some_and(|value| boolean(value) == Some(true));
    let turns = get("max-size").is_some() && get("max-file").is_some_and(|count| count != "1");
    if driver == shapes::LogDriver::JsonFile && compresses && !turns {
        // Docker's words.
        return Err(Error::client(
            "The log driver option 'compress' cannot be true when max-file is less than 2 or \
             max-size is not set.",
        ));
    }
    Ok(())
}

/// What a value that is not of its kind must be; none if it is.
fn wrong(kind: Kind, value: &str) -> Option<String> {
    let unless = |good: bool, wanted: &str| (!good).then(|| wanted.to_owned());
    match kind {
        Kind::Text => None,
        Kind::Boolean => unless(boolean(value).is_some(), "true or false"),
        Kind::Count => unless(value.parse::<u64>().is_ok(), "a whole number"),
        Kind::Positive => {
            unless(value.parse::<u32>().is_ok_and(|count| count > 0), "a number from 1")
        }
        Kind::Size => unless(is_size(value), "a number of bytes, as in 10m"),
        Kind::Duration => unless(is_duration(value), "a duration, as in 250ms"),
        Kind::OneOf(words) => unless(words.contains(&value), &words.join(" or ")),
        Kind::Address(schemes) => {
            let scheme = value.split_once("://").map_or("", |(scheme, _)| scheme);
            let wanted = format!("an address with the scheme {}", schemes.join(" or "));
            unless(schemes.contains(&scheme), &wanted)
        }
        Kind::Facility => unless(is_facility(value), "a facility of syslog"),
        Kind::Tag => {
            let wrong = Template::parse(value).err();
            wrong.map(|wrong| format!("a template of Docker's, and {wrong}"))
        }
        Kind::Pattern => pattern(value),
        Kind::Datetime => pattern(&of_datetime(value)),
        Kind::Forward => unless(
            is_forward(value),
            "a host and a port after tcp:// or tls://, or a path after unix://",
        ),
    }
}

fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `10m`, `1.5 GB`, bytes: go-units' `RAMInBytes`.
pub(super) fn is_size(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = value[digits.len()..].trim_end_matches('b').trim_end_matches('i');
    let number = digits.trim_end();
    matches!(unit, "" | "k" | "m" | "g" | "t" | "p")
        && number.chars().all(|c| c.is_ascii_digit() || c == '.')
        && number.parse::<f64>().is_ok()
}

/// Go's `time.ParseDuration`, but for signs.
fn is_duration(value: &str) -> bool {
    let mut rest = value;
    while !rest.is_empty() && value != "0" {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - unit.len()];
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let known = ["ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", "h"];
        if number.parse::<f64>().is_err() || !known.contains(&&unit[..end]) {
            return false;
        }
        rest = &unit[end..];
    }
    true
}

/// What is wrong with a regular expression.
fn pattern(value: &str) -> Option<String> {
    // The first line of an error shows the pattern, the last one says why.
    let why = |error: regex::Error| {
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("a regular expression: {why}")
    };
    Regex::new(value).err().map(why)
}

/// As Docker's driver reads an address: what is missing has a default.
fn is_forward(value: &str) -> bool {
    let (scheme, rest) = value.split_once("://").unwrap_or(("tcp", value));
    match scheme {
        "unix" => rest.starts_with('/'),
        "tcp" | "tls" => {
            let has_end = rest.contains(['/', '?', '#', '@']) || rest.contains(char::is_whitespace);
            // An IPv6 address stands between brackets.
            let port = rest.rsplit_once(']').map_or(rest, |(_, behind)| behind).rsplit_once(':');
            !has_end && port.is_none_or(|(_, port)| port.parse::<u16>().is_ok())
        }
        _ => false,
    }
}

fn is_facility(value: &str) -> bool {
    const NAMES: &str = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp local0 \
                         local1 local2 local3 local4 local5 local6 local7";
    NAMES.split_whitespace().any(|name| name == value)
        || value.parse::<u8>().is_ok_and(|number| number <= 23)
}
