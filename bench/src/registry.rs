//! The registry: pushes and pulls of large blobs, many at once, and long lists of tags, against Debian's
//! docker-registry.
//!
//! Both are spoken to by the same small client on loopback: an upload is a POST and a PUT of the whole blob,
//! as containerd does it. Ours runs with `--auth open`, theirs without authentication. What was pushed is on the
//! disk before one pull after another is measured, so that none runs beside the writing of what was pushed; the
//! registry has the first core then and the client the second: else the kernel may keep both on one, and a pull
//! takes two or three times as long, of either registry. Pulls at once of blobs that together are larger than
//! memory read the disk; with `--cold` the system forgets smaller ones, too.
//! docker-registry 2.8 knows no pages of tags: its page has all of them.

mod speech;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use self::speech::Speech;
use crate::longshore::{Longshore, Place};
use crate::memory::rss_kib;
use crate::process::{Process, free_port, hold};
use crate::report::{Report, Sample, ms};

const NAME: &str = "bench/app";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Tags that one image may have (ECR's quota).
const TAGS_PER_IMAGE: u32 = 1_000;
/// Clients that make tags at the same time.
const TAGGERS: u32 = 16;
/// Items of one page: as many as the registries give at most.
const PAGE_ITEMS: u32 = 1_000;
/// Where registry and client are while single pulls are measured.
const REGISTRY_CORE: usize = 0;
const CLIENT_CORE: usize = 1;
/// How often each blob is pulled by itself: a pull is short, and a host may take time from any of them.
const PULLS_OF_EACH: usize = 3;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
const START_LIMIT: Duration = Duration::from_secs(20);

/// How much faster than docker-registry transfers are to be.
const GOAL_TIMES: f64 = 1.5;
/// What the server may hold in memory while all transfers run, in MiB.
const GOAL_MIB: f64 = 100.0;
/// What a page of tags may take, in milliseconds.
const GOAL_PAGE_MS: f64 = 50.0;

/// Pushes, pulls and lists of the registry, against docker-registry
#[derive(Args, Debug)]
pub struct Registry {
    /// Size of each blob, in MB
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    megabytes: u32,
    /// Transfers at once
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    transfers: u32,
    /// Rounds of single transfers; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Tags that are listed
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tags: u32,
    /// Leave the peer out
    #[arg(long)]
    no_peers: bool,
    /// Let the system forget what was pushed before pulls at once, so that they read the disk; needs root
    #[arg(long)]
    cold: bool,
}

/// A registry that is measured.
struct Measured<'a> {
    name: &'static str,
    port: u16,
    id: u32,
    options: &'a Registry,
}

/// What was found of one.
struct Found {
    push: Sample,
    pull: Sample,
    push_all: Duration,
    pull_all: Duration,
    push_mib: f64,
    pull_mib: f64,
    pages: Sample,
}

impl Registry {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("registry: pushes, pulls, lists of tags");
        let ours = {
            let server = Longshore::start(place, "server", &["--auth", "open"], None)?;
            let mut speech = Speech::open(server.port)?;
            let target = "AmazonEC2ContainerRegistry_V20150921.CreateRepository";
            let headers =
                [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
            let body = json!({ "repositoryName": NAME }).to_string();
            let told = speech.ask("POST", "/", &headers, body.as_bytes())?;
            ensure!(told.status == 200, "CreateRepository: {}", told.text());
            let (port, id) = (server.port, server.id());
            Measured { name: "longshore", port, id, options: self }.measure()?
        };
        self.tell(&mut report, "longshore", &ours);
        let memory = ours.push_mib.max(ours.pull_mib);
        report.target("longshore, memory at most", memory, GOAL_MIB, true, "MiB");
        let page = ms(ours.pages.median());
        report.target("longshore, a page of tags", page, GOAL_PAGE_MS, true, "ms");
        if self.no_peers {
            return Ok(report);
        }
        let theirs = {
            let folder = tempfile::Builder::new().prefix("registry-").tempdir_in(&place.work)?;
            let (process, port) = peer(folder.path(), &place.work)?;
            let id = process.id();
            Measured { name: "docker-registry", port, id, options: self }.measure()?
        };
        self.tell(&mut report, "docker-registry", &theirs);
        let times = |ours: Duration, theirs: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
        for (what, times) in [
            (
                "push, times docker-registry's throughput",
                times(ours.push.median(), theirs.push.median()),
            ),
            (
                "pull, times docker-registry's throughput",
                times(ours.pull.median(), theirs.pull.median()),
            ),
            ("pushes at once, times docker-registry's", times(ours.push_all, theirs.push_all)),
            ("pulls at once, times docker-registry's", times(ours.pull_all, theirs.pull_all)),
        ] {
            report.target(what, times, GOAL_TIMES, false, "x");
        }
        Ok(report)
    }

