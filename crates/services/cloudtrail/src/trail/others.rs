//! What servers of one control plane ask each other of their trails.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Entry, Filter, Place, Trail, TrailError, Verified};

/// What all paths begin with at which servers answer each other.
pub const SERVERS_PATHS: &str = "/_longshore/servers/";
/// Where servers answer each other about their trails.
pub const SERVERS_PATH: &str = "/_longshore/servers/audit";

/// A question about one server's trail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Question {
    /// Which lines are wanted, from where on, and at most how many.
    Look {
        /// What lines.
        filter: Box<Filter>,
        /// From where on.
        place: Place,
        /// At most so many.
        limit: usize,
    },
    /// Whether the chain holds, and whether a line has this hash.
    Verify {
        /// A hash that was noted before.
        noted: Option<String>,
    },
}

/// What a server answers of its trail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Lines, and where to go on if there may be more.
    Lines(Vec<Entry>, Option<Place>),
    /// A chain that holds, and whether it has the hash that was noted.
    Holds(Verified, bool),
    /// A chain that is broken, and where.
    Broken(String),
}

/// The other servers of the control plane. Implemented by who knows them.
#[async_trait]
pub trait Others: Send + Sync + 'static {
    /// What this server is called among them: its URL.
    fn own(&self) -> String;

    /// The URLs of all others whose trails count.
    async fn servers(&self) -> Vec<String>;

    /// What one of them answers.
    ///
    /// # Errors
    /// Why it does not, for people.
    async fn ask(&self, server: &str, question: Question) -> Result<Answer, String>;
}

impl Trail {
    /// Answers another server, of this trail alone.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub async fn answer(&self, question: Question) -> Result<Answer, TrailError> {
        match question {
            Question::Look { filter, place, limit } => {
                let (entries, next) = self.look(*filter, place, limit).await?;
                Ok(Answer::Lines(entries, next))
            }
            Question::Verify { noted } => match self.verify(noted).await {
                Ok((verified, has_noted)) => Ok(Answer::Holds(verified, has_noted)),
                Err(error @ TrailError::Broken { .. }) => Ok(Answer::Broken(error.to_string())),
                Err(error) => Err(error),
            },
        }
    }
}
