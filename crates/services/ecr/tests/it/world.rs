//! A ledger with repositories, a folder of blobs, and an edge over both.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bucket::Bucket;
use distribution::{Authorities, Http};
use ecr::{Challenge, Depot, Destination, Ecr, EcrSetup, InBucket, Scope, Tables};
use http::{HeaderMap, Method, Request, StatusCode};
use ledger::{Ledger, MemoryStore, Schema, SecretsKeys};
use secrets::Secrets;
use serde_json::{Value, json};
use stage::{CountedIds, HeldClock, NoKeys};
use tempfile::TempDir;
use terms::{Region, Timestamp};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wire::{Authenticator, Body, Caller, CallerKind, CredentialLookup, Edge, Secret};

pub const KEY: &str = "AKIAEXAMPLEEXAMPLE00";
pub const SECRET: &str = "secret";
/// A key that may pull and nothing else.
pub const READER: &str = "AKIAREADERREADERRE00";

/// A key of a session, which is good with its token alone, and for two hours.
pub const SESSION: &str = "ASIASESSIONSESSION00";
pub const TOKEN: &str = "the session's token";
/// What policies keep from the one who pulls.
pub const CLOSED: &str = "closed";

/// Two keys: one for everything, one for pulling. And a session.
struct TwoKeys;

impl Authenticator for TwoKeys {
    fn find(
        &self,
        key: &str,
        token: Option<&str>,
        region: &Region,
        now: Timestamp,
    ) -> CredentialLookup {
        if key == SESSION {
            if token != Some(TOKEN) {
                return CredentialLookup::TokenMismatch;
            }
            let begun = terms::Clock::now(&HeldClock::default());
            if now >= begun + Duration::from_secs(2 * 3600) {
                return CredentialLookup::Expired;
            }
        } else if ![KEY, READER].contains(&key) || token.is_some() {
            return CredentialLookup::Unknown;
        }
        let caller = Caller {
            account: "123456789012".parse().unwrap(),
            region: region.clone(),
            arn: format!("arn:aws:iam::123456789012:user/{key}"),
            user_id: key.to_owned(),
            access_key_id: key.to_owned(),
            kind: CallerKind::Operator,
        };
        CredentialLookup::Found { secret: Secret::new(SECRET), caller: Arc::new(caller) }
    }

    fn may(&self, caller: &Caller, action: wire::Action<'_>) -> bool {
        let pulls = ["BatchGetImage", "GetDownloadUrlForLayer", "BatchCheckLayerAvailability"];
        match action {
            wire::Action::Operation(_, name) => {
                caller.access_key_id != READER || pulls.contains(&name)
            }
            wire::Action::Route(_) => true,
        }
    }

    fn authorize(
        &self,
        context: &wire::Context,
        input: &dyn Fn() -> Value,
    ) -> Result<wire::Decided, wire::Denied> {
        if context.caller.access_key_id == READER && input()["repositoryName"] == CLOSED {
            return Err(wire::Denied::new("with an explicit deny in an identity-based policy"));
        }
        Ok(wire::Decided::default())
    }
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The code of the first error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Where bytes are kept.
#[derive(Clone, Debug)]
pub enum Kept {
    OnDisk,
    InBucket(Bucket),
}

/// The same tests wherever bytes are kept; each takes a world of the function `world` beside it.
macro_rules! everywhere {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            use crate::world::Kept;

            #[tokio::test]
            async fn on_disk() {
                super::$name(super::world(Kept::OnDisk).await).await;
            }

            #[tokio::test]
            async fn in_a_bucket() {
                super::$name(super::world(Kept::InBucket(bucket::Bucket::in_memory())).await).await;
            }
        }
    )* };
}

pub(crate) use everywhere;

/// Ids of a world are its own, as of a process that starts anew.
static STARTS: AtomicU64 = AtomicU64::new(1);

