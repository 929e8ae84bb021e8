//! Manifests as they are pushed: what they say, and whether they may be kept (OCI image
//! specification 1.1; limits are ours where it has none).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ContentDigest;

/// OCI's index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A draft that was dropped; clients then try an image manifest.
const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// The largest manifest, in bytes (ECR's `ImageManifest`; what clients read at most is little more).
pub(crate) const MANIFEST_BYTES_MAX: usize = 4_194_304;
/// How deep lists and objects may lie in each other.
const DEPTH_MAX: usize = 64;
/// The most descriptors in one manifest.
const DESCRIPTORS_MAX: usize = 1_000;

/// What a manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChildKind {
    /// A configuration, a layer, or a blob that an index names.
    Blob,
    /// A manifest or an index.
    Image,
}

/// Something that a manifest names and that must be in its repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Child {
    /// Its digest.
    pub(crate) digest: String,
    /// What it is.
    pub(crate) kind: ChildKind,
    /// Its length, as the manifest says.
    pub(crate) size_bytes: u64,
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    /// Longer than any registry takes.
    #[error("the manifest has more than {MANIFEST_BYTES_MAX} bytes")]
    TooLarge,
    /// No JSON, or of another form.
    #[error("Invalid JSON syntax: {0}")]
    Json(String),
    /// A type that this registry does not take, though others do.
    #[error("manifests of the type '{0}' are not supported")]
    Unsupported(String),
    /// Nobody says of which type it is.
    #[error("image manifest mediatype not provided in manifest or parameter")]
    Untyped,
    /// Anything else.
    #[error("{0}")]
    Invalid(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<serde_json::Value>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
    size: i64,
    urls: Option<Vec<String>>,
}

/// A manifest that may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Its type.
    pub(crate) media_type: String,
    /// Whether it names manifests.
    pub(crate) is_index: bool,
    /// See [`super::Image::artifact_type`].
    pub(crate) artifact_type: Option<String>,
    /// What must be in the repository.
    pub(crate) children: Vec<Child>,
    /// Bytes of layers and configuration.
    pub(crate) content_bytes: u64,
    /// The digest of what it refers to.
    pub(crate) subject: Option<String>,
    /// Its annotations.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Whether this registry keeps manifests of the type.
fn is_known_type(media_type: &str) -> bool {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_MANIFEST, DOCKER_LIST].contains(&media_type)
}

fn invalid<T>(text: impl Into<String>) -> Result<T, ManifestError> {
    Err(ManifestError::Invalid(text.into()))
}

impl Manifest {
    /// Reads a manifest that came with this type, without parameters.
    pub(crate) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge);
        }
        check_depth(bytes)?;
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Json(error.to_string()))?;
        let media_type = media_type(&document, content_type)?;
        match document.schema_version.as_ref().and_then(serde_json::Value::as_u64) {
            Some(2) => {}
            _ => return invalid("schemaVersion must be 2"),
        }
        let is_index = media_type == OCI_INDEX || media_type == DOCKER_LIST;
        let Document { config, layers, manifests, artifact_type, subject, annotations, .. } =
            document;
        let mut children = Vec::new();
        let (mut content_bytes, mut config_type) = (0_u64, None);
        if is_index {
            if layers.is_some() || config.is_some() {
                return invalid("an index has neither config nor layers");
            }
            let Some(manifests) = manifests else { return invalid("manifests is missing") };
            for descriptor in manifests {
                let kind = match descriptor.media_type.as_deref() {
                    Some(other) if !is_known_type(other) => ChildKind::Blob,
                    _ => ChildKind::Image,
                };
                children.push(child(&descriptor, kind)?);
            }
        } else {
            if manifests.is_some() {
                return invalid("a manifest has no manifests: its kind would be ambiguous");
            }
            let Some(config) = config else { return invalid("config is missing") };
            let Some(layers) = layers else { return invalid("layers is missing") };
            config_type.clone_from(&config.media_type);
            for descriptor in std::iter::once(&config).chain(&layers) {
                let named = child(descriptor, ChildKind::Blob)?;
                content_bytes = content_bytes.saturating_add(named.size_bytes);
                if !is_elsewhere(descriptor) {
                    children.push(named);
                }
            }
        }
        if children.len() > DESCRIPTORS_MAX {
            return invalid(format!("more than {DESCRIPTORS_MAX} descriptors"));
        }
        let subject = subject.map(|subject| digest_of(&subject.digest)).transpose()?;
        let artifact_type = artifact_type.filter(|text| !text.is_empty()).or(config_type);
        let annotations = annotations.unwrap_or_default();
        let media_type = media_type.to_owned();
        Ok(Self {
            media_type,
            is_index,
            artifact_type,
            children,
            content_bytes,
            subject,
            annotations,
        })
    }
}

/// Refuses what lies too deep, also in members that nobody here reads: others will.
fn check_depth(bytes: &[u8]) -> Result<(), ManifestError> {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in bytes {
        match (is_text, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => is_text = !is_text,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            let text = format!("it is nested over {DEPTH_MAX} deep");
            return Err(ManifestError::Json(text));
        }
    }
    Ok(())
}

