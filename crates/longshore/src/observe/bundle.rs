//! `GET /_longshore/debug`: what the server knows of itself, for `longshore debug bundle`.
//!
//! **Invariant:** only what is listed here goes in: versions, settings with secrets masked, counts,
//! figures, log lines, threads. No row of the ledger does, so no definition, key or token.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use http::{HeaderValue, Response, header};
use ledger::Ledger;
use meters::Form;
use serde_json::{Value, json};
use wire::{Body, Route, RouteAuth};

use super::logs;
use super::metrics::{Metrics, forbidden, may_see};
use crate::settings::{Origin, ServerSettings};

/// The path.
pub const DEBUG_PATH: &str = "/_longshore/debug";
/// What stands in a secret's place.
pub const MASK: &str = "(masked)";

/// What a server's bundle is made of.
pub struct Inside {
    /// What it runs with.
    pub settings: ServerSettings,
    /// Its state.
    pub ledger: Ledger,
    /// Its figures.
    pub metrics: Metrics,
}

impl Inside {
    /// The route, for operators: a JSON object of files' names and texts.
    pub fn route(self) -> Route {
        let inside = Arc::new(self);
        Route::new(DEBUG_PATH, RouteAuth::Signed("ecs"), move |request| {
            let inside = inside.clone();
            async move {
                if !may_see(&request) {
                    return forbidden();
                }
                let runtime = runtime();
                let files = tokio::task::spawn_blocking(move || inside.files(&runtime)).await;
                let files = files.unwrap_or_default();
                let mut response = Response::new(Body::from(json!(files).to_string()));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }
        })
        .here()
    }

    fn files(&self, runtime: &Value) -> BTreeMap<&'static str, String> {
        let text = |value: Value| serde_json::to_string_pretty(&value).unwrap_or_default();
        BTreeMap::from([
            ("version.json", text(version())),
            ("config.json", text(config(&self.settings.origins))),
            ("ledger.json", text(self.ledger())),
            ("metrics.txt", self.metrics.text(Form::Classic)),
            ("logs.txt", logs::recent().join("\n")),
            ("runtime.json", text(runtime.clone())),
            ("threads.json", text(threads())),
            ("limits.txt", fs::read_to_string("/proc/self/limits").unwrap_or_default()),
            ("status.txt", fs::read_to_string("/proc/self/status").unwrap_or_default()),
        ])
    }

    fn ledger(&self) -> Value {
        let role = format!("{:?}", *self.ledger.leadership().borrow());
        let tables = self.ledger.digests().into_iter().map(|table| {
            json!({"table": table.name, "rows": table.rows, "digest": format!("{:016x}", table.digest)})
        });
        json!({
            "role": role,
            "store": match self.settings.origins.iter().find(|o| o.name == "store") {
                Some(origin) if !origin.value.is_empty() => masked(origin.name, &origin.value),
                _ => "embedded".to_owned(),
            },
            "revision": self.ledger.snapshot().revision(),
            "waiting": self.ledger.waiting(),
            "tables": tables.collect::<Vec<_>>(),
            "digests": "of keys and versions; equal on servers of one build at one revision",
        })
    }
}

fn version() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "pid": std::process::id(),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "uptime": read("/proc/uptime"),
        "load": read("/proc/loadavg"),
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": read("/proc/meminfo").lines().take(3).collect::<Vec<_>>(),
    })
}

/// Settings by name, with who said so.
pub fn config(origins: &[Origin]) -> Value {
    let entry = |origin: &Origin| {
        let value = masked(origin.name, &origin.value);
        (origin.name.to_owned(), json!({"value": value, "source": origin.source.to_string()}))
    };
    origins.iter().map(entry).collect::<serde_json::Map<_, _>>().into()
}

/// A setting's value without what is nobody's business: secrets, and what stands before the `@` of
/// URLs.
pub fn masked(name: &str, value: &str) -> String {
    let is_secret = ["secret", "token", "password"].iter().any(|word| name.contains(word));
    if is_secret && !name.ends_with("_file") && !value.is_empty() {
        return MASK.to_owned();
    }
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{MASK}@{host}"),
        None => value.to_owned(),
    }
}

/// The kernel's view of each thread: what it is called, does and waits for.
fn threads() -> Value {
    let entries = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let thread = |entry: fs::DirEntry| {
        let read = |file| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let stat = read("stat");
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
        json!({
            "id": entry.file_name().to_string_lossy(),
            "name": read("comm").trim(),
            "state": field(3),
            "userTicks": field(14),
            "systemTicks": field(15),
            "waitsIn": read("wchan").trim(),
        })
    };
    entries.map(thread).collect()
}

/// What the runtime of our tasks says of itself.
fn runtime() -> Value {
    let metrics = tokio::runtime::Handle::current().metrics();
    json!({
        "workers": metrics.num_workers(),
        "tasks": metrics.num_alive_tasks(),
        "queued": metrics.global_queue_depth(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_settings_are_masked() {
        let check = |name, value, expected: &str| assert_eq!(masked(name, value), expected);
        check("listen", "127.0.0.1:4566", "127.0.0.1:4566");
        check("token", "lst-123", MASK);
        check("secrets_key", "abc", MASK);
        check("secrets_key_file", "/etc/key", "/etc/key");
        check("etcd_password", "", "");
        check("store", "etcd://root:hunter2@10.0.0.1:2379", "etcd://(masked)@10.0.0.1:2379");
        check("otlp_endpoint", "http://127.0.0.1:4318", "http://127.0.0.1:4318");
    }
}