pub struct World {
    pub kept: Kept,
    pub edge: Edge,
    pub clock: HeldClock,
    pub ecr: Ecr,
    pub ledger: Ledger,
    pub folder: Arc<TempDir>,
    pub authorization: Option<String>,
}

impl World {
    /// A world where anyone may do anything.
    pub async fn open() -> Self {
        Self::on(Arc::new(TempDir::new().unwrap()), MemoryStore::new(), true, Challenge::Basic)
            .await
    }

    /// The same with its bytes elsewhere.
    pub async fn keeping(kept: Kept) -> Self {
        Self::restarted(Arc::new(TempDir::new().unwrap()), kept, MemoryStore::new()).await
    }

    /// One over what an earlier one left.
    pub async fn restarted(folder: Arc<TempDir>, kept: Kept, store: MemoryStore) -> Self {
        Self::made((folder, kept), store, true, Challenge::Basic, Vec::new()).await
    }

    /// The same, which can replicate.
    pub async fn with(destinations: Vec<Destination>) -> Self {
        let folder = (Arc::new(TempDir::new().unwrap()), Kept::OnDisk);
        Self::made(folder, MemoryStore::new(), true, Challenge::Basic, destinations).await
    }

    /// A world with keys.
    pub async fn closed(challenge: Challenge) -> Self {
        Self::on(Arc::new(TempDir::new().unwrap()), MemoryStore::new(), false, challenge).await
    }

    /// A world over what an earlier one left.
    pub async fn on(
        folder: Arc<TempDir>,
        store: MemoryStore,
        is_open: bool,
        challenge: Challenge,
    ) -> Self {
        Self::made((folder, Kept::OnDisk), store, is_open, challenge, Vec::new()).await
    }

    /// The same, which knows these destinations.
    pub async fn made(
        (folder, kept): (Arc<TempDir>, Kept),
        store: MemoryStore,
        is_open: bool,
        challenge: Challenge,
        destinations: Vec<Destination>,
    ) -> Self {
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let of_secrets = secrets::Tables::declare(&mut schema);
        schema.seal_secrets(Arc::new(SecretsKeys::new(&[[7_u8; 32]]).unwrap()));
        let clock = HeldClock::default();
        let ids = Arc::new(CountedIds::from(1));
        let ledger = Ledger::open(schema, Box::new(store), Arc::new(clock.clone()), ids).unwrap();
        let random = Arc::new(CountedIds::from(5_000));
        let secrets = Secrets::new(of_secrets, ledger.clone(), random);
        let client = Arc::new(Http::new(Duration::from_secs(60), Authorities::default()));
        let authenticator: Arc<dyn Authenticator> =
            if is_open { Arc::new(NoKeys) } else { Arc::new(TwoKeys) };
        let (depot, ids) = depot(&folder, &kept, &ledger, tables);
        let home = Scope {
            account: "123456789012".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
        };
        let setup = EcrSetup {
            authenticator: authenticator.clone(),
            identities: None,
            auditor: None,
            ids,
            home: home.clone(),
            is_open,
            depot: Some(depot),
            host: None,
            challenge,
            secrets: secrets.clone(),
            client,
            destinations,
            advisories: Some(folder.path().join("osv")).filter(|path| path.exists()),
        };
        let ecr = {
            let seal = ecr::Seal::open(&ledger, &tables).await.unwrap();
            Ecr::new(seal, tables, ledger.clone(), setup)
        };
        let builder =
            Edge::builder(authenticator, Arc::new(clock.clone()), Arc::new(CountedIds::default()));
        let builder = builder.home(home.account, home.region).open(is_open);
        let builder = ecr.routes().into_iter().fold(builder, wire::EdgeBuilder::route);
        let edge = builder.service(ecr.service()).service(secrets.secretsmanager()).build();
        Self { kept, edge, clock, ecr, ledger, folder, authorization: None }
    }

