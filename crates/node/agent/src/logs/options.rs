//! What a definition's log configuration asks for, checked as Docker checks it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use agent_protocol::datetime::of_datetime;
use regex::Regex;
use runtime::containers::{Keep, LogOptions, Unsent, WhenFull};

use super::syslog::{Address, Format, Tls};
use super::tag::{self, Facts};
use super::values::{Options, boolean, duration, lines, number, size};

/// With `blocking`: how much may wait on the disk before the container is held back.
pub const BLOCKING_BYTES: u64 = 16 * 1024 * 1024;
/// With `non-blocking`: how much may wait before lines are dropped, unless `max-buffer-size` says
/// otherwise (API reference, `LogConfiguration`).
pub const NON_BLOCKING_BYTES: u64 = 10 * 1024 * 1024;
/// Limits that count lines bound the disk here: so many bytes of our files for each, which is a line
/// of some four hundred characters and what is written around it.
const LINE_BYTES: u64 = 512;
/// The most that ECS takes as `log-driver-buffer-limit`.
const FIRELENS_LINES_MAX: u64 = 536_870_912;
/// How often awslogs sends if it is not told otherwise: Docker's.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);
/// Docker's.
const FLUENTD_PORT: u16 = 24224;
/// How long a write to a fluentd may take if nothing is said. Docker waits for ever, and lets the
/// container wait; here another connection is tried.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What Docker takes as `fluentd-async-reconnect-interval`.
const RECONNECT_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(10);

/// What becomes of a container's output.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What its shim does.
    pub keep: LogOptions,
    /// What is sent on; none if its files are the log, or nothing is kept.
    pub shipping: Option<Shipping>,
}

/// Where output goes.
#[derive(Clone, Debug)]
pub struct Shipping {
    /// The destination.
    pub kind: Kind,
    /// What begins an event of several lines.
    pub begins: Option<Regex>,
    /// Whether the container does not start when the destination does not work.
    pub must_work_at_start: bool,
}

/// A destination.
#[derive(Clone, Debug)]
pub enum Kind {
    /// CloudWatch Logs.
    Awslogs(AwslogsOptions),
    /// A syslog server.
    Syslog(SyslogOptions),
    /// Something that speaks fluentd's forward protocol; a router of FireLens too.
    Fluentd(FluentdOptions),
}

/// Options of `awslogs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwslogsOptions {
    /// The region that calls are signed for; the agent's own without.
    pub region: Option<String>,
    /// Another endpoint than the control plane.
    pub endpoint: Option<String>,
    /// The group.
    pub group: String,
    /// The stream.
    pub stream: String,
    /// Whether an absent group is made.
    pub create_group: bool,
    /// Whether an absent stream is made.
    pub create_stream: bool,
    /// Whether lines are of the embedded metric format.
    pub is_emf: bool,
    /// How long lines wait for others.
    pub interval: Duration,
}

/// Options of `syslog`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogOptions {
    /// Where.
    pub address: Address,
    /// The facility's number.
    pub facility: u8,
    /// How messages look.
    pub format: Format,
    /// What they are tagged with.
    pub tag: String,
    /// Used where the address says so.
    pub tls: Tls,
}

/// Options of `fluentd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluentdOptions {
    /// Where.
    pub address: FluentdAddress,
    /// The tag.
    pub tag: String,
    /// What each record holds besides the line.
    pub fields: BTreeMap<String, String>,
    /// Whether times have nanoseconds.
    pub sub_second: bool,
    /// Whether the other side is to acknowledge what it took.
    pub asks_for_ack: bool,
    /// How long a write may take.
    pub write_timeout: Duration,
    /// The wait after a first failure; none: that of all destinations.
    pub retry_wait: Option<Duration>,
}

impl FluentdOptions {
    /// The folder of the router that it is, if it is one of FireLens'.
    pub fn router(&self) -> Option<PathBuf> {
        match &self.address {
            FluentdAddress::Unix(socket) => Some(socket.parent()?.parent()?.to_owned()),
            FluentdAddress::Tcp(_) | FluentdAddress::Tls(_) => None,
        }
    }
}

/// Where a fluentd is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FluentdAddress {
    /// `HOST:PORT`.
    Tcp(String),
    /// The same with TLS, as the instance trusts.
    Tls(String),
    /// A socket.
    Unix(PathBuf),
}

