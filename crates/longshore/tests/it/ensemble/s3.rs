//! A server that speaks S3's protocol, for a test: in memory, on a port of its own (moto).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

use crate::harness::fetch;

/// What it says when it is there.
const READY: &str = "Running on http://";
/// What keys are written to its servers' log by, if they are.
pub const SECRET: &str = "a-secret-of-the-bucket";

/// One with a bucket `images`.
pub struct S3 {
    child: Child,
    url: String,
    keys: NamedTempFile,
}

impl S3 {
    /// Starts it.
    pub fn start() -> Self {
        let mut child = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto is installed: ./x test does it");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let told = lines.by_ref().map_while(Result::ok).find(|line| line.contains(READY));
        let told = told.expect("it says where it is");
        let at = told.find(READY).expect("it is in the line") + READY.len() - "http://".len();
        let url = told[at..].trim().to_owned();
        // It writes a line for each request.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let made =
            Command::new("curl").args(["-sf", "-X", "PUT", &format!("{url}/images")]).output();
        assert!(made.unwrap().status.success(), "the bucket is made");
        let mut keys = NamedTempFile::new().unwrap();
        let text =
            format!("[default]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n");
        keys.write_all(text.as_bytes()).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(keys.path(), mode).unwrap();
        Self { child, url, keys }
    }

    /// The flags of servers that keep images there.
    pub fn flags(&self) -> Vec<String> {
        let store = format!("s3://images/longshore?endpoint={}", self.url);
        let keys = self.keys.path().display().to_string();
        ["--registry-store", &store, "--registry-store-credentials", &keys]
            .map(str::to_owned)
            .to_vec()
    }

    /// How many objects there are in a folder.
    pub fn count(&self, folder: &str) -> usize {
        let url = format!("{}/images?list-type=2&prefix=longshore/{folder}/", self.url);
        fetch(&url).expect("it lists").matches("<Key>").count()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
