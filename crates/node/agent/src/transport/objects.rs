//! Where objects of S3 come from: Longshore has no S3, so files of variables come from a folder on
//! the instance, or from any server that speaks S3's protocol.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use agent_protocol::task::Credentials;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use terms::{Clock, Region};
use wire::client::Client;
use wire::sigv4;

use super::{CallError, ObjectQuery, ObjectToPut};

/// SHA-256 of nothing, in hexadecimal digits: S3 wants the body's in a header.
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Where objects come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Objects {
    /// There are none.
    #[default]
    None,
    /// A bucket's object lies in `FOLDER/BUCKET/KEY`.
    Folder(PathBuf),
    /// A server that speaks S3's protocol, by its URL. Buckets stand in the path; requests are signed
    /// with the role's credentials.
    Endpoint(String),
}

/// The role's credentials as requests are signed with.
pub(super) fn key_of(credentials: &Credentials) -> sigv4::Credentials {
    sigv4::Credentials {
        access_key_id: credentials.access_key_id.clone(),
        secret: wire::Secret::new(credentials.secret_access_key.as_str()),
        session_token: Some(credentials.session_token.clone()).filter(|token| !token.is_empty()),
    }
}

impl Objects {
    pub(super) async fn get(
        &self,
        wanted: ObjectQuery<'_>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Vec<u8>, CallError> {
        match self {
            Self::None => Err(none_here()),
            Self::Folder(folder) => {
                let path = path_in(folder, wanted.bucket, wanted.key)?;
                let (max_bytes, place) = (wanted.max_bytes, path.clone());
                let read = tokio::task::spawn_blocking(move || read(&path, max_bytes)).await;
                let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                read.map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => no_key(&format!(
                        "The specified key does not exist. ({} is not there)",
                        place.display()
                    )),
                    _ => CallError::Transport(format!("reading {}: {error}", place.display())),
                })
            }
            Self::Endpoint(url) => fetch(url, wanted, clock).await,
        }
    }

    pub(super) async fn put(
        &self,
        object: ObjectToPut<'_>,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), CallError> {
        match self {
            Self::None => Err(none_here()),
            Self::Folder(folder) => {
                let path = path_in(folder, object.bucket, object.key)?;
                let (body, place) = (object.body.clone(), path.clone());
                let written = tokio::task::spawn_blocking(move || write(&path, &body)).await;
                let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                written.map_err(|error| {
                    CallError::Transport(format!("writing {}: {error}", place.display()))
                })
            }
            Self::Endpoint(url) => send(url, object, clock).await,
        }
    }
}

fn none_here() -> CallError {
    let what = "there is no S3 here: start the agent with --s3-root DIR or --s3-endpoint URL";
    CallError::Transport(what.to_owned())
}

/// Writes a file whole or not at all; only its owner may read it.
fn write(path: &Path, body: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut partly = path.to_path_buf().into_os_string();
    partly.push(".partly");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&partly)?;
    file.write_all(body)?;
    file.sync_all()?;
    std::fs::rename(&partly, path)
}

async fn send(url: &str, object: ObjectToPut<'_>, clock: &Arc<dyn Clock>) -> Result<(), CallError> {
    let failed = |text: String| CallError::Transport(text);
    let region: Result<Region, _> = object.region.parse();
    let region = region.map_err(|error| failed(format!("{error}")))?;
    let no_role = || failed("the task has no role to write objects with".to_owned());
    let credentials = object.credentials.ok_or_else(no_role)?;
    let client = Client::new(url, Some(key_of(credentials)), region, Arc::clone(clock));
    let path = format!("/{}/{}", encoded(object.bucket), encoded(object.key));
    let hash = HeaderValue::from_str(&sigv4::sha256_hex(object.body));
    let hash = hash.map_err(|error| failed(format!("{error}")))?;
    let headers = [(HeaderName::from_static("x-amz-content-sha256"), hash)];
    let answer = client.send(Method::PUT, &path, &headers, object.body.clone(), "s3").await;
    let answer = answer.map_err(|error| failed(terms::with_causes(&error)))?;
    refusal(url, answer.status(), answer.body()).map_or(Ok(()), Err)
}

