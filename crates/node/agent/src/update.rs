//! The agent's own replacement (agent-protocol §2.5): who fetches the program, and who starts it.

use async_trait::async_trait;

/// Replaces the agent's program. [`crate::Agent`] is told by the control plane and asks; an agent
/// without one refuses.
#[async_trait]
pub trait Updates: Send + Sync + 'static {
    /// Fetches the program that is at `location` on the control plane, and sees that its SHA-256 is
    /// `digest` (in hexadecimal) and that it is a program that this machine can run. Asked again for
    /// the same one, it answers as before.
    ///
    /// # Errors
    /// What went wrong, in Amazon's words: `Unable to download: …`, `Invalid update: …`.
    async fn stage(&self, location: &str, digest: &str) -> Result<(), String>;

    /// Whether this program was staged.
    fn is_staged(&self, digest: &str) -> bool;

    /// Ends this agent in order, and starts the staged program in its place.
    fn perform(&self, digest: &str);

    /// The control plane knows this agent: the program that it is works.
    fn registered(&self);
}