    fn tell(&self, report: &mut Report, name: &str, found: &Found) {
        let one = f64::from(self.megabytes);
        let all = one * f64::from(self.transfers);
        let rate = |megabytes: f64, time: Duration| megabytes / time.as_secs_f64();
        let single = |sample: &Sample| (rate(one, sample.median()), sample.spread());
        let (push, spread) = single(&found.push);
        report.add(&format!("{name}, push of {} MB", self.megabytes), push, "MB/s", spread);
        let (pull, spread) = single(&found.pull);
        report.add(&format!("{name}, pull of {} MB", self.megabytes), pull, "MB/s", spread);
        let many = format!("{} at once", self.transfers);
        report.add(&format!("{name}, pushes, {many}"), rate(all, found.push_all), "MB/s", "");
        report.add(&format!("{name}, pulls, {many}"), rate(all, found.pull_all), "MB/s", "");
        for (what, mib) in [("pushes", found.push_mib), ("pulls", found.pull_mib)] {
            report.add(&format!("{name}, memory, {what}"), mib, "MiB", "resident, peak");
        }
        report.add_sample(
            &format!("{name}, page of {PAGE_ITEMS} of {} tags", self.tags),
            &found.pages,
        );
    }
}

/// docker-registry on a folder of its own.
fn peer(folder: &Path, work: &Path) -> Result<(Process, u16)> {
    let (port, config) = (free_port()?, folder.join("config.yml"));
    let root = folder.join("data");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: \
         {{rootdirectory: {}, maxthreads: 1000}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
        root.display()
    );
    fs::write(&config, text)?;
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&config);
    let log = work.join("docker-registry.log");
    let mut process = Process::start(command, &log, None)?;
    let is_ready = || {
        let answer = Speech::open(port).and_then(|mut to| to.ask("GET", "/v2/", &[], &[]));
        answer.is_ok_and(|told| told.status == 200)
    };
    process.wait_until(START_LIMIT, is_ready).with_context(|| format!("see {}", log.display()))?;
    Ok((process, port))
}

