//! Streams of containers' output, from the files that their shims write.

use std::collections::VecDeque;
use std::io::{self, Read as _, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_protocol::node::{
    LogLine, LogLines, MAX_LINES_PER_FRAME, MAX_TAIL_LINES, OpenLogs, OutputStream, StreamEnd,
};
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncSeekExt, BufReader};

use super::Context;
use crate::engine::Phase;
use crate::transport::Sender;

/// How often a followed file is looked at.
const FOLLOW_PERIOD: Duration = Duration::from_millis(200);
/// Older files that are looked for: `.1`, `.2`, ….
const OLDER_FILES_MAX: u32 = 100;
/// A longer line is cut here, in bytes.
const LINE_MAX_BYTES: usize = 1024 * 1024;

type Stream = Box<dyn Sender<agent_protocol::node::StreamMessage>>;

/// Sends the output that was asked for until there is no more, or nobody listens.
pub(super) async fn pump(context: &Context, open: &OpenLogs, mut stream: Stream) {
    let end = match send(context, open, &mut stream).await {
        Ok(()) => StreamEnd::default(),
        Err(Stop::Gone) => return,
        Err(Stop::Failed(error)) => StreamEnd { error: Some(error) },
    };
    if stream.send(end.into()).await.is_ok() {
        stream.close("").await;
    }
}

/// Why a stream ends before its time.
enum Stop {
    Gone,
    Failed(String),
}

async fn send(context: &Context, open: &OpenLogs, stream: &mut Stream) -> Result<(), Stop> {
    let mut files = Vec::new();
    for container in context.view.task(&open.task_arn).iter().flat_map(|task| &task.containers) {
        if open.container.as_ref().is_none_or(|name| *name == container.name) {
            let path = context.containers.log_path(&container.id);
            files.push(Output::new(container.name.clone(), path));
        }
    }
    for file in &mut files {
        let lines = file.begin(open.tail).await.map_err(|error| file.failed(&error))?;
        send_lines(stream, lines).await?;
    }
    loop {
        if !open.follow {
            return Ok(());
        }
        // Looked at before the file: what a container wrote before it ended is there then.
        let live = is_live(context, open);
        let mut idle = true;
        for file in &mut files {
            let lines = file.more().await.map_err(|error| file.failed(&error))?;
            idle &= lines.is_empty();
            send_lines(stream, lines).await?;
        }
        if idle && (!live || !wait(context, stream).await) {
            return Ok(());
        }
    }
}

/// Waits for the next look; `false` when nobody listens any more or the agent is to end.
async fn wait(context: &Context, stream: &mut Stream) -> bool {
    tokio::select! {
        biased;
        () = stream.gone() => false,
        waited = context.wait(FOLLOW_PERIOD) => waited,
    }
}

fn is_live(context: &Context, open: &OpenLogs) -> bool {
    let Some(task) = context.view.task(&open.task_arn) else { return false };
    let wanted = |name: &str| open.container.as_ref().is_none_or(|container| container == name);
    task.containers.iter().any(|c| wanted(&c.name) && c.phase != Phase::Stopped)
}

async fn send_lines(stream: &mut Stream, lines: Vec<LogLine>) -> Result<(), Stop> {
    let mut lines = lines.into_iter().peekable();
    while lines.peek().is_some() {
        let part = lines.by_ref().take(MAX_LINES_PER_FRAME).collect();
        let sent = stream.send(LogLines { lines: part }.into()).await;
        sent.map_err(|_| Stop::Gone)?;
    }
    Ok(())
}

/// A line as Docker's json-file driver writes it.
#[derive(Deserialize)]
struct Entry {
    log: String,
    stream: OutputStream,
    time: String,
}

/// One container's output.
struct Output {
    container: String,
    path: PathBuf,
    file: Option<BufReader<File>>,
    inode: u64,
    /// A line whose end has not come yet.
    partial: Vec<u8>,
}

impl Output {
    fn new(container: String, path: PathBuf) -> Self {
        Self { container, path, file: None, inode: 0, partial: Vec::new() }
    }

    fn failed(&self, error: &std::io::Error) -> Stop {
        Stop::Failed(format!("the output of container '{}': {error}", self.container))
    }

    /// What is there now: all that is kept, or the last `tail` lines.
    async fn begin(&mut self, tail: Option<u32>) -> std::io::Result<Vec<LogLine>> {
        let most = tail.map_or(usize::MAX, |tail| tail.min(MAX_TAIL_LINES) as usize);
        let mut kept = VecDeque::new();
        let mut older = Vec::new();
        for number in 1..=OLDER_FILES_MAX {
            let plain = numbered(&self.path, number);
            let compressed = numbered(&self.path, format_args!("{number}.gz"));
            if tokio::fs::try_exists(&plain).await? {
                older.push((plain, false));
            } else if tokio::fs::try_exists(&compressed).await? {
                older.push((compressed, true));
            } else {
                break;
            }
        }
        for (path, is_compressed) in older.into_iter().rev() {
            match File::open(&path).await {
                Ok(file) if is_compressed => {
                    let file = file.into_std().await;
                    let read = move || unpacked(file);
                    let bytes =
                        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
                    self.read_lines(&mut bytes.as_slice(), &mut kept, most).await?;
                }
                Ok(file) => {
                    self.file = Some(BufReader::new(file));
                    self.read_into(&mut kept, most).await?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.file = None;
        self.open().await?;
        self.read_into(&mut kept, most).await?;
        Ok(kept.into())
    }

    /// What came since the last look; follows the file when it is turned over.
    async fn more(&mut self) -> std::io::Result<Vec<LogLine>> {
        let mut lines = VecDeque::new();
        self.read_into(&mut lines, usize::MAX).await?;
        if self.was_turned_over().await? {
            self.read_into(&mut lines, usize::MAX).await?;
            self.open().await?;
            self.read_into(&mut lines, usize::MAX).await?;
        }
        Ok(lines.into())
    }

    async fn open(&mut self) -> std::io::Result<()> {
        match File::open(&self.path).await {
            Ok(mut file) => {
                self.inode = file.metadata().await?.ino();
                file.seek(SeekFrom::Start(0)).await?;
                self.file = Some(BufReader::new(file));
                Ok(())
            }
            // Nothing was written yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn was_turned_over(&self) -> std::io::Result<bool> {
        match tokio::fs::metadata(&self.path).await {
            Ok(metadata) => Ok(self.file.is_none() || metadata.ino() != self.inode),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads whole lines to the end of the file; of them the last `most` are kept.
    async fn read_into(
        &mut self,
        lines: &mut VecDeque<LogLine>,
        most: usize,
    ) -> std::io::Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let read = self.read_lines(&mut file, lines, most).await;
        self.file = Some(file);
        read
    }

    async fn read_lines(
        &mut self,
        file: &mut (impl AsyncBufRead + Unpin),
        lines: &mut VecDeque<LogLine>,
        most: usize,
    ) -> std::io::Result<()> {
        loop {
            let count = file.read_until(b'\n', &mut self.partial).await?;
            if count == 0 || !self.partial.ends_with(b"\n") {
                self.partial.truncate(LINE_MAX_BYTES);
                return Ok(());
            }
            if let Ok(entry) = serde_json::from_slice::<Entry>(&self.partial) {
                lines.push_back(LogLine {
                    container: self.container.clone(),
                    time: entry.time,
                    stream: entry.stream,
                    text: entry.log,
                });
            }
            self.partial.clear();
            if lines.len() > most {
                lines.pop_front();
            }
        }
    }
}

/// What a compressed file holds.
fn unpacked(file: std::fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn numbered(path: &Path, number: impl std::fmt::Display) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}
