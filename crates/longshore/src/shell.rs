//! What a shell says of a server in the words of AWS's SDKs: their variables and shared files.
//!
//! Form: AWS SDKs and Tools Reference Guide, "Environment variables" and "Shared config and
//! credentials files".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::connection::Target;
use crate::data_dir::{Keys, PROFILE};
use crate::profile_files;

/// The region that is meant where none is said.
const REGION: &str = "us-east-1";

/// A shell's variables.
pub struct Shell<V>(V);

impl Shell<()> {
    /// This process's.
    pub fn own() -> Shell<impl Fn(&str) -> Option<String>> {
        Shell(|name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }
}

impl<V: Fn(&str) -> Option<String>> Shell<V> {
    /// What is enough to call a server: the keys of the shell or the profile that it names, if they are for a
    /// URL of its own and not for AWS; else the profile `longshore`. `endpoint` stands in for a URL
    /// that this one does not name.
    pub fn target(&self, endpoint: Option<&str>) -> Option<Target> {
        let named = || self.profile(&self.variable("AWS_PROFILE")?, None);
        self.keys().or_else(named).or_else(|| self.profile(PROFILE, endpoint))
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    fn region(&self) -> String {
        let said = self.variable("AWS_REGION").or_else(|| self.variable("AWS_DEFAULT_REGION"));
        said.unwrap_or_else(|| REGION.to_owned())
    }

    /// The keys that are variables themselves.
    fn keys(&self) -> Option<Target> {
        Some(Target {
            endpoint: self.variable("AWS_ENDPOINT_URL")?,
            region: self.region(),
            keys: Keys {
                access_key_id: self.variable("AWS_ACCESS_KEY_ID")?,
                secret_access_key: self.variable("AWS_SECRET_ACCESS_KEY")?,
            },
            session_token: self.variable("AWS_SESSION_TOKEN"),
            ca: self.variable("AWS_CA_BUNDLE").map(PathBuf::from),
        })
    }

    /// A profile of the shared files, if that is enough to call a server, which may be named otherwise.
    pub fn profile(&self, name: &str, endpoint: Option<&str>) -> Option<Target> {
        let section = if name == "default" { name.to_owned() } else { format!("profile {name}") };
        let mut config = self.section("AWS_CONFIG_FILE", "config", &section)?;
        let mut credentials = self.section("AWS_SHARED_CREDENTIALS_FILE", "credentials", name)?;
        Some(Target {
            // Clients of AWS take one URL; ours take a list besides.
            endpoint: config
                .remove("longshore_servers")
                .or_else(|| config.remove("endpoint_url"))
                .or_else(|| endpoint.map(str::to_owned))
                .or_else(|| self.variable("AWS_ENDPOINT_URL"))?,
            ca: config
                .remove("ca_bundle")
                .or_else(|| self.variable("AWS_CA_BUNDLE"))
                .map(PathBuf::from),
            region: config.remove("region").unwrap_or_else(|| self.region()),
            session_token: credentials.remove("aws_session_token"),
            keys: Keys {
                access_key_id: credentials.remove("aws_access_key_id")?,
                secret_access_key: credentials.remove("aws_secret_access_key")?,
            },
        })
    }

    /// A section of the shared file that a variable names, else of the usual one.
    fn section(
        &self,
        variable: &str,
        usual: &str,
        section: &str,
    ) -> Option<BTreeMap<String, String>> {
        let path = match self.variable(variable) {
            Some(path) => PathBuf::from(path),
            None => Path::new(&self.variable("HOME")?).join(".aws").join(usual),
        };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Some(profile_files::section(&text, section))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    const CONFIG: &str = "[profile longshore]\nendpoint_url = http://own\nregion = eu-west-1\n\
                          [profile aws]\nregion = us-west-2\n";
    const CREDENTIALS: &str = "[longshore]\naws_access_key_id = LONGSHORE\naws_secret_access_key = s\n\
         [aws]\naws_access_key_id = AWS\naws_secret_access_key = s\n";

    /// The URL, the key and the region that a shell with these variables means.
    fn meant(variables: &[(&str, &str)], endpoint: Option<&str>) -> Option<[String; 3]> {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        fs::write(home.path().join(".aws/config"), CONFIG).unwrap();
        fs::write(home.path().join(".aws/credentials"), CREDENTIALS).unwrap();
        let home = home.path().display().to_string();
        let shell = Shell(|name: &str| {
            let all = [("HOME", home.as_str())].into_iter().chain(variables.iter().copied());
            all.rev().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
        });
        let target = shell.target(endpoint)?;
        Some([target.endpoint, target.keys.access_key_id, target.region])
    }

    #[track_caller]
    fn means(variables: &[(&str, &str)], endpoint: Option<&str>, expected: [&str; 3]) {
        assert_eq!(meant(variables, endpoint).unwrap(), expected);
    }

    #[test]
    fn a_shell_that_is_pointed_at_a_server_means_that_one() {
        let url = ("AWS_ENDPOINT_URL", "http://shell");
        means(&[url, ("AWS_PROFILE", "aws")], None, ["http://shell", "AWS", "us-west-2"]);
        let keys = [("AWS_ACCESS_KEY_ID", "KEY"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let [id, secret] = keys;
        means(&[url, id, secret], None, ["http://shell", "KEY", "us-east-1"]);
        let region = ("AWS_REGION", "ap-south-1");
        means(&[url, id, secret, region], None, ["http://shell", "KEY", "ap-south-1"]);
    }

    #[test]
    fn keys_for_aws_are_not_taken_for_a_server() {
        let own = ["http://own", "LONGSHORE", "eu-west-1"];
        means(&[("AWS_PROFILE", "aws")], Some("http://flag"), own);
        means(&[("AWS_ACCESS_KEY_ID", "KEY"), ("AWS_SECRET_ACCESS_KEY", "s")], None, own);
        means(&[], None, own);
    }

    #[test]
    fn without_any_keys_nothing_is_meant() {
        let nowhere = ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
        assert_eq!(meant(&[nowhere, ("AWS_ENDPOINT_URL", "http://shell")], None), None);
    }
}