/// What an answer says that is none of success.
fn refusal(url: &str, status: StatusCode, body: &[u8]) -> Option<CallError> {
    if status.is_success() {
        return None;
    }
    let part = |name: &str| xml_text(body, name);
    let code = match (part("Code"), status) {
        (Some(code), _) => code,
        (None, StatusCode::NOT_FOUND) => "NoSuchKey".to_owned(),
        (None, StatusCode::FORBIDDEN) => "AccessDenied".to_owned(),
        (None, _) => return Some(CallError::Transport(format!("{url} answered {status}"))),
    };
    let message = part("Message").unwrap_or_else(|| status.to_string());
    Some(CallError::Service { code, message })
}

fn no_key(text: &str) -> CallError {
    CallError::Service { code: "NoSuchKey".to_owned(), message: text.to_owned() }
}

/// The file of an object; never outside of the folder.
fn path_in(folder: &Path, bucket: &str, key: &str) -> Result<PathBuf, CallError> {
    let within = Path::new(bucket).join(key);
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    match within.components().all(is_plain) && !bucket.contains('/') && !key.starts_with('/') {
        true => Ok(folder.join(within)),
        false => Err(no_key(&format!("'{bucket}/{key}' is no path within a folder"))),
    }
}

fn read(path: &Path, max_bytes: usize) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() > max_bytes {
        true => Err(std::io::Error::other(format!("it has more than {max_bytes} bytes"))),
        false => Ok(bytes),
    }
}

async fn fetch(
    url: &str,
    wanted: ObjectQuery<'_>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<u8>, CallError> {
    let failed = |text: String| CallError::Transport(text);
    let region: Result<Region, _> = wanted.region.parse();
    let region = region.map_err(|error| failed(format!("{error}")))?;
    let client = Client::new(url, Some(key_of(wanted.credentials)), region, Arc::clone(clock));
    let path = format!("/{}/{}", encoded(wanted.bucket), encoded(wanted.key));
    let hash = HeaderName::from_static("x-amz-content-sha256");
    let headers = [(hash, HeaderValue::from_static(EMPTY_HASH))];
    let answer = client.send(Method::GET, &path, &headers, Bytes::new(), "s3").await;
    let answer = answer.map_err(|error| failed(terms::with_causes(&error)))?;
    let body = answer.body();
    if let Some(refusal) = refusal(url, answer.status(), body) {
        return Err(refusal);
    }
    match body.len() > wanted.max_bytes {
        true => Err(failed(format!("the object has more than {} bytes", wanted.max_bytes))),
        false => Ok(body.to_vec()),
    }
}