/// What a driver with these options is to do.
///
/// # Errors
/// As Docker refuses the container, in its words where they are known.
pub fn plan(driver: &str, options: &Options, facts: &Facts) -> Result<Plan, String> {
    match driver {
        "" | "json-file" => json_file(options, facts),
        "none" => {
            let keep = LogOptions { keep: Keep::Nothing, ..LogOptions::default() };
            Ok(Plan { keep, shipping: None })
        }
        "awslogs" => awslogs(options, facts),
        "syslog" => syslog(options, facts),
        "fluentd" => fluentd(options, facts),
        other => Err(format!("logger: no log driver named '{other}' is registered")),
    }
}

/// What a container does whose output goes to its task's router, at `socket`.
///
/// # Errors
/// If `log-driver-buffer-limit` is no number of lines, or too high.
pub fn firelens(
    options: &Options,
    tag: String,
    socket: PathBuf,
    facts: &Facts,
) -> Result<Plan, String> {
    let lines = lines(options, "log-driver-buffer-limit")?;
    if let Some(lines) = lines.filter(|&lines| lines > FIRELENS_LINES_MAX) {
        let name = "log-driver-buffer-limit";
        return Err(format!("log opt '{name}': {lines} is not from 0 to {FIRELENS_LINES_MAX}"));
    }
    let bytes_max = room_for(lines, NON_BLOCKING_BYTES);
    let keep = LogOptions::unsent(Unsent { bytes_max, when_full: WhenFull::Drop });
    let fluentd = FluentdOptions {
        address: FluentdAddress::Unix(socket),
        tag,
        fields: named(facts),
        sub_second: true,
        asks_for_ack: false,
        write_timeout: WRITE_TIMEOUT,
        retry_wait: None,
    };
    let shipping = Shipping {
        kind: Kind::Fluentd(fluentd),
        begins: None,
        // The router has a socket some time after it was started.
        must_work_at_start: false,
    };
    Ok(Plan { keep, shipping: Some(shipping) })
}

/// Options that every driver takes.
const OF_ALL: [&str; 2] = ["mode", "max-buffer-size"];
const OF_FACTS: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];

fn known(driver: &str, options: &Options, of_driver: &[&str]) -> Result<(), String> {
    let known = |name: &str| OF_ALL.contains(&name) || of_driver.contains(&name);
    match options.keys().find(|name| !known(name)) {
        Some(name) => Err(format!("unknown log opt '{name}' for {driver} log driver")),
        None => Ok(()),
    }
}

fn json_file(options: &Options, facts: &Facts) -> Result<Plan, String> {
    known("json-file", options, &[&OF_FACTS[..], &["max-size", "max-file", "compress"]].concat())?;
    let mut keep = LogOptions::default();
    if let Some(text) = options.get("max-size") {
        let bytes = size(text).ok_or_else(|| format!("invalid value for max-size: '{text}'"))?;
        keep.size_max_bytes = bytes.max(1);
    }
    if let Some(text) = options.get("max-file") {
        let files = text.parse().ok().filter(|&files| files > 0);
        keep.files_max = files.ok_or_else(|| "max-file cannot be less than 1".to_owned())?;
    }
    keep.compress = boolean(options, "compress")?.unwrap_or(false);
    if keep.compress && (keep.files_max < 2 || !options.contains_key("max-size")) {
        return Err("compress cannot be true when max-file is less than 2 or max-size is not set"
            .to_owned());
    }
    keep.attributes = tag::attributes(options, facts)?;
    if let Some(template) = options.get("tag").filter(|template| !template.is_empty()) {
        keep.attributes.insert("tag".to_owned(), tag::fill(template, facts)?);
    }
    Ok(Plan { keep, shipping: None })
}

