//! Records, and what texts must look like; no I/O.

mod cache_rule;
mod digest;
mod glob;
mod image;
mod lifecycle;
mod manifest;
mod name;
mod private_registry;
mod replication;
mod repository;
mod scan;
mod settings;
mod stored;

pub(crate) use cache_rule::{CacheRule, CachedTag, ECR, ROOT, base_url, kind_of};
pub(crate) use digest::{Algorithm, ContentDigest, NoDigest};
pub(crate) use glob::matches_glob;
pub(crate) use image::{Image, Layer, Pull, Status, Tag};
pub(crate) use lifecycle::{Count, Rule, parse as parse_lifecycle};
pub(crate) use manifest::{
    Child, ChildKind, MANIFEST_BYTES_MAX, Manifest, ManifestError, OCI_INDEX,
};
pub(crate) use name::{is_repository_name, is_tag};
pub(crate) use private_registry::PrivateRegistry;
pub(crate) use replication::{Place, Progress, Replication, ReplicationRule, places_of};
pub(crate) use repository::{Encryption, Lifecycle, Mutability, Repository};
pub(crate) use scan::{Finding, Scan, ScanState};
pub(crate) use settings::{
    Filter, Preview, PreviewItem, RegistrySettings, ScanningRule, Signing, SigningRule, Template,
    Watch,
};
pub(crate) use stored::{Begun, Object};
