//! `longshore profile`: an AWS profile that points the CLI and the SDKs at Longshore.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::data_dir::{self, DataDir, PROFILE};
use crate::output::{self, Format, say};
use crate::profile_files::with_section;
use crate::settings;

/// Flags of `longshore profile`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  longshore profile && AWS_PROFILE=longshore aws ecs list-clusters"
)]
pub struct Profile {
    /// The name of the profile
    #[arg(long, default_value = PROFILE)]
    name: String,
    /// Show the change without making it
    #[arg(long)]
    dry_run: bool,
    /// The server's data folder [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// One file and what it is to hold.
pub struct Change {
    path: PathBuf,
    before: String,
    after: String,
}

impl Change {
    /// The file.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }
}

/// Writes a file that is to change.
///
/// # Errors
/// If it cannot be written.
pub fn put(change: &Change) -> Result<()> {
    if change.before == change.after { Ok(()) } else { apply(change) }
}

impl Profile {
    /// Writes endpoint, region and keys into the shared files and shows the changed lines.
    ///
    /// # Errors
    /// If no server has run with this data folder, or a file cannot be written.
    pub fn run(self, format: Format) -> Result<()> {
        let changes = self.changes()?;
        if !self.dry_run {
            changes.iter().try_for_each(put)?;
        }
        if format == Format::Json {
            let files: Vec<_> = changes.iter().map(|change| &change.path).collect();
            let told = serde_json::json!({
                "profile": self.name, "files": files, "written": !self.dry_run,
            });
            return Ok(output::json(&told)?);
        }
        changes.iter().for_each(show);
        if !self.dry_run {
            say!("Use it with:  export AWS_PROFILE={}", self.name);
            if let Some(other) = self.other_authority() {
                // Clients take the variable before the profile's `ca_bundle`.
                say!("and without AWS_CA_BUNDLE, which names {other}:  unset AWS_CA_BUNDLE");
            }
        }
        Ok(())
    }

    /// The file that the environment has clients trust, if it is not the server's authority.
    fn other_authority(&self) -> Option<String> {
        let ca = DataDir::at(settings::data_dir(self.data_dir.clone()).ok()?).running()?.ca?;
        let said = PathBuf::from(std::env::var_os("AWS_CA_BUNDLE")?);
        (said != ca).then(|| said.display().to_string())
    }

    fn changes(&self) -> Result<[Change; 2]> {
        let data = DataDir::at(settings::data_dir(self.data_dir.clone())?);
        let (Some(running), Some(keys)) = (data.running(), data.administrator()) else {
            bail!(
                "no server runs with the data folder {}; start one with 'longshore up', or name \
                 its folder with --data-dir",
                data.path().display()
            );
        };
        let ca = running.ca.as_ref().map(|ca| ca.display().to_string());
        let mut config =
            vec![("endpoint_url", running.endpoint.as_str()), ("region", running.region.as_str())];
        config.extend(ca.as_deref().map(|ca| ("ca_bundle", ca)));
        let credentials = [
            ("aws_access_key_id", keys.access_key_id.as_str()),
            ("aws_secret_access_key", keys.secret_access_key.as_str()),
        ];
        let section = match self.name.as_str() {
            "default" => "default".to_owned(),
            name => format!("profile {name}"),
        };
        Ok([
            change("AWS_CONFIG_FILE", "config", &section, &config)?,
            change("AWS_SHARED_CREDENTIALS_FILE", "credentials", &self.name, &credentials)?,
        ])
    }
}

/// What one shared file holds now, and with the section.
///
/// # Errors
/// If it cannot be read.
pub fn change(
    variable: &str,
    name: &str,
    section: &str,
    settings: &[(&str, &str)],
) -> Result<Change> {
    let path = match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => {
            let home =
                std::env::var_os("HOME").context("HOME is not set, so there is no ~/.aws")?;
            Path::new(&home).join(".aws").join(name)
        }
    };
    let before = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("reading {}", path.display()))?,
    };
    let after = with_section(&before, section, settings);
    Ok(Change { path, before, after })
}

fn apply(change: &Change) -> Result<()> {
    if let Some(folder) = change.path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    data_dir::write_private(&change.path, &change.after)
}

/// Prints the lines that go and come; secrets are shown by their first characters only.
fn show(change: &Change) {
    say!("{}", change.path.display());
    if change.before == change.after {
        say!("  (as it is)");
        return;
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (lines(&change.before), lines(&change.after));
    let hidden = |line: &str| match line.split_once("secret_access_key") {
        Some((key, _)) => format!("{key}secret_access_key = …"),
        None => line.to_owned(),
    };
    let gone = before.iter().filter(|line| !after.contains(line));
    let come = after.iter().filter(|line| !before.contains(line));
    gone.for_each(|line| say!("  - {}", hidden(line)));
    come.for_each(|line| say!("  + {}", hidden(line)));
}
