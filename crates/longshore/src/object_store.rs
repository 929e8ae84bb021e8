//! Where an instance gets objects of S3 from: the files that `environmentFiles` names.

use std::path::PathBuf;

use agent::transport::Objects;
use anyhow::{Result, bail};
use clap::Args;

use crate::data_dir::DataDir;

/// Flags about objects, of whoever runs container instances.
#[derive(Args, Clone, Debug, Default)]
pub struct ObjectFlags {
    /// The folder that stands in for S3: the object KEY of BUCKET is DIR/BUCKET/KEY [default: s3 in
    /// the data folder]
    #[arg(long, value_name = "DIR", env = "LONGSHORE_S3_ROOT")]
    pub s3_root: Option<PathBuf>,
    /// A server that speaks S3's protocol, in place of a folder; requests are signed with the task's
    /// execution role
    #[arg(long, value_name = "URL", env = "LONGSHORE_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,
}

impl ObjectFlags {
    /// Where objects come from.
    ///
    /// # Errors
    /// If a folder and a server are named both, or the server's URL is none.
    pub fn objects(&self, data: &DataDir) -> Result<Objects> {
        match (&self.s3_root, &self.s3_endpoint) {
            (Some(_), Some(_)) => {
                bail!("objects come from one place: --s3-root or --s3-endpoint, not both")
            }
            (Some(folder), None) => Ok(Objects::Folder(std::path::absolute(folder)?)),
            (None, Some(url)) if url.starts_with("http://") || url.starts_with("https://") => {
                Ok(Objects::Endpoint(url.trim_end_matches('/').to_owned()))
            }
            (None, Some(url)) => {
                bail!("--s3-endpoint {url}: it is not a URL of the form http://HOST:PORT")
            }
            (None, None) => Ok(Objects::Folder(data.objects())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_from_one_place() {
        let data = DataDir::at("/d".into());
        let read = |root: Option<&str>, endpoint: Option<&str>| {
            let flags = ObjectFlags {
                s3_root: root.map(PathBuf::from),
                s3_endpoint: endpoint.map(str::to_owned),
            };
            flags.objects(&data)
        };
        assert_eq!(read(None, None).unwrap(), Objects::Folder("/d/s3".into()));
        assert_eq!(read(Some("/o"), None).unwrap(), Objects::Folder("/o".into()));
        let url = Objects::Endpoint("http://h:9000".to_owned());
        assert_eq!(read(None, Some("http://h:9000/")).unwrap(), url);
        assert!(read(None, Some("h:9000")).is_err());
        assert!(read(Some("/o"), Some("http://h:9000")).is_err());
    }
}
