//! `longshore image`: the images on this machine.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use runtime::Images;
use runtime::images::{self, Image, ImageReference, ImageStore};

use crate::data_dir::DataDir;
use crate::output::{self, Format, say};
use crate::settings;

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
    /// Delete what no image and no container needs; nothing else may use the store meanwhile
    #[command(after_help = "Example:\n  longshore image prune")]
    Prune(Prune),
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
            Action::Prune(prune) => prune.run(format).await,
        }
    }
}

/// The image store of a data folder.
fn open(data_dir: Option<PathBuf>) -> Result<ImageStore> {
    let data = DataDir::create(&settings::data_dir(data_dir)?)?;
    Ok(ImageStore::open(data.images(), images::Settings::default())?)
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