    /// Lets others call it over a socket.
    pub async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (at, edge) = (listener.local_addr().unwrap(), self.edge.clone());
        tokio::spawn(async move { edge.serve(listener, CancellationToken::new()).await });
        at
    }

    /// Makes a secret as rules need it; its ARN.
    pub async fn secret(&self, name: &str, text: &str) -> String {
        let name = format!("ecr-pullthroughcache/{name}");
        let token = "11111111-1111-4111-8111-111111111111";
        let input = json!({"Name": name, "SecretString": text, "ClientRequestToken": token});
        let target = "secretsmanager.CreateSecret";
        let (status, body) = stage::ask_json(&self.edge, target, &input.to_string()).await;
        assert_eq!(status, 200, "{body}");
        let told: Value = serde_json::from_str(&body).unwrap();
        told["ARN"].as_str().unwrap().to_owned()
    }

    /// Waits until the repository has an image of this tag and digest: what comes through comes behind
    /// the answer.
    pub async fn until_kept(&self, name: &str, tag: &str, digest: &str) {
        self.until_described(name, json!({ "imageTag": tag }), digest).await;
    }

    /// Waits until the repository has an image of this digest.
    pub async fn until_there(&self, name: &str, digest: &str) {
        self.until_described(name, json!({ "imageDigest": digest }), digest).await;
    }

    async fn until_described(&self, name: &str, id: Value, digest: &str) {
        let mut rest = tokio::time::interval(Duration::from_millis(2));
        let input = json!({"repositoryName": name, "imageIds": [id]}).to_string();
        loop {
            let (status, body) = self.ask("DescribeImages", &input).await;
            if status == 200 && body.contains(digest) {
                return;
            }
            rest.tick().await;
        }
    }

    pub fn wait(&self, hours: u64) {
        self.clock.advance(Duration::from_secs(hours * 3600));
    }

    /// Calls an operation.
    pub async fn ask(&self, operation: &str, input: &str) -> (u16, String) {
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
        stage::ask_json(&self.edge, &target, input).await
    }

    /// What Docker sends after `aws ecr get-login-password` with these credentials.
    pub async fn login(&self, credentials: &wire::sigv4::Credentials) -> String {
        let body = self.signed("GetAuthorizationToken", "{}", credentials).await;
        let token = body["authorizationData"][0]["authorizationToken"].as_str().unwrap();
        format!("Basic {token}")
    }

    /// Calls an operation with the key that may do everything.
    pub async fn call(&self, operation: &str, input: &Value) -> Value {
        let credentials = wire::sigv4::Credentials {
            access_key_id: KEY.to_owned(),
            secret: Secret::new(SECRET),
            session_token: None,
        };
        self.signed(operation, &input.to_string(), &credentials).await
    }

    /// Calls an operation with a key whose secret is [`SECRET`]; status and answer.
    pub async fn signed_by(&self, key: &str, operation: &str, input: &Value) -> (u16, Value) {
        let credentials = wire::sigv4::Credentials {
            access_key_id: key.to_owned(),
            secret: Secret::new(SECRET),
            session_token: None,
        };
        self.try_signed(operation, &input.to_string(), &credentials).await
    }

    async fn signed(
        &self,
        operation: &str,
        input: &str,
        credentials: &wire::sigv4::Credentials,
    ) -> Value {
        let (status, body) = self.try_signed(operation, input, credentials).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn try_signed(
        &self,
        operation: &str,
        input: &str,
        credentials: &wire::sigv4::Credentials,
    ) -> (u16, Value) {
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
        let request = Request::post("http://localhost:4566/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target);
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let now = terms::Clock::now(&self.clock);
        let signer = wire::sigv4::Signer { credentials, region: "us-east-1", service: "ecr", now };
        wire::sigv4::sign(&mut parts, input.as_bytes(), &signer);
        let request = Request::from_parts(parts, Body::from(input.to_owned()));
        let answer = self.edge.handle(request, None).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect(1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// The answer to a call that must succeed.
    pub async fn get(&self, operation: &str, input: Value) -> Value {
        let (status, body) = self.ask(operation, &input.to_string()).await;
        assert_eq!(status, 200, "{operation}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub async fn repository(&self, name: &str) {
        self.get("CreateRepository", json!({ "repositoryName": name })).await;
    }

    /// A request to the registry; headers as `Name: value`.
    pub async fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
        request = request.header("host", "localhost:4566");
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let body = Body::from(bytes::Bytes::copy_from_slice(body));
        let answer = self.edge.handle(request.body(body).unwrap(), None).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().collect(64 << 20).await.unwrap().to_vec();
        if status >= StatusCode::BAD_REQUEST.as_u16() && method != "HEAD" {
            assert!(!body.is_empty(), "{method} {path}: a refusal says why");
        }
        Answer { status, headers, body }
    }

    /// Pushes a blob at once; its digest.
    pub async fn blob(&self, name: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let answer = self.send("POST", &path, &[], bytes).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        digest
    }

    /// Pushes an image of one layer under a tag or its digest; its digest.
    pub async fn image(&self, name: &str, reference: Option<&str>, layer: &[u8]) -> String {
        let manifest = self.manifest(name, layer).await;
        self.put(name, reference, &manifest, OCI_MANIFEST).await
    }

    /// A manifest whose blobs are pushed.
    pub async fn manifest(&self, name: &str, layer: &[u8]) -> Value {
        let config = self.blob(name, b"{}").await;
        let layer_digest = self.blob(name, layer).await;
        json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest,
                "size": layer.len(),
            }],
        })
    }

    /// Pushes a manifest that must be taken; its digest.
    pub async fn put(
        &self,
        name: &str,
        reference: Option<&str>,
        manifest: &Value,
        kind: &str,
    ) -> String {
        let bytes = manifest.to_string();
        let digest = digest(bytes.as_bytes());
        let path = format!("/v2/{name}/manifests/{}", reference.unwrap_or(&digest));
        let kind = format!("content-type: {kind}");
        let answer = self.send("PUT", &path, &[&kind], bytes.as_bytes()).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("docker-content-digest"), digest);
        digest
    }

    /// How many blobs and manifests are kept.
    pub async fn files(&self) -> usize {
        self.count("sha256", "blobs").await
    }

    /// Of how many uploads something is kept.
    pub async fn partial(&self) -> usize {
        self.count("ingest", "uploads").await
    }

    async fn count(&self, on_disk: &str, in_bucket: &str) -> usize {
        match &self.kept {
            Kept::OnDisk => {
                let folder = self.folder.path().join("registry").join(on_disk);
                std::fs::read_dir(folder).unwrap().count()
            }
            Kept::InBucket(bucket) => {
                let mut count = 0;
                bucket.each(in_bucket, |_| count += 1).await.unwrap();
                count
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The place for bytes, and the ids of what comes there.
pub fn depot(
    folder: &TempDir,
    kept: &Kept,
    ledger: &Ledger,
    tables: Tables,
) -> (Depot, Arc<CountedIds>) {
    match kept {
        Kept::OnDisk => {
            let (root, sibling) = (folder.path().join("registry"), folder.path().join("images"));
            (Depot::open(&root, &[sibling]).unwrap(), Arc::new(CountedIds::from(1_000)))
        }
        Kept::InBucket(bucket) => {
            let start = STARTS.fetch_add(1, Ordering::Relaxed);
            let ids = Arc::new(CountedIds::from(start * 1_000_000));
            let depot = Depot::in_bucket(InBucket {
                bucket: bucket.clone(),
                owner: "this installation".to_owned(),
                ledger: ledger.clone(),
                tables,
                ids: ids.clone(),
                spool: folder.path().join("spool"),
            });
            (depot, ids)
        }
    }
}

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub fn digest(bytes: &[u8]) -> String {
    blobs::Digest::of(bytes).to_string()
}
