//! The documents of an image: index, manifest, configuration. Read leniently where registries and
//! tools differ, strictly where a mistake would matter.

use std::collections::BTreeMap;

use blobs::Digest;
use serde::{Deserialize, Serialize};

use super::{ImageConfig, ImageError};

/// The largest manifest or index; what registries accept (distribution, zot, ECR).
pub(super) const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The largest image configuration.
pub(super) const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The most layers of an image; Docker's limit as well.
pub(super) const LAYERS_MAX: usize = 127;
/// The most entries of an index.
const INDEX_ENTRIES_MAX: usize = 1000;

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The machine that images must be made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Go's name of the operating system: `linux`.
    pub os: String,
    /// Go's name of the processor: `amd64`, `arm64`.
    pub architecture: String,
}

impl Platform {
    /// This machine.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned() }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// What a document says about another one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<DescriptorPlatform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DescriptorPlatform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
}

/// A manifest or an index, told apart.
#[derive(Debug, Clone)]
pub(super) enum Document {
    Manifest(Manifest),
    Index(Vec<Descriptor>),
}

/// What an image consists of.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// Both kinds in one, as they come.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: Option<u32>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Parses a document of at most [`MANIFEST_BYTES_MAX`]. `content_type` is what its carrier called
    /// it, if it did.
    pub(super) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ImageError> {
        let raw: RawDocument = serde_json::from_slice(bytes)
            .map_err(|error| ImageError::malformed("the image manifest", error))?;
        let stated = raw.media_type.as_deref().or(content_type).unwrap_or_default();
        if raw.schema_version == Some(1) || stated.contains("docker.distribution.manifest.v1+") {
            let problem = "it has the old schema 1; push the image again with a current tool";
            return Err(ImageError::unsupported("the image manifest", problem));
        }
        match (raw.manifests, raw.config, raw.layers) {
            // Which of both is meant would be the reader's choice: CVE-2021-41190.
            (Some(_), _, Some(_)) | (Some(_), Some(_), _) => {
                let problem = "it has both 'layers' and 'manifests'";
                Err(ImageError::malformed("the image manifest", problem))
            }
            (Some(entries), None, None) if entries.len() > INDEX_ENTRIES_MAX => {
                Err(too_large("the image index", entries.len(), INDEX_ENTRIES_MAX, "entries"))
            }
            (Some(entries), None, None) => Ok(Self::Index(entries)),
            (None, Some(config), layers) => {
                Manifest::new(config, layers.unwrap_or_default()).map(Self::Manifest)
            }
            (None, None, _) => {
                let problem = "it has neither 'config' nor 'manifests'";
                Err(ImageError::malformed("the image manifest", problem))
            }
        }
    }
}

impl Manifest {
    fn new(config: Descriptor, layers: Vec<Descriptor>) -> Result<Self, ImageError> {
        if layers.len() > LAYERS_MAX {
            return Err(too_large("the image", layers.len(), LAYERS_MAX, "layers"));
        }
        if config.size > CONFIG_BYTES_MAX {
            let (size, max) = (config.size as usize, CONFIG_BYTES_MAX as usize);
            return Err(too_large("the image configuration", size, max, "bytes"));
        }
        if !matches!(config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG | "") {
            let problem = format!(
                "its configuration has type {}: it is an artifact, not a container image",
                config.media_type
            );
            return Err(ImageError::unsupported("the image", problem));
        }
        if let Some(layer) = layers.iter().find(|layer| is_encrypted(&layer.media_type)) {
            let problem = format!("layer {} is encrypted", layer.digest);
            return Err(ImageError::unsupported("the image", problem));
        }
        Ok(Self { schema_version: 2, media_type: OCI_MANIFEST, config, layers })
    }

