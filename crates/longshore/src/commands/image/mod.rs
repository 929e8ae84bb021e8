//! `longshore image`: the images on this machine.

mod bar;
mod push;

use std::cell::RefCell;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use runtime::Images;
use runtime::images::{self, Image, ImageReference, ImageStore};

use crate::data_dir::DataDir;
use crate::output::{self, Format, say};
use crate::registries::RegistryFlags;
use crate::{node, settings};

use bar::Bar;

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
    /// Bring an image to a registry: one that was loaded, or pulled from elsewhere
    #[command(
        after_help = "Example:\n  longshore image push nginx --to 000000000000.dkr.ecr.us-east-1.amazonaws.com/nginx:1.27"
    )]
    Push(push::Push),
    /// List the images
    #[command(after_help = "Example:\n  longshore image ls")]
    Ls(Here),
    /// Tell what is known of an image, in JSON
    #[command(after_help = "Example:\n  longshore image inspect nginx")]
    Inspect(Named),
    /// Forget an image; `longshore image prune` then frees the disk
    #[command(after_help = "Example:\n  longshore image rm nginx:1.27")]
    Rm(Named),
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
            Action::Push(push) => push.run(format).await,
            Action::Build(_) => bail!(
                "longshore does not build images: `buildah build` and `docker build` do, and push \
                 to its registry (docs/guides/registry.md)"
            ),
            Action::Prune(prune) => prune.run(format).await,
        }
    }
}

/// The data folder of somebody who has run on this machine.
fn existing(data_dir: Option<PathBuf>) -> Result<DataDir> {
    let data = DataDir::at(settings::data_dir(data_dir)?);
    match data.path().is_dir() {
        true => Ok(data),
        false => bail!(
            "there is no data folder {}; name that of the server or agent with --data-dir",
            data.path().display()
        ),
    }
}

/// The image store of such a folder.
fn open(data_dir: Option<PathBuf>) -> Result<ImageStore> {
    let data = existing(data_dir)?;
    Ok(ImageStore::open(data.images(), images::Settings::default())?)
}

/// The data folder that images are to come to; told about where nobody has run with it yet, for then it may
/// be the wrong one.
fn receiving(data_dir: Option<PathBuf>) -> Result<DataDir> {
    let data = DataDir::create(&settings::data_dir(data_dir)?)?;
    if data.running().is_none() && data.nodes().is_empty() {
        eprintln!(
            "longshore: no server and no agent has run with {} yet; another folder is named with \
             --data-dir",
            data.path().display()
        );
    }
    Ok(data)
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
        // A small one is not nothing.
        let tenths = image.bytes.saturating_mul(10).div_ceil(1024 * 1024);
        let size = format!("{}.{}", tenths / 10, tenths % 10);
        say!("{}  {size} MiB{used}", image.reference.familiar());
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

/// Tells what became of an image, and by what digest it is known there.
fn tell(
    deed: &str,
    (reference, digest): (&ImageReference, &blobs::Digest),
    format: Format,
) -> Result<()> {
    if format == Format::Json {
        let (reference, digest) = (reference.to_string(), digest.to_string());
        return Ok(output::json(&serde_json::json!({ "reference": reference, "digest": digest }))?);
    }
    say!("{deed} {reference} {digest}");
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
        let data = receiving(self.data_dir)?;
        let auth = push::credentials(&self.registries, &data, &self.reference).await?;
        let behavior = images::PullBehavior::Always;
        let authority = data.running().and_then(|running| running.ca);
        let store =
            node::open_images(&data, behavior, &self.registries, authority.as_deref(), None)
                .await?;
        let pulled = bar::watched(format, |progress| store.pull(&self.reference, &auth, progress));
        let pulled = pulled.await.map_err(|error| {
            let is_denied = error.is_denied();
            push::or_log_in(error.into(), is_denied, &auth)
        });
        let image = pulled?.image;
        tell("pulled", (&image.reference, &image.digest), format)
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
        let data = receiving(self.data_dir)?;
        let store = ImageStore::open(data.images(), images::Settings::default())?;
        let bar = RefCell::new(Bar::new(format));
        let watch = |bytes, total| bar.borrow_mut().show(bytes, total);
        let loaded = store.load_blocking(&self.file, self.name.as_ref(), &watch);
        bar.borrow_mut().end();
        let loaded = loaded?;
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
        // Another folder than the server's is easily meant, and the image is not found there.
        say!("into {}", data.path().display());
        Ok(())
    }
}
