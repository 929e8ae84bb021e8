//! Pull and unpack of a large image from a registry on this machine, against Docker and containerd.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::docker::Docker;
use crate::longshore::{Longshore, Place, ecs, run_task};
use crate::process::{Process, output};
use crate::report::{Report, Sample, ms};

const REPOSITORY: &str = "bench/large";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// One file of a layer, in bytes; half of it compresses.
const FILE_BYTES: usize = 128 * 1024;
const LIMIT: Duration = Duration::from_secs(600);

/// Pull and unpack of a 300 MB image of 8 layers, against Docker and containerd
#[derive(Args, Debug)]
pub struct Pull {
    /// The image's size before compression, in MB
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    megabytes: u32,
    /// Its layers
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    layers: u32,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    rounds: u16,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
}

impl Pull {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("pull: pull and unpack from a registry on this machine");
        let image = make(&place.work, self.megabytes, self.layers)?;
        let port = serve(image)?;
        let name = format!("127.0.0.1:{port}/{REPOSITORY}:latest");
        let ours =
            Sample::new((0..self.rounds).map(|_| ours(place, &name)).collect::<Result<Vec<_>>>()?);
        report.add_sample("longshore", &ours);
        if self.no_peers {
            return Ok(report);
        }
        let docker = Docker::start(&place.work, Path::new("examples/images/out/busybox.tar"))?;
        let mut theirs = Vec::new();
        for _ in 0..self.rounds {
            let begin = Instant::now();
            output(&mut docker.client(&["pull", "--quiet", &name]))?;
            theirs.push(begin.elapsed());
            output(&mut docker.client(&["rmi", "--force", &name]))?;
        }
        drop(docker);
        compare(&mut report, "docker pull", &ours, theirs);
        let containerd = Containerd::start(&place.work)?;
        let mut theirs = Vec::new();
        for _ in 0..self.rounds {
            let begin = Instant::now();
            output(&mut containerd.ctr(&["images", "pull", "--plain-http", &name]))?;
            theirs.push(begin.elapsed());
            output(&mut containerd.ctr(&["images", "rm", "--sync", &name]))?;
        }
        compare(&mut report, "containerd (ctr images pull)", &ours, theirs);
        Ok(report)
    }
}

fn compare(report: &mut Report, name: &str, ours: &Sample, theirs: Vec<Duration>) {
    let theirs = Sample::new(theirs);
    report.add_sample(name, &theirs);
    let share = ms(ours.median()) / ms(theirs.median());
    report.target(&format!("share of {name}"), share, 1.0, true, "x");
}