    /// The manifest of an image that came without one. The same parts give the same bytes.
    pub(super) fn compose(
        config: (Digest, u64),
        layers: &[(Digest, u64, &'static str)],
    ) -> Result<Vec<u8>, ImageError> {
        let descriptor = |digest, size, media_type: &str| Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: None,
        };
        let layers = layers.iter().map(|&(digest, size, kind)| descriptor(digest, size, kind));
        let manifest = Self::new(descriptor(config.0, config.1, OCI_CONFIG), layers.collect())?;
        Ok(serde_json::to_vec(&manifest).expect("a manifest has only text keys"))
    }
}

fn is_encrypted(media_type: &str) -> bool {
    media_type.ends_with("+encrypted")
}

fn too_large(what: &str, actual: usize, limit: usize, unit: &str) -> ImageError {
    let (actual, limit) = (format!("{actual} {unit}"), format!("{limit} {unit}"));
    ImageError::TooLarge { what: what.to_owned(), actual, limit }
}

/// The index entry for `platform`, or what the index offers instead.
pub(super) fn choose<'a>(
    entries: &'a [Descriptor],
    platform: &Platform,
) -> Result<&'a Descriptor, String> {
    let fits = |entry: &&Descriptor| {
        let is_document = matches!(
            entry.media_type.as_str(),
            OCI_MANIFEST | OCI_INDEX | DOCKER_MANIFEST | DOCKER_LIST | ""
        );
        is_document
            && entry.platform.as_ref().is_none_or(|offered| {
                offered.os == platform.os && offered.architecture == platform.architecture
            })
    };
    // One that says its platform goes before one that does not (nested indexes do not).
    let stated = entries.iter().filter(fits).find(|entry| entry.platform.is_some());
    stated.or_else(|| entries.iter().find(fits)).ok_or_else(|| {
        let name = |offered: &DescriptorPlatform| {
            let variant = offered.variant.iter().map(|variant| format!("/{variant}"));
            format!("{}/{}{}", offered.os, offered.architecture, variant.collect::<String>())
        };
        let offered: Vec<_> = entries.iter().flat_map(|entry| &entry.platform).map(name).collect();
        if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") }
    })
}

/// An image's configuration document.
#[derive(Debug, Clone)]
pub(super) struct ConfigDocument {
    pub(super) diff_ids: Vec<Digest>,
    pub(super) config: ImageConfig,
}

#[derive(Deserialize)]
struct RawConfigDocument {
    config: Option<RawConfig>,
    rootfs: Option<RawRootFs>,
}

#[derive(Deserialize)]
struct RawRootFs {
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct RawConfig {
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    volumes: Option<BTreeMap<String, serde_json::Value>>,
    working_dir: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
    healthcheck: Option<RawHealthCheck>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawHealthCheck {
    test: Option<Vec<String>>,
}

impl ConfigDocument {
    /// Parses an image configuration.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let raw: RawConfigDocument = serde_json::from_slice(bytes)
            .map_err(|error| ImageError::malformed("the image configuration", error))?;
        let diff_ids = raw.rootfs.and_then(|rootfs| rootfs.diff_ids).unwrap_or_default();
        let config = raw.config.unwrap_or_default();
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let list = |words: Option<Vec<String>>| words.filter(|words| !words.is_empty());
        Ok(Self {
            diff_ids,
            config: ImageConfig {
                entrypoint: list(config.entrypoint),
                cmd: list(config.cmd),
                env: config.env.unwrap_or_default(),
                user: some(config.user),
                workdir: some(config.working_dir),
                stop_signal: some(config.stop_signal),
                exposed_ports: config.exposed_ports.unwrap_or_default().into_keys().collect(),
                volumes: config.volumes.unwrap_or_default().into_keys().collect(),
                labels: config.labels.unwrap_or_default(),
                health_check: list(config.healthcheck.and_then(|check| check.test)),
            },
        })
    }

    /// The configuration of an image that is nothing but a root file system.
    pub(super) fn compose(diff_id: &Digest, platform: &Platform) -> Vec<u8> {
        let document = serde_json::json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        serde_json::to_vec(&document).expect("plain JSON")
    }

    /// That there is a diff id for each layer.
    pub(super) fn check_against(&self, layers: usize) -> Result<(), ImageError> {
        if self.diff_ids.len() == layers {
            return Ok(());
        }
        let problem = format!("it names {} layers, the manifest has {layers}", self.diff_ids.len());
        Err(ImageError::malformed("the image configuration", problem))
    }
}
