//! What `docker save` writes: `manifest.json` names a configuration and layer tars for each image.

use blobs::Digest;
use serde::Deserialize;

use super::source::Source;
use super::{Found, compose, layer_type};
use crate::images::ImageError;
use crate::images::manifest::{CONFIG_BYTES_MAX, ConfigDocument, LAYERS_MAX, MANIFEST_BYTES_MAX};
use crate::images::store::Shelves;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The images of `manifest.json`; `None` if there is none.
pub(super) fn find(
    shelves: &Shelves,
    source: &Source,
    added: &mut Vec<Digest>,
) -> Result<Option<Vec<Found>>, ImageError> {
    let Some(bytes) = source.read(shelves, "manifest.json", MANIFEST_BYTES_MAX, added)? else {
        return Ok(None);
    };
    let items: Vec<Item> = serde_json::from_slice(&bytes)
        .map_err(|error| ImageError::malformed("manifest.json", error))?;
    let found = items.iter().map(|item| find_one(shelves, source, item, added));
    found.collect::<Result<_, _>>().map(Some)
}

fn find_one(
    shelves: &Shelves,
    source: &Source,
    item: &Item,
    added: &mut Vec<Digest>,
) -> Result<Found, ImageError> {
    let missing = |name: &str| {
        ImageError::malformed("manifest.json", format!("it names '{name}', which is not there"))
    };
    if item.layers.len() > LAYERS_MAX {
        return Err(ImageError::TooLarge {
            what: "the image".to_owned(),
            actual: format!("{} layers", item.layers.len()),
            limit: format!("{LAYERS_MAX} layers"),
        });
    }
    let config = source
        .read(shelves, &item.config, CONFIG_BYTES_MAX, added)?
        .ok_or_else(|| missing(&item.config))?;
    ConfigDocument::parse(&config)?.check_against(item.layers.len())?;
    let mut layers = Vec::new();
    for name in &item.layers {
        let blob = source.blob(shelves, name, added)?;
        let (digest, size) = blob.ok_or_else(|| missing(name))?;
        layers.push((digest, size, layer_type(shelves, &digest)?));
    }
    let tags = item.repo_tags.iter().flatten();
    let names =
        tags.map(|tag| tag.parse().map_err(|error| ImageError::malformed("manifest.json", error)));
    let names = names.collect::<Result<_, _>>()?;
    Ok(Found { names, ..compose(shelves, &config, &layers, added)? })
}