fn awslogs(options: &Options, facts: &Facts) -> Result<Plan, String> {
    const OF_AWSLOGS: [&str; 14] = [
        "awslogs-group",
        "awslogs-region",
        "awslogs-stream",
        "awslogs-create-group",
        "awslogs-create-stream",
        "awslogs-datetime-format",
        "awslogs-multiline-pattern",
        "awslogs-credentials-endpoint",
        "awslogs-force-flush-interval-seconds",
        "awslogs-max-buffered-events",
        "awslogs-endpoint",
        "awslogs-format",
        "tag",
        "awslogs-stream-prefix",
    ];
    known("awslogs", options, &OF_AWSLOGS)?;
    let get = |name: &str| options.get(name).filter(|value| !value.is_empty());
    let group = get("awslogs-group");
    let group = group.ok_or("must specify a value for log opt 'awslogs-group'")?;
    let datetime = get("awslogs-datetime-format");
    let pattern = get("awslogs-multiline-pattern");
    if datetime.is_some() && pattern.is_some() {
        return Err("you cannot configure log opt 'awslogs-datetime-format' and \
                    'awslogs-multiline-pattern' at the same time"
            .to_owned());
    }
    let format = get("awslogs-format");
    if let Some(other) = format.filter(|format| *format != "json/emf") {
        return Err(format!("unsupported log format '{other}'"));
    }
    if format.is_some() && (datetime.is_some() || pattern.is_some()) {
        return Err("you cannot configure log opt 'awslogs-datetime-format' or \
                    'awslogs-multiline-pattern' with log opt 'awslogs-format'"
            .to_owned());
    }
    let pattern = datetime.map(|format| of_datetime(format)).or_else(|| pattern.cloned());
    let begins = pattern.map(|pattern| {
        Regex::new(&pattern).map_err(|error| {
            format!("awslogs could not parse multiline pattern key '{pattern}': {error}")
        })
    });
    let stream = match get("awslogs-stream") {
        Some(stream) => stream.clone(),
        None => tag::fill(get("tag").map_or("{{.FullID}}", String::as_str), facts)?,
    };
    let seconds = number(options, "awslogs-force-flush-interval-seconds")?;
    if seconds == Some(0) || number(options, "awslogs-max-buffered-events")? == Some(0) {
        return Err("must specify a positive number for log opt \
                    'awslogs-force-flush-interval-seconds' and 'awslogs-max-buffered-events'"
            .to_owned());
    }
    let awslogs = AwslogsOptions {
        region: get("awslogs-region").cloned(),
        endpoint: get("awslogs-endpoint").cloned(),
        group: group.clone(),
        stream,
        create_group: boolean(options, "awslogs-create-group")?.unwrap_or(false),
        create_stream: boolean(options, "awslogs-create-stream")?.unwrap_or(true),
        is_emf: format.is_some(),
        interval: seconds.map_or(FLUSH_INTERVAL, Duration::from_secs),
    };
    ships(options, Kind::Awslogs(awslogs), begins.transpose()?)
}

fn syslog(options: &Options, facts: &Facts) -> Result<Plan, String> {
    const OF_SYSLOG: [&str; 7] = [
        "syslog-address",
        "syslog-facility",
        "syslog-format",
        "syslog-tls-ca-cert",
        "syslog-tls-cert",
        "syslog-tls-key",
        "syslog-tls-skip-verify",
    ];
    known("syslog", options, &[&OF_FACTS[..], &OF_SYSLOG].concat())?;
    let get = |name: &str| options.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let file = |name: &str| get(name).map(PathBuf::from);
    let shown = match (file("syslog-tls-cert"), file("syslog-tls-key")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => return Err("syslog-tls-cert and syslog-tls-key go together".to_owned()),
    };
    let authorities = file("syslog-tls-ca-cert");
    // Docker looks at no value of it.
    let trusts_any = options.contains_key("syslog-tls-skip-verify");
    let syslog = SyslogOptions {
        address: get("syslog-address").map_or(Ok(Address::Local), str::parse)?,
        facility: super::syslog::facility(get("syslog-facility").unwrap_or("daemon"))?,
        format: get("syslog-format").unwrap_or_default().parse()?,
        tag: tag::fill(get("tag").unwrap_or("{{.ID}}"), facts)?,
        tls: Tls { authorities, shown, trusts_any },
    };
    ships(options, Kind::Syslog(syslog), None)
}

fn fluentd(options: &Options, facts: &Facts) -> Result<Plan, String> {
    const OF_FLUENTD: [&str; 10] = [
        "fluentd-address",
        "fluentd-async",
        "fluentd-async-connect",
        "fluentd-async-reconnect-interval",
        "fluentd-buffer-limit",
        "fluentd-max-retries",
        "fluentd-request-ack",
        "fluentd-retry-wait",
        "fluentd-sub-second-precision",
        "fluentd-write-timeout",
    ];
    known("fluentd", options, &[&OF_FACTS[..], &OF_FLUENTD].concat())?;
    let get = |name: &str| options.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let address = fluentd_address(get("fluentd-address").unwrap_or_default())?;
    let is_async = boolean(options, "fluentd-async")?.unwrap_or(false)
        || boolean(options, "fluentd-async-connect")?.unwrap_or(false);
    let mut fields = tag::attributes(options, facts)?;
    fields.extend(named(facts));
    let fluentd = FluentdOptions {
        address,
        tag: tag::fill(get("tag").unwrap_or("{{.ID}}"), facts)?,
        fields,
        sub_second: boolean(options, "fluentd-sub-second-precision")?.unwrap_or(false),
        asks_for_ack: boolean(options, "fluentd-request-ack")?.unwrap_or(false),
        write_timeout: duration(options, "fluentd-write-timeout")?.unwrap_or(WRITE_TIMEOUT),
        retry_wait: duration(options, "fluentd-retry-wait")?,
    };
    let lines = lines(options, "fluentd-buffer-limit")?;
    check_unused(options)?;
    let mut plan = ships(options, Kind::Fluentd(fluentd), None)?;
    if let Some(shipping) = &mut plan.shipping {
        shipping.must_work_at_start &= !is_async;
    }
    if let Keep::Unsent(unsent) = plan.keep.keep {
        let bytes_max = room_for(lines, unsent.bytes_max);
        plan.keep = LogOptions::unsent(Unsent { bytes_max, ..unsent });
    }
    Ok(plan)
}

