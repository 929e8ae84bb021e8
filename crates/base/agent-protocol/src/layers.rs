//! What agents and the control plane say to each other of layers, on the node channel: who has which,
//! and who fetches one from where.
//!
//! An agent that hands layers to others says so first ([`PeerServing`]). A server that knows of that
//! answers with [`PeersKnown`]; only then does the agent tell what it has and ask for more.

use serde::{Deserialize, Serialize};
use terms::TaskArn;

use crate::nullable;

/// The most layers in one [`LayersHeld`].
pub const MAX_LAYERS_PER_FRAME: usize = 512;

/// The longest name of a repository, URL or node that is read.
pub const MAX_NAME_BYTES: usize = 512;

/// The path of layers at a node that hands them out, followed by the digest.
pub const LAYER_PATH_PREFIX: &str = "/layers/";

/// This node hands layers to others, here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerServing {
    /// Where: `https://10.0.0.1:4567`; scheme, host and port alone. Required.
    pub url: String,
    /// The name that it joined by, which its certificate says. Required.
    pub name: String,
    /// What tickets for it are written with. Required; a secret of the node and the control plane.
    pub key: String,
}

/// Never the key.
impl std::fmt::Debug for PeerServing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerServing({} at {})", self.name, self.url)
    }
}

/// The control plane knows where layers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersKnown {}

/// Layers that a node has, besides those that it told before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayersHeld {
    /// At most [`MAX_LAYERS_PER_FRAME`].
    pub layers: Vec<HeldLayer>,
}

/// A layer of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldLayer {
    /// Host and name, as in `docker.io/library/nginx`.
    pub repository: String,
    /// The blob's digest, with its algorithm.
    pub digest: String,
}

/// Where is this layer to be fetched from?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerWanted {
    /// The agent's own number for it; comes back in [`LayerFrom`].
    pub request_id: u64,
    /// The layer.
    #[serde(flatten)]
    pub layer: HeldLayer,
    /// A task on this instance whose image is of the repository.
    pub task_arn: TaskArn,
    /// How long the layer is.
    pub size_bytes: u64,
    /// Peers that it would not go to again: [`LayerPeer::id`].
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub avoid: Vec<String>,
}

/// From here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerFrom {
    /// The agent's number.
    pub request_id: u64,
    /// The node that has it; none: the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<LayerPeer>,
}

/// A node that has a layer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerPeer {
    /// What it is called in [`LayerWanted::avoid`].
    pub id: String,
    /// The name that its certificate says.
    pub name: String,
    /// Scheme, host and port.
    pub url: String,
    /// What it wants to be shown.
    pub ticket: String,
}

/// Never the ticket.
impl std::fmt::Debug for LayerPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LayerPeer({} at {})", self.name, self.url)
    }
}

/// How it went with a layer, whoever said where from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerEnded {
    /// The layer.
    #[serde(flatten)]
    pub layer: HeldLayer,
    /// Whether the node has it now.
    pub is_here: bool,
    /// What went wrong with the peer that it was sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<PeerTrouble>,
}

/// What a node says of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerTrouble {
    /// It has the layer no more.
    Gone,
    /// It cannot be reached, breaks off, or refuses.
    Unreachable,
    /// It sends too little.
    Slow,
    /// It sent other bytes than the digest says.
    Corrupt,
}
