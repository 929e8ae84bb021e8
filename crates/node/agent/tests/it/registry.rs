//! A registry in this process, with one image, that counts what it is asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use blobs::Digest;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image: its documents, and its layers as tars.
pub struct Made {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
}

impl Made {
    /// With layers of about these sizes in bytes, no two the same: each has one file.
    pub fn of_layers(sizes: &[usize]) -> Self {
        let layers: Vec<_> = sizes.iter().enumerate().map(|(n, size)| layer(n, *size)).collect();
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = serde_json::to_vec(&json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }));
        let config = config.unwrap();
        let descriptor = |kind: &str, bytes: &[u8]| {
            let kind = format!("application/vnd.oci.image.{kind}");
            json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()})
        };
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor("config.v1+json", &config),
            "layers": layers.iter().map(|l| descriptor("layer.v1.tar", l)).collect::<Vec<_>>(),
        }));
        Self { manifest: manifest.unwrap(), config, layers }
    }
}

/// A tar of one file of so many bytes.
fn layer(number: usize, size: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(size as u64);
    let text: Vec<u8> = (0..size).map(|at| (at * (number + 7) / 13) as u8).collect();
    builder.append_data(&mut header, format!("file-{number}"), &text[..]).unwrap();
    builder.into_inner().unwrap()
}

/// A running registry.
#[derive(Clone)]
pub struct Registry {
    pub address: SocketAddr,
    answers: Arc<BTreeMap<String, (&'static str, Vec<u8>)>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// With the image as `v1` of a repository.
    pub async fn start(repository: &str, image: &Made) -> Self {
        let mut answers = BTreeMap::from([("/v2/".to_owned(), ("application/json", Vec::new()))]);
        let manifest = format!("/v2/{repository}/manifests/v1");
        answers.insert(manifest, (MANIFEST, image.manifest.clone()));
        for blob in image.layers.iter().chain([&image.config]) {
            let path = format!("/v2/{repository}/blobs/{}", Digest::of(blob));
            answers.insert(path, ("application/octet-stream", blob.clone()));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let registry = Self { address, answers: Arc::new(answers), asked: Arc::default() };
        let serving = registry.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let registry = serving.clone();
                tokio::spawn(async move { registry.serve(stream).await });
            }
        });
        registry
    }

    /// How often a blob was asked for.
    pub fn blobs(&self, blob: &[u8]) -> usize {
        let end = format!("/blobs/{}", Digest::of(blob));
        self.asked.lock().iter().filter(|path| path.ends_with(&end)).count()
    }

    /// How often a manifest was asked for.
    pub fn manifests(&self) -> usize {
        self.asked.lock().iter().filter(|path| path.contains("/manifests/")).count()
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let (status, kind, body) = match self.answers.get(&path) {
            Some((kind, body)) => (200, *kind, &body[..]),
            None => (404, "text/plain", &[][..]),
        };
        self.asked.lock().push(path);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        _ = stream.write_all(head.as_bytes()).await;
        _ = stream.write_all(body).await;
        _ = stream.shutdown().await;
    }
}