/// The type: what the body and the request say must agree.
fn media_type(
    document: &Document,
    content_type: Option<&str>,
) -> Result<&'static str, ManifestError> {
    let told = document.media_type.as_deref();
    if let (Some(told), Some(content_type)) = (told, content_type)
        && told != content_type
    {
        return invalid(format!(
            "mediaType is '{told}', but the manifest was sent as '{content_type}'"
        ));
    }
    let named = told.or(content_type);
    let Some(named) = named else {
        return Err(ManifestError::Untyped);
    };
    if named == OCI_ARTIFACT {
        return Err(ManifestError::Unsupported(named.to_owned()));
    }
    if SCHEMA_1.contains(&named) {
        return invalid(format!("'{named}' (schema 1) is not kept; push with a newer client"));
    }
    let known = [OCI_INDEX, OCI_MANIFEST, DOCKER_MANIFEST, DOCKER_LIST];
    match known.into_iter().find(|known| *known == named) {
        Some(known) => Ok(known),
        None => invalid(format!("'{named}' is not a type of manifests")),
    }
}

fn child(descriptor: &Descriptor, kind: ChildKind) -> Result<Child, ManifestError> {
    let digest = digest_of(&descriptor.digest)?;
    match u64::try_from(descriptor.size) {
        Ok(size_bytes) => Ok(Child { digest, kind, size_bytes }),
        Err(_) => invalid(format!("the size of {digest} is negative")),
    }
}

fn digest_of(text: &str) -> Result<String, ManifestError> {
    let digest = text.parse::<ContentDigest>();
    digest
        .map(|digest| digest.to_string())
        .map_err(|error| ManifestError::Invalid(error.to_string()))
}

/// Whether a layer's bytes are never pushed.
fn is_elsewhere(descriptor: &Descriptor) -> bool {
    let media_type = descriptor.media_type.as_deref().unwrap_or_default();
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
        || descriptor.urls.as_ref().is_some_and(|urls| !urls.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(text: &str) -> String {
        blobs::Digest::of(text.as_bytes()).to_string()
    }

    fn manifest() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest("c"), "size": 2},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest("l"), "size": 40}],
        })
    }

    fn parse(value: &Value, content_type: Option<&str>) -> Result<Manifest, ManifestError> {
        Manifest::parse(&serde_json::to_vec(value).unwrap(), content_type)
    }

    #[test]
    fn manifests_are_read() {
        let read = parse(&manifest(), Some(OCI_MANIFEST)).unwrap();
        assert_eq!((read.is_index, read.content_bytes, read.children.len()), (false, 42, 2));
        assert_eq!(read.artifact_type.as_deref(), Some("application/vnd.oci.image.config.v1+json"));
        let mut foreign = manifest();
        foreign["layers"][0]["urls"] = json!(["https://elsewhere.test/x"]);
        foreign["subject"] = json!({"mediaType": OCI_MANIFEST, "digest": digest("s"), "size": 1});
        foreign["artifactType"] = json!("application/x");
        let read = parse(&foreign, None).unwrap();
        assert_eq!((read.children.len(), read.subject), (1, Some(digest("s"))));
        assert_eq!(read.artifact_type.as_deref(), Some("application/x"));
        let index = json!({"schemaVersion": 2, "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": digest("m"), "size": 1},
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest("l"), "size": 1},
        ]});
        let read = parse(&index, Some(OCI_INDEX)).unwrap();
        let kinds: Vec<_> = read.children.iter().map(|child| child.kind).collect();
        assert_eq!((kinds, read.artifact_type), (vec![ChildKind::Image, ChildKind::Blob], None));
        assert!(parse(&json!({"schemaVersion": 2, "manifests": []}), Some(OCI_INDEX)).is_ok());
    }

    #[test]
    fn what_cannot_be_kept_is_told() {
        let check = |change: &dyn Fn(&mut Value), content_type: Option<&str>, expected: &str| {
            let mut value = manifest();
            change(&mut value);
            let told = parse(&value, content_type).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        };
        let none = |_: &mut Value| {};
        check(&none, Some(DOCKER_MANIFEST), "but the manifest was sent as");
        check(&none, Some("application/json"), "but the manifest was sent as");
        check(&|v| v["mediaType"] = Value::Null, None, "not provided in manifest or parameter");
        check(&|v| v["mediaType"] = json!("text/plain"), None, "is not a type of manifests");
        check(&|v| v["mediaType"] = json!(SCHEMA_1[1]), None, "schema 1");
        check(&|v| v["mediaType"] = json!(OCI_ARTIFACT), None, "are not supported");
        check(&|v| v["schemaVersion"] = json!(1), None, "schemaVersion must be 2");
        check(&|v| v["schemaVersion"] = json!("2"), None, "schemaVersion must be 2");
        check(&|v| v["manifests"] = json!([]), None, "ambiguous");
        check(&|v| v["config"] = Value::Null, None, "config is missing");
        check(&|v| v["layers"] = Value::Null, None, "layers is missing");
        check(&|v| v["layers"][0]["size"] = json!(-1), None, "is negative");
        check(&|v| v["layers"][0]["digest"] = json!("sha256:../../x"), None, "is not a digest");
        check(&|v| v["layers"][0]["digest"] = json!(7), None, "Invalid JSON syntax");
        check(&|v| v["annotations"] = json!({"a": 1}), None, "Invalid JSON syntax");
        let layer = manifest()["layers"][0].clone();
        check(&|v| v["layers"] = json!(vec![layer.clone(); 1_001]), None, "more than 1000");
        let deep = [&b"["[..]; 10_000].concat();
        assert!(matches!(Manifest::parse(&deep, None), Err(ManifestError::Json(_))));
        let nested =
            format!("{{\"schemaVersion\":2,\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(matches!(Manifest::parse(nested.as_bytes(), None), Err(ManifestError::Json(_))));
        let large = vec![b' '; MANIFEST_BYTES_MAX + 1];
        assert_eq!(Manifest::parse(&large, None), Err(ManifestError::TooLarge));
    }
}