/// Percent-encoded as S3 has it: slashes stay.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The text of the first element of this name in a small XML answer.
fn xml_text(body: &[u8], name: &str) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_object_lies_outside_of_the_folder() {
        let path = |bucket, key| path_in(Path::new("/srv/s3"), bucket, key).ok();
        assert_eq!(path("b", "a/c.env"), Some(PathBuf::from("/srv/s3/b/a/c.env")));
        for (bucket, key) in
            [("..", "x"), ("b", "../../x"), ("b", "/etc/x"), ("a/b", "c"), ("b", "a/../../../x")]
        {
            assert_eq!(path(bucket, key), None, "{bucket} {key}");
        }
    }

    #[test]
    fn errors_of_s3_are_read() {
        let body =
            b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>m</Message></Error>";
        assert_eq!(xml_text(body, "Code").unwrap(), "NoSuchKey");
        assert_eq!(xml_text(body, "Key"), None);
        assert_eq!(encoded("a b/ü.env"), "a%20b/%C3%BC.env");
    }

    struct Never;

    impl Clock for Never {
        fn now(&self) -> terms::Timestamp {
            terms::Timestamp::from_millis(0)
        }
    }

    /// One answer to one request; tells the request's head.
    async fn answering(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap()
        });
        (url, served)
    }

    #[tokio::test]
    async fn a_server_is_asked_in_the_roles_name() {
        let credentials = Credentials {
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: "s".to_owned(),
            session_token: "token".to_owned(),
            ..Credentials::default()
        };
        let clock: Arc<dyn Clock> = Arc::new(Never);
        let wanted = ObjectQuery {
            credentials: &credentials,
            region: "eu-west-1",
            bucket: "b",
            key: "dir/a b.env",
            max_bytes: 100,
        };
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nA=1\n";
        let (url, served) = answering(answer).await;
        assert_eq!(Objects::Endpoint(url).get(wanted, &clock).await.unwrap(), b"A=1\n");
        let head = served.await.unwrap();
        assert!(head.starts_with("GET /b/dir/a%20b.env HTTP/1.1\r\n"), "{head}");
        for part in
            ["ASIA1/19700101/eu-west-1/s3/aws4_request", "x-amz-security-token: token", EMPTY_HASH]
        {
            assert!(head.contains(part), "{part} in {head}");
        }
        let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 76\r\n\r\n\
            <Error><Code>NoSuchKey</Code><Message>It does not exist.</Message></Error>  ";
        let (url, _served) = answering(answer).await;
        let error = Objects::Endpoint(url).get(wanted, &clock).await.unwrap_err();
        assert_eq!(error.to_string(), "NoSuchKey: It does not exist.");
    }

    #[tokio::test]
    async fn an_object_is_put_in_the_roles_name() {
        let credentials = Credentials {
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: "s".to_owned(),
            session_token: "token".to_owned(),
            ..Credentials::default()
        };
        let clock: Arc<dyn Clock> = Arc::new(Never);
        let (body, region) = (Bytes::from_static(b"printed"), "eu-west-1");
        let (bucket, key) = ("b", "exec/s.log");
        let put = ObjectToPut { credentials: Some(&credentials), region, bucket, key, body: &body };
        let (url, served) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        Objects::Endpoint(url.clone()).put(put, &clock).await.unwrap();
        let head = served.await.unwrap();
        assert!(head.starts_with("PUT /b/exec/s.log HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&sigv4::sha256_hex(b"printed")), "{head}");
        let endpoint = Objects::Endpoint(url);
        let without = endpoint.put(ObjectToPut { credentials: None, ..put }, &clock).await;
        let error = without.unwrap_err().to_string();
        assert_eq!(error, "the task has no role to write objects with");
    }

    #[tokio::test]
    async fn an_object_is_a_file_that_only_its_owner_reads() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::Folder(folder.path().to_path_buf());
        let clock: Arc<dyn Clock> = Arc::new(Never);
        let body = Bytes::from_static(b"printed");
        let put = ObjectToPut {
            credentials: None,
            region: "us-east-1",
            bucket: "b",
            key: "exec/s.log",
            body: &body,
        };
        objects.put(put, &clock).await.unwrap();
        let path = folder.path().join("b/exec/s.log");
        assert_eq!(std::fs::read(&path).unwrap(), b"printed");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let beyond = objects.put(ObjectToPut { key: "../../s.log", ..put }, &clock).await;
        assert!(beyond.unwrap_err().to_string().contains("no path within a folder"));
    }

    #[tokio::test]
    async fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        std::fs::write(folder.path().join("b/x.env"), "A=1\n").unwrap();
        let objects = Objects::Folder(folder.path().to_path_buf());
        let clock: Arc<dyn Clock> = Arc::new(Never);
        let credentials = Credentials::default();
        let get = async |key: &str, max_bytes| {
            let wanted = ObjectQuery {
                credentials: &credentials,
                region: "us-east-1",
                bucket: "b",
                key,
                max_bytes,
            };
            objects.get(wanted, &clock).await
        };
        assert_eq!(get("x.env", 4).await.unwrap(), b"A=1\n");
        assert!(get("x.env", 3).await.unwrap_err().to_string().contains("more than 3 bytes"));
        assert_eq!(get("y.env", 3).await.unwrap_err().code(), "NoSuchKey");
    }
}
