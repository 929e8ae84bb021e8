//! What can go wrong, and what clients of the API are told of it; `registry/refusal.rs` tells clients
//! of the registry. Texts are those that were seen, where they are known (reference: registry
//! semantics §10), else ours.

use std::time::Duration;

use ledger::{LedgerError, TransactError};
use shapes_ecr::errors as codes;
use wire::ServiceError;

use crate::depot::DepotError;
use crate::model::ManifestError;

/// When a client is to try again that met a ledger with too many transactions waiting.
const CROWDED_RETRY: Duration = Duration::from_secs(2);

/// What a request names that a repository or registry has at most one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Single {
    /// A lifecycle policy.
    LifecyclePolicy,
    /// A preview of one.
    LifecyclePreview,
    /// A repository policy.
    RepositoryPolicy,
}

/// Every refusal, of the API and of the registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No such repository.
    #[error("The repository with name '{name}' does not exist in the registry with id '{account}'")]
    NoRepository {
        /// Its name.
        name: String,
        /// The registry.
        account: String,
    },
    /// There is one of that name.
    #[error("The repository with name '{name}' already exists in the registry with id '{account}'")]
    RepositoryExists {
        /// Its name.
        name: String,
        /// The registry.
        account: String,
    },
    /// It has images.
    #[error(
        "The repository with name '{name}' in registry with id '{account}' cannot be deleted \
         because it still contains images"
    )]
    NotEmpty {
        /// Its name.
        name: String,
        /// The registry.
        account: String,
    },
    /// No such image.
    #[error(
        "The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within \
         the repository with name '{name}' in the registry with id '{account}'"
    )]
    NoImage {
        /// The digest that was named, or `null`.
        digest: String,
        /// The tag that was named, or `null`.
        tag: String,
        /// The repository.
        name: String,
        /// The registry.
        account: String,
    },
    /// The same digest has the same tag, or is there without one.
    #[error(
        "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name \
         '{name}' in registry with id '{account}'"
    )]
    ImageExists {
        /// The digest.
        digest: String,
        /// The tag, or `null`.
        tag: String,
        /// The repository.
        name: String,
        /// The registry.
        account: String,
    },
    /// The tag may not move.
    #[error(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten \
         because the repository is immutable."
    )]
    TagExists {
        /// The tag.
        tag: String,
        /// The repository.
        name: String,
    },
    /// Another image, or the manifest's own index, needs it.
    #[error("The image '{digest}' is referenced by the manifest list or index '{parent}'")]
    Referenced {
        /// The image.
        digest: String,
        /// What needs it.
        parent: String,
    },
    /// The manifest has another digest than was said.
    #[error("The digest '{given}' does not match the manifest, whose digest is '{actual}'")]
    DigestDiffers {
        /// What was said.
        given: String,
        /// What it is.
        actual: String,
    },
    /// The manifest names blobs that the repository has not.
    #[error(
        "The required layers do not exist in the repository with name '{name}' in the registry \
         with id '{account}': {}", .digests.join(", ")
    )]
    NoLayers {
        /// The repository.
        name: String,
        /// The registry.
        account: String,
        /// The blobs.
        digests: Vec<String>,
    },
    /// The index names manifests that the repository has not.
    #[error(
        "The following images do not exist in the repository with name '{name}' in the registry \
         with id '{account}': {}", .digests.join(", ")
    )]
    NoReferencedImages {
        /// The repository.
        name: String,
        /// The registry.
        account: String,
        /// The manifests.
        digests: Vec<String>,
    },
    /// A descriptor tells another length than the content has.
    #[error("the manifest says that {digest} has {said} bytes; it has {actual}")]
    SizeDiffers {
        /// The content.
        digest: String,
        /// What the manifest says.
        said: u64,
        /// What it has.
        actual: u64,
    },
    /// The manifest cannot be kept.
    #[error("{}", of_manifest(.0))]
    Manifest(#[from] ManifestError),
    /// No such upload, or it has ended.
    #[error("The upload with id '{0}' could not be found")]
    NoUpload(String),
    /// A part that does not follow the last one.
    #[error(
        "Layer part does not begin where the last one ended: expected byte {expected}, got {got}"
    )]
    Part {
        /// The byte that comes next.
        expected: u64,
        /// The byte that was named.
        got: u64,
        /// The upload.
        upload: String,
        /// The repository.
        name: String,
        /// The registry.
        account: String,
    },
    /// A part's length is not what its ends say.
    #[error("Layer part has {actual} bytes, but partFirstByte and partLastByte say {said}")]
    PartLength {
        /// What the ends say.
        said: i64,
        /// What came.
        actual: u64,
    },
    /// The bytes have another digest.
    #[error("The digest of the layer does not match: expected {expected}")]
    LayerDiffers {
        /// What was said.
        expected: String,
    },
    /// The repository has it.
    #[error("Layer with digest '{0}' already exists")]
    LayerExists(String),
    /// Nothing was uploaded.
    #[error("The upload with id '{0}' does not have any layer parts")]
    EmptyUpload(String),
    /// No such layer.
    #[error("Layer with digest '{digest}' does not exist in the repository '{name}'")]
    NoLayer {
        /// The layer.
        digest: String,
        /// The repository.
        name: String,
    },
    /// There is none of these.
    #[error("{text}")]
    None {
        /// Of which.
        what: Single,
        /// For people.
        text: String,
    },
    /// No such thing of a registry: the model's error, and the text.
    #[error("{1}")]
    Of(wire::ErrorModel, String),
    /// A parameter is wrong.
    #[error("Invalid parameter at '{field}' failed to satisfy constraint: '{why}'")]
    Parameter {
        /// Its name, as in the API.
        field: &'static str,
        /// What it must be.
        why: String,
    },
    /// A policy that is none; what is wrong with it stands beside ECR's words, which do not say.
    #[error(
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy \
         provided'"
    )]
    Policy(String),
    /// There is as much as there may be.
    #[error("{0}")]
    Limit(String),
    /// Not with these rights.
    #[error("{0}")]
    Denied(String),
    /// Part of an operation that is not built.
    #[error("Longshore does not implement {what} in ecr:{operation} yet; see docs/support.md")]
    NotBuilt {
        /// The operation.
        operation: &'static str,
        /// What of it.
        what: String,
    },
    /// The bytes could not be stored or read.
    #[error("The registry's storage failed; try again.")]
    Depot(#[source] DepotError),
    /// The ledger could not commit.
    #[error("The change could not be stored; try again.")]
    Storage(#[source] Box<LedgerError>),
}

impl Error {
    /// A wrong parameter.
    pub(crate) fn parameter(field: &'static str, why: impl Into<String>) -> Self {
        Self::Parameter { field, why: why.into() }
    }

    fn code(&self) -> (&'static str, u16) {
        let model = match self {
            Self::NotBuilt { .. } => return ("NotImplementedException", 501),
            Self::Denied(_) => return ("AccessDeniedException", 400),
            Self::Storage(_) | Self::Depot(_) => codes::SERVER,
            Self::NoRepository { .. } => codes::REPOSITORY_NOT_FOUND,
            Self::RepositoryExists { .. } => codes::REPOSITORY_ALREADY_EXISTS,
            Self::NotEmpty { .. } => codes::REPOSITORY_NOT_EMPTY,
            Self::NoImage { .. } => codes::IMAGE_NOT_FOUND,
            Self::ImageExists { .. } => codes::IMAGE_ALREADY_EXISTS,
            Self::TagExists { .. } => codes::IMAGE_TAG_ALREADY_EXISTS,
            Self::DigestDiffers { .. } => codes::IMAGE_DIGEST_DOES_NOT_MATCH,
            Self::NoLayers { .. } => codes::LAYERS_NOT_FOUND,
            Self::NoReferencedImages { .. } => codes::REFERENCED_IMAGES_NOT_FOUND,
            Self::NoUpload(_) => codes::UPLOAD_NOT_FOUND,
            Self::Part { .. } => codes::INVALID_LAYER_PART,
            Self::LayerDiffers { .. } => codes::INVALID_LAYER,
            Self::LayerExists(_) => codes::LAYER_ALREADY_EXISTS,
            Self::EmptyUpload(_) => codes::EMPTY_UPLOAD,
            Self::NoLayer { .. } => codes::LAYERS_NOT_FOUND,
            Self::None { what: Single::LifecyclePolicy, .. } => codes::LIFECYCLE_POLICY_NOT_FOUND,
            Self::None { what: Single::LifecyclePreview, .. } => {
                codes::LIFECYCLE_POLICY_PREVIEW_NOT_FOUND
            }
            Self::None { what: Single::RepositoryPolicy, .. } => codes::REPOSITORY_POLICY_NOT_FOUND,
            Self::Of(model, _) => *model,
            Self::Limit(_) => codes::LIMIT_EXCEEDED,
            Self::Referenced { .. }
            | Self::SizeDiffers { .. }
            | Self::Manifest(_)
            | Self::PartLength { .. }
            | Self::Policy(_)
            | Self::Parameter { .. } => codes::INVALID_PARAMETER,
        };
        (model.code, model.status)
    }

    /// Says what failed inside, to the log alone.
    pub(crate) fn log(&self) {
        match self {
            Self::Storage(cause) => tracing::error!(%cause, "the ledger did not commit"),
            Self::Depot(cause) => {
                tracing::error!(cause = terms::with_causes(cause), "the registry's storage failed")
            }
            _ => {}
        }
    }
}

impl From<Error> for ServiceError {
    fn from(error: Error) -> Self {
        if let Error::Storage(cause) = &error {
            match **cause {
                LedgerError::NotLeading { .. } => return Self::elsewhere(),
                LedgerError::Crowded => return Self::throttled(CROWDED_RETRY),
                _ => {}
            }
        }
        error.log();
        let (code, status) = error.code();
        let told = Self::new(code, status, error.to_string());
        match error {
            Error::Part { expected, upload, name, account, .. } => told
                .field("registryId", account)
                .field("repositoryName", name)
                .field("uploadId", upload)
                .field("lastValidByteReceived", expected.saturating_sub(1)),
            Error::Policy(why) => told.field("Detail", why),
            _ => told,
        }
    }
}

impl From<DepotError> for Error {
    fn from(error: DepotError) -> Self {
        match error {
            DepotError::Crowded => Self::Limit(error.to_string()),
            DepotError::Ledger(cause) => Self::Storage(cause),
            error => Self::Depot(error),
        }
    }
}

impl From<TransactError<Self>> for Error {
    fn from(error: TransactError<Self>) -> Self {
        match error {
            TransactError::Rejected(error) => error,
            TransactError::Ledger(cause) => Self::Storage(Box::new(cause)),
        }
    }
}

/// ECR tells of a manifest without a type in other words than of one with a fault.
fn of_manifest(error: &ManifestError) -> String {
    match error {
        ManifestError::Untyped => error.to_string(),
        ManifestError::TooLarge
        | ManifestError::Json(_)
        | ManifestError::Unsupported(_)
        | ManifestError::Invalid(_) => {
            format!("Invalid parameter at 'ImageManifest' failed to satisfy constraint: '{error}'")
        }
    }
}
