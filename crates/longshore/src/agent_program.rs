//! The program that UpdateContainerAgent hands out, and the path at which agents fetch it.

use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use ecs::AgentPrograms;
use http::{Method, Response, StatusCode, header};
use parking_lot::Mutex;
use ring::digest;
use tokio::sync::Semaphore;
use wire::{Body, BodyWriter, Route, RouteAuth, RouteRequest};

/// Agents that fetch it at once; others are told to come again.
const AT_ONCE: usize = 32;
/// What is read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// The SHA-256 of a file, in hexadecimal. Blocks.
///
/// # Errors
/// If the file cannot be read.
pub fn digest_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut buffer).with_context(|| format!("reading {}", path.display()))? {
            0 => return Ok(HEXLOWER.encode(context.finish().as_ref())),
            length => context.update(&buffer[..length]),
        }
    }
}

/// What tells one file of a path from the next that is put there.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let told = std::fs::metadata(path)?;
    Ok((told.ino(), told.size(), told.mtime(), told.mtime_nsec()))
}

/// The program that agents of this server should be: a file that may be replaced at any time.
#[derive(Clone)]
pub struct AgentProgram {
    path: PathBuf,
    known: Arc<Mutex<Option<(Stamp, String)>>>,
}

impl AgentProgram {
    /// The program at `path`; without one, this process's own.
    ///
    /// # Errors
    /// If the process does not know its own program.
    pub fn new(path: Option<PathBuf>) -> Result<Self> {
        let own = || std::env::current_exe().context("finding this program's own file");
        let path = path.map_or_else(own, Ok)?;
        Ok(Self { path, known: Arc::default() })
    }

    /// Its digest; read anew only when the file is another one. Blocks.
    fn digest(&self) -> Result<String> {
        let stamp = stamp(&self.path).with_context(|| self.path.display().to_string())?;
        let known = self.known.lock().clone();
        if let Some((_, digest)) = known.filter(|(known, _)| *known == stamp) {
            return Ok(digest);
        }
        let digest = digest_of(&self.path)?;
        *self.known.lock() = Some((stamp, digest.clone()));
        Ok(digest)
    }

    /// The route by which agents fetch it.
    pub fn route(&self) -> Route {
        let (program, turns) = (self.clone(), Arc::new(Semaphore::new(AT_ONCE)));
        Route::new(ecs::AGENT_PROGRAM_PATH, RouteAuth::Signed("ecs"), move |request| {
            let (program, turns) = (program.clone(), turns.clone());
            async move { program.answer(&turns, &request).await }
        })
    }

    async fn answer(&self, turns: &Arc<Semaphore>, request: &RouteRequest) -> Response<Body> {
        if request.parts.method != Method::GET {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET");
        }
        let Ok(turn) = turns.clone().try_acquire_owned() else {
            return refuse(StatusCode::TOO_MANY_REQUESTS, "too many agents fetch it now");
        };
        let asked = request.rest(ecs::AGENT_PROGRAM_PATH).trim_start_matches('/').to_owned();
        let program = self.clone();
        let opened = tokio::task::spawn_blocking(move || {
            (program.digest()? == asked)
                .then(|| File::open(&program.path))
                .transpose()
                .map_err(anyhow::Error::from)
        });
        let file = match opened.await {
            Ok(Ok(Some(file))) => file,
            Ok(Ok(None)) => {
                return refuse(StatusCode::NOT_FOUND, "that is not the program any more");
            }
            Ok(Err(error)) => {
                return refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}"));
            }
            Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        };
        let (writer, body) = Body::written();
        tokio::task::spawn_blocking(move || {
            send(file, writer);
            drop(turn);
        });
        let mut response = Response::new(body);
        let kind = header::HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl AgentPrograms for AgentProgram {
    fn newest(&self) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>> {
        let program = self.clone();
        Box::pin(async move {
            let digest = tokio::task::spawn_blocking(move || program.digest()).await;
            digest.map_err(|error| error.to_string())?.map_err(|error| format!("{error:#}"))
        })
    }
}

fn send(mut file: File, mut writer: BodyWriter) {
    let sent = std::io::copy(&mut file, &mut writer).and_then(|_| writer.flush());
    if let Err(error) = sent {
        tracing::warn!(%error, "a program for an agent was sent in part only");
        writer.fail(error);
    }
}

fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    let told = serde_json::json!({"__type": "ClientException", "message": message}).to_string();
    let mut response = Response::new(Body::from(told));
    *response.status_mut() = status;
    response
}