/// Options without a use here: no line is given up after so many tries, since it waits on the
/// disk, and a lost connection is made again with the next line. What Docker refuses is refused.
fn check_unused(options: &Options) -> Result<(), String> {
    let retries = number(options, "fluentd-max-retries")?;
    if retries.is_some_and(|retries| retries > i32::MAX as u64) {
        return Err("invalid fluentd-max-retries: value out of range".to_owned());
    }
    let name = "fluentd-async-reconnect-interval";
    match duration(options, name)? {
        Some(interval) if !RECONNECT_INTERVALS.contains(&interval) => {
            Err(format!("invalid value for {name}: it must be between 100ms and 10s"))
        }
        _ => Ok(()),
    }
}

/// The fields of every record that say whose it is.
fn named(facts: &Facts) -> BTreeMap<String, String> {
    let id = ("container_id".to_owned(), facts.id.clone());
    [id, ("container_name".to_owned(), format!("/{}", facts.name))].into()
}

fn fluentd_address(text: &str) -> Result<FluentdAddress, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return match path.is_empty() {
            true => Err("path is empty".to_owned()),
            false => Ok(FluentdAddress::Unix(PathBuf::from(path))),
        };
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    if !matches!(scheme, "tcp" | "tls") {
        return Err(format!("unsupported scheme: '{scheme}' in fluentd-address '{text}'"));
    }
    let rest = if rest.is_empty() { "127.0.0.1" } else { rest };
    let has_port = match rest.rsplit_once(':') {
        Some((host, port)) => port.parse::<u16>().is_ok() && !host.ends_with(':'),
        None => false,
    };
    let address = match has_port {
        true => rest.to_owned(),
        false => format!("{rest}:{FLUENTD_PORT}"),
    };
    Ok(if scheme == "tls" { FluentdAddress::Tls(address) } else { FluentdAddress::Tcp(address) })
}

/// What `mode` and `max-buffer-size` say.
fn ships(options: &Options, kind: Kind, begins: Option<Regex>) -> Result<Plan, String> {
    let given = options.get("max-buffer-size").filter(|text| !text.is_empty());
    let given = given.map(|text| {
        size(text).ok_or_else(|| format!("error parsing option max-buffer-size: '{text}'"))
    });
    let given = given.transpose()?;
    let unsent = match options.get("mode").map(String::as_str) {
        None | Some("" | "blocking") => {
            if given.is_some() && options.contains_key("mode") {
                return Err(
                    "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
                        .to_owned(),
                );
            }
            Unsent { bytes_max: BLOCKING_BYTES, when_full: WhenFull::Wait }
        }
        Some("non-blocking") => {
            let bytes_max = given.unwrap_or(NON_BLOCKING_BYTES);
            Unsent { bytes_max, when_full: WhenFull::Drop }
        }
        Some(other) => return Err(format!("logger: logging mode not supported: {other}")),
    };
    // Docker connects to syslog and to fluentd before the container whatever the mode, and makes a
    // stream of awslogs beside it unless its lines have to wait.
    let must_work_at_start = match kind {
        Kind::Awslogs(_) => unsent.when_full == WhenFull::Wait,
        Kind::Syslog(_) | Kind::Fluentd(_) => true,
    };
    let shipping = Shipping { kind, begins, must_work_at_start };
    Ok(Plan { keep: LogOptions::unsent(unsent), shipping: Some(shipping) })
}

/// Bytes in which so many lines have room: never less than without a limit, since nothing may be
/// dropped earlier than was asked for.
fn room_for(lines: Option<u64>, usual_bytes: u64) -> u64 {
    lines.map_or(usual_bytes, |lines| lines.saturating_mul(LINE_BYTES).max(usual_bytes))
}
