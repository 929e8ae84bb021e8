//! `longshore image`: the images on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use runtime::Images;
use runtime::images::{self, Image, ImageReference, ImageStore, Progress, PullEvent};

use crate::data_dir::DataDir;
use crate::output::{self, Format, say};
use crate::registries::{self, RegistryFlags};
use crate::{node, settings};

/// What a pull has to tell and nobody has read.
const PROGRESS_EVENTS: usize = 256;

/// Flags of `longshore image`.
#[derive(Args, Debug)]
pub struct ImageCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Take images from a file: `docker save`, an OCI layout or archive, or a root file system
    Load(Load),
    /// Fetch an image from its registry
    #[command(
        after_help = "Example:\n  longshore image pull quay.io/prometheus/node-exporter:latest"
    )]
    Pull(Pull),
    /// List the images
    #[command(after_help = "Example:\n  longshore image ls")]
    Ls(Here),
    /// Tell what is known of an image, in JSON
    #[command(after_help = "Example:\n  longshore image inspect nginx")]
    Inspect(Named),
    /// Forget an image; `longshore image prune` then frees the disk
    #[command(after_help = "Example:\n  longshore image rm nginx:1.27")]
    Rm(Named),
    /// Not here: push with docker, podman or skopeo
    #[command(hide = true)]
    Push(Elsewhere),
    /// Not here: build with buildah or docker
    #[command(hide = true)]
    Build(Elsewhere),
    /// Delete what no image and no container needs; nothing else may use the store meanwhile
    #[command(after_help = "Example:\n  longshore image prune")]
    Prune(Prune),
}

/// Anything: what is not done here takes what others take.
#[derive(Args, Debug)]
struct Elsewhere {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

#[derive(Args, Debug)]
struct Here {
    /// The data folder of a server or agent on this machine [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Named {
    /// The image's reference, such as `nginx:1.27` or `localhost:4566/app:v1`
    reference: ImageReference,
    /// The data folder of a server or agent on this machine [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Pull {
    /// The image's reference
    reference: ImageReference,
    #[command(flatten)]
    registries: RegistryFlags,
    /// The data folder of a server or agent on this machine [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Prune {
    /// The data folder of a server or agent on this machine [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  longshore image load nginx.tar.gz\n  docker save nginx | gzip > nginx.tar.gz && longshore image load nginx.tar.gz"
)]
struct Load {
    /// A tar (plain, gzip or zstd), or an OCI layout's folder
    file: PathBuf,
    /// The reference to load it as, in place of the one in the file
    #[arg(long, value_name = "REFERENCE")]
    name: Option<ImageReference>,
    /// The data folder of a server or agent on this machine [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl ImageCommand {
    /// Carries it out; a running `longshore up` sees the images at once.
    ///
    /// # Errors
    /// If the file is no image, or the data folder cannot be written.
    pub async fn run(self, format: Format) -> Result<()> {
        match self.action {
            Action::Load(load) => load.run(format),
            Action::Pull(pull) => pull.run(format).await,
            Action::Ls(here) => list(here.data_dir, format).await,
            Action::Inspect(named) => inspect(named).await,
            Action::Rm(named) => remove(named, format).await,
            Action::Push(_) => bail!(
                "longshore does not push images: docker, podman and skopeo push to its registry \
                 (docs/guides/registry.md)"
            ),
            Action::Build(_) => bail!(
                "longshore does not build images: `buildah build` and `docker build` do, and push \
                 to its registry (docs/guides/registry.md)"
            ),
            Action::Prune(prune) => prune.run(format).await,
        }
    }
}

/// The image store of a data folder.
fn open(data_dir: Option<PathBuf>) -> Result<ImageStore> {
    let data = DataDir::create(&settings::data_dir(data_dir)?)?;
    Ok(ImageStore::open(data.images(), images::Settings::default())?)
}

/// Lists the images, the one that was used last first.
async fn list(data_dir: Option<PathBuf>, format: Format) -> Result<()> {
    let mut held = open(data_dir)?.inventory().await?;
    held.sort_by_key(|image| std::cmp::Reverse(image.used_at));
    if format == Format::Json {
        let entry = |image: &images::Held| {
            serde_json::json!({
                "reference": image.reference.to_string(),
                "bytes": image.bytes,
                "pulled": image.was_pulled,
                "inUse": image.is_in_use,
                "usedAt": image.used_at.to_string(),
            })
        };
        return Ok(output::json(&held.iter().map(entry).collect::<Vec<_>>())?);
    }
    for image in &held {
        let used = if image.is_in_use { ", in use" } else { "" };
        say!("{}  {} MiB{used}", image.reference.familiar(), image.bytes / (1024 * 1024));
    }
    Ok(())
}

/// The image of this name, or an error that says that there is none.
async fn found(store: &ImageStore, reference: &ImageReference) -> Result<Image> {
    let found = store.find(reference).await?;
    found.with_context(|| format!("there is no image {reference}; `longshore image ls` lists them"))
}