impl Measured<'_> {
    fn measure(&self) -> Result<Found> {
        let Registry { rounds, transfers, .. } = *self.options;
        let mut speech = Speech::open(self.port)?;
        let blobs: Vec<_> = (0..rounds).map(|number| self.blob(number)).collect();
        let (mut push, mut pull) = (Vec::new(), Vec::new());
        for blob in &blobs {
            let begin = Instant::now();
            speech.push(NAME, blob)?;
            push.push(begin.elapsed());
        }
        nix::unistd::sync();
        let cores = std::thread::available_parallelism()?.get();
        ensure!(cores > CLIENT_CORE, "registry and client need a core each");
        hold(self.id, [REGISTRY_CORE])?;
        hold(std::process::id(), [CLIENT_CORE])?;
        for blob in blobs.iter().cycle().take(PULLS_OF_EACH * blobs.len()) {
            let begin = Instant::now();
            speech.pull(NAME, blob)?;
            pull.push(begin.elapsed());
        }
        hold(self.id, 0..cores)?;
        hold(std::process::id(), 0..cores)?;
        let blobs: Vec<_> = (0..transfers).map(|number| self.blob(rounds + number)).collect();
        let (push_all, push_mib) =
            self.watched(|| self.at_once(&blobs, |speech, blob| speech.push(NAME, blob)))?;
        if self.options.cold {
            nix::unistd::sync();
            fs::write(DROP_CACHES, "1").context("only root lets the system forget files")?;
        }
        let (pull_all, pull_mib) =
            self.watched(|| self.at_once(&blobs, |speech, blob| speech.pull(NAME, blob)))?;
        self.make_tags()?;
        Ok(Found {
            push: Sample::new(push),
            pull: Sample::new(pull),
            push_all,
            pull_all,
            push_mib,
            pull_mib,
            pages: self.pages()?,
        })
    }

    /// Another blob for each number; hashed before the clock runs.
    fn blob(&self, number: u32) -> speech::Content {
        speech::Content::new(number, u64::from(self.options.megabytes) * 1_000_000)
    }

    /// One transfer for each blob, all at once, each on a connection of its own.
    fn at_once(
        &self,
        blobs: &[speech::Content],
        transfer: impl Fn(&mut Speech, &speech::Content) -> Result<()> + Sync,
    ) -> Result<Duration> {
        let mut connections = Vec::new();
        for _ in blobs {
            connections.push(Speech::open(self.port)?);
        }
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let transfer = &transfer;
            let running: Vec<_> = connections
                .iter_mut()
                .zip(blobs)
                .map(|(speech, blob)| scope.spawn(move || transfer(speech, blob)))
                .collect();
            running.into_iter().try_for_each(|one| {
                one.join().map_err(|_| anyhow::anyhow!("a transfer of {} panicked", self.name))?
            })
        })?;
        Ok(begin.elapsed())
    }

    /// Does something, and tells the most memory that the registry was seen to hold meanwhile.
    fn watched<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
        let (peak_kib, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    peak_kib.fetch_max(rss_kib(self.id).unwrap_or(0), Ordering::Relaxed);
                    std::thread::sleep(LOOK);
                }
            });
            let done = work();
            is_over.store(true, Ordering::Relaxed);
            done
        });
        Ok((done?, peak_kib.into_inner() as f64 / 1024.0))
    }

    /// As many tags as are to be listed, of as few images as may have them.
    fn make_tags(&self) -> Result<()> {
        let config = speech::Content::new(u32::MAX, 16);
        Speech::open(self.port)?.push(NAME, &config)?;
        let tags = self.options.tags;
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..TAGGERS)
                .map(|tagger| {
                    let config = &config;
                    scope.spawn(move || {
                        let mut speech = Speech::open(self.port)?;
                        (tagger..tags)
                            .step_by(TAGGERS as usize)
                            .try_for_each(|number| tag(&mut speech, config, number))
                    })
                })
                .collect();
            running
                .into_iter()
                .try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a tagger panicked"))?)
        })
    }

    /// How long each page takes, from the first to the last.
    fn pages(&self) -> Result<Sample> {
        let mut speech = Speech::open(self.port)?;
        let (mut times, mut seen, mut last) = (Vec::new(), 0, String::new());
        loop {
            let path = format!("/v2/{NAME}/tags/list?n={PAGE_ITEMS}&last={last}");
            let begin = Instant::now();
            let told = speech.ask("GET", &path, &[], &[])?;
            times.push(begin.elapsed());
            ensure!(told.status == 200, "{path}: {}", told.text());
            let page: Value = serde_json::from_slice(&told.body)?;
            let tags = page["tags"].as_array().map_or(&[][..], Vec::as_slice);
            seen += tags.len();
            match tags.last().and_then(Value::as_str) {
                Some(tag) if seen < self.options.tags as usize => last = tag.to_owned(),
                _ => break,
            }
        }
        ensure!(seen == self.options.tags as usize, "{} tags of {}", seen, self.options.tags);
        Ok(Sample::new(times))
    }
}

/// Gives one tag to the image that it belongs to.
fn tag(speech: &mut Speech, config: &speech::Content, number: u32) -> Result<()> {
    let descriptor = json!({"mediaType": "application/octet-stream", "digest": config.digest,
        "size": config.size_bytes});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": [descriptor],
        "annotations": {"number": (number / TAGS_PER_IMAGE).to_string()},
    });
    let path = format!("/v2/{NAME}/manifests/t{number:07}");
    let headers = [("content-type", MANIFEST)];
    let told = speech.ask("PUT", &path, &headers, manifest.to_string().as_bytes())?;
    ensure!(told.status == 201, "{path}: {}", told.text());
    Ok(())
}