/// How long a fresh instance takes over the pull, by the task's own times.
fn ours(place: &Place, image: &str) -> Result<Duration> {
    let longshore = Longshore::start(place, "up", &[], None)?;
    let client = longshore.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // There is no program in the image: what is wanted of the task are its times.
        let definition = json!({"family": "large", "containerDefinitions": [
            {"name": "main", "image": image, "memory": 32, "command": ["/none"]}]});
        ecs(&client, "RegisterTaskDefinition", definition).await?;
        let task = run_task(&client, json!({"taskDefinition": "large"})).await?;
        let end = Instant::now() + LIMIT;
        loop {
            let told = ecs(&client, "DescribeTasks", json!({"tasks": [task]})).await?;
            let told = &told["tasks"][0];
            let at = |name: &str| told[name].as_f64();
            if let (Some(begun), Some(ended)) = (at("pullStartedAt"), at("pullStoppedAt")) {
                return Ok(Duration::from_secs_f64((ended - begun).max(0.0)));
            }
            ensure!(told["lastStatus"] != "STOPPED" && Instant::now() < end, "no pull: {told:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

/// A containerd of our own.
struct Containerd {
    _process: Process,
    folder: tempfile::TempDir,
}

impl Containerd {
    fn start(work: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("lsb-ctd-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let mut command = Command::new("containerd");
        command.arg("--address").arg(path("socket")).arg("--root").arg(path("root"));
        command.arg("--state").arg(path("state"));
        let mut process = Process::start(command, &work.join("containerd.log"), None)?;
        let socket = path("socket");
        process.wait_until(Duration::from_secs(60), || {
            let mut probe = Command::new("ctr");
            probe.arg("--address").arg(&socket).arg("version");
            probe.output().is_ok_and(|output| output.status.success())
        })?;
        Ok(Self { _process: process, folder })
    }

    fn ctr(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.folder.path().join("socket")).args(args);
        command
    }
}

/// What the registry has, by path below the repository.
type Contents = BTreeMap<String, (String, PathBuf)>;

struct Image {
    contents: Contents,
    folder: tempfile::TempDir,
}

/// Makes the layers with `tar` and `gzip`, as a build would.
fn make(work: &Path, megabytes: u32, layers: u32) -> Result<Image> {
    let folder = tempfile::Builder::new().prefix("image-").tempdir_in(work)?;
    let mut contents = Contents::new();
    let (mut described, mut diff_ids) = (Vec::new(), Vec::new());
    let files = (megabytes as usize * 1_000_000 / layers as usize / FILE_BYTES).max(1);
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    for layer in 0..layers {
        let tree = folder.path().join(format!("tree-{layer}")).join(format!("layer-{layer}"));
        fs::create_dir_all(&tree)?;
        for file in 0..files {
            fs::write(tree.join(format!("file-{file}")), content(&mut noise))?;
        }
        let parent = tree.parent().context("it has one")?;
        let tar = folder.path().join(format!("{layer}.tar"));
        output(Command::new("tar").arg("-C").arg(parent).arg("-cf").arg(&tar).arg("."))?;
        diff_ids.push(format!("sha256:{}", sha256(&tar)?));
        output(Command::new("gzip").arg("-6").arg(&tar))?;
        fs::remove_dir_all(parent)?;
        let blob = folder.path().join(format!("{layer}.tar.gz"));
        described.push(add(&mut contents, LAYER, blob)?);
    }
    let config = folder.path().join("config.json");
    let text = json!({"architecture": arch(), "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    fs::write(&config, text.to_string())?;
    let config = add(&mut contents, CONFIG, config)?;
    let manifest = folder.path().join("manifest.json");
    let text = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
        "layers": described});
    fs::write(&manifest, text.to_string())?;
    let digest = sha256(&manifest)?;
    for key in ["latest".to_owned(), format!("sha256:{digest}")] {
        contents.insert(format!("manifests/{key}"), (MANIFEST.to_owned(), manifest.clone()));
    }
    Ok(Image { contents, folder })
}

fn arch() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Half noise, half text.
fn content(noise: &mut u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    while bytes.len() < FILE_BYTES / 2 {
        *noise ^= *noise << 13;
        *noise ^= *noise >> 7;
        *noise ^= *noise << 17;
        bytes.extend_from_slice(&noise.to_le_bytes());
    }
    while bytes.len() < FILE_BYTES {
        bytes.extend_from_slice(b"the quick brown fox jumps over the lazy dog; ");
    }
    bytes
}

fn sha256(path: &Path) -> Result<String> {
    let said = output(Command::new("sha256sum").arg(path))?;
    Ok(said.split_whitespace().next().context("sha256sum says nothing")?.to_owned())
}

fn add(contents: &mut Contents, kind: &str, path: PathBuf) -> Result<Value> {
    let digest = format!("sha256:{}", sha256(&path)?);
    let size = fs::metadata(&path)?.len();
    let described = json!({"mediaType": kind, "digest": digest, "size": size});
    contents.insert(format!("blobs/{digest}"), ("application/octet-stream".to_owned(), path));
    Ok(described)
}

/// Serves the image for as long as this process lives; the port.
fn serve(image: Image) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let image = Arc::new(image);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let image = Arc::clone(&image);
            std::thread::spawn(move || drop(answer_all(&socket, &image)));
        }
    });
    Ok(port)
}

fn answer_all(socket: &TcpStream, image: &Image) -> Result<()> {
    debug_assert!(image.folder.path().exists(), "it lies there as long as it is served");
    let mut reader = BufReader::new(socket.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("").to_owned());
        let is_head = method == "HEAD";
        let mut header = String::new();
        while reader.read_line(&mut header)? > 2 {
            header.clear();
        }
        answer(socket, image, &path, is_head)?;
    }
}

fn answer(mut socket: &TcpStream, image: &Image, path: &str, is_head: bool) -> Result<()> {
    let below = path.strip_prefix(&format!("/v2/{REPOSITORY}/"));
    let found = below.and_then(|below| image.contents.get(below));
    let Some((kind, file)) = found else {
        let status = if path == "/v2/" { "200 OK" } else { "404 Not Found" };
        write!(socket, "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n")?;
        if !is_head {
            socket.write_all(b"{}")?;
        }
        return Ok(());
    };
    let length = fs::metadata(file)?.len();
    let digest = match below.and_then(|below| below.split_once("sha256:")) {
        Some((_, hex)) => hex.to_owned(),
        None => sha256(file)?,
    };
    write!(
        socket,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ndocker-content-digest: sha256:{digest}\r\n\
         content-length: {length}\r\n\r\n"
    )?;
    if !is_head {
        std::io::copy(&mut fs::File::open(file)?, &mut socket)?;
    }
    Ok(())
}