/// Tells what is known of an image.
async fn inspect(named: Named) -> Result<()> {
    let image = found(&open(named.data_dir)?, &named.reference).await?;
    let layer = |layer: &images::Layer| {
        serde_json::json!({
            "digest": layer.digest.to_string(),
            "diffId": layer.diff_id.to_string(),
            "bytes": layer.size_bytes,
        })
    };
    let config = &image.config;
    output::json(&serde_json::json!({
        "reference": image.reference.to_string(),
        "digest": image.digest.to_string(),
        "configDigest": image.config_digest.to_string(),
        "layers": image.layers.iter().map(layer).collect::<Vec<_>>(),
        "entrypoint": config.entrypoint,
        "cmd": config.cmd,
        "env": config.env,
        "user": config.user,
    }))?;
    Ok(())
}

/// Forgets an image.
async fn remove(named: Named, format: Format) -> Result<()> {
    let store = open(named.data_dir)?;
    found(&store, &named.reference).await?;
    store.remove(&named.reference).await?;
    if format == Format::Json {
        let reference = named.reference.to_string();
        return Ok(output::json(&serde_json::json!({ "removed": reference }))?);
    }
    say!("removed {}", named.reference);
    Ok(())
}

impl Pull {
    async fn run(self, format: Format) -> Result<()> {
        let auth = match &self.registries.registry_auth {
            Some(file) => registries::read(file)?.remove(self.reference.registry()),
            None => None,
        };
        let data = DataDir::create(&settings::data_dir(self.data_dir)?)?;
        let behavior = images::PullBehavior::Always;
        let authority = data.running().and_then(|running| running.ca);
        let store =
            node::open_images(&data, behavior, &self.registries, authority.as_deref(), None)
                .await?;
        let (progress, mut events) = Progress::channel(PROGRESS_EVENTS);
        let auth = auth.unwrap_or_default();
        let pulling = store.pull(&self.reference, &auth, progress);
        tokio::pin!(pulling);
        let mut came = Came::default();
        let pulled = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => came.show(event, format),
                pulled = &mut pulling => break pulled?,
            }
        };
        let image = pulled.image;
        if format == Format::Json {
            let (reference, digest) = (image.reference.to_string(), image.digest.to_string());
            return Ok(output::json(
                &serde_json::json!({ "reference": reference, "digest": digest }),
            )?);
        }
        say!("pulled {} {}", image.reference, image.digest);
        Ok(())
    }
}

/// How far a pull has come: told in tenths of the whole.
#[derive(Default)]
struct Came {
    total_bytes: u64,
    layers: BTreeMap<blobs::Digest, u64>,
    tenths: u64,
}

impl Came {
    fn show(&mut self, event: PullEvent, format: Format) {
        match event {
            PullEvent::Resolved { total_bytes, .. } => self.total_bytes = total_bytes,
            PullEvent::Fetching { layer, bytes, .. } | PullEvent::Ready { layer, bytes } => {
                self.layers.insert(layer, bytes);
            }
            PullEvent::Retrying { cause, attempt } => {
                eprintln!("attempt {attempt}: {cause}");
            }
            PullEvent::Unpacking { .. } => {}
        }
        let bytes: u64 = self.layers.values().sum();
        let tenths = bytes.saturating_mul(10) / self.total_bytes.max(1);
        if tenths > self.tenths && format != Format::Json {
            self.tenths = tenths;
            let mib = |bytes: u64| bytes / (1024 * 1024);
            eprintln!("{} of {} MiB", mib(bytes), mib(self.total_bytes));
        }
    }
}

impl Prune {
    async fn run(self, format: Format) -> Result<()> {
        let pruned = open(self.data_dir)?.prune().await?;
        if format == Format::Json {
            return Ok(output::json(&serde_json::json!({
                "layers": pruned.layers, "blobs": pruned.blobs, "bytes": pruned.bytes,
            }))?);
        }
        let (layers, blobs, mib) = (pruned.layers, pruned.blobs, pruned.bytes / (1024 * 1024));
        say!("deleted {layers} layers and {blobs} blobs ({mib} MiB)");
        Ok(())
    }
}

impl Load {
    fn run(self, format: Format) -> Result<()> {
        let load = self;
        let store = open(load.data_dir)?;
        let loaded = store.load_blocking(&load.file, load.name.as_ref())?;
        if format == Format::Json {
            let entry = |image: &Image| {
                serde_json::json!({
                    "reference": image.reference.to_string(),
                    "digest": image.digest.to_string(),
                })
            };
            return Ok(output::json(&loaded.iter().map(entry).collect::<Vec<_>>())?);
        }
        loaded.iter().for_each(|image| say!("loaded {} {}", image.reference, image.digest));
        Ok(())
    }
}
