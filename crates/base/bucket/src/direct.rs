//! Objects and parts that are sent from a file: requests of our own, because `object_store` wants all of
//! a body in memory.

use std::time::Duration;

use bytes::Bytes;
use http::header::ETAG;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;

use crate::bucket::{BACKOFF, RETRIES_MAX, RETRY_TIMEOUT};
use crate::content::Content;
use crate::error::{Meaning, words};
use crate::http::{Carrier, Sent};

/// The service that requests are signed for.
const SERVICE: &str = "s3";
/// How much of a refusal is read.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// What comes behind an answer's head is waited for so long: its status says enough.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);
/// What S3 says, with status 400, of a body that came too slowly (S3 API reference, "Error responses").
const REQUEST_TIMEOUT: &str = "<Code>RequestTimeout</Code>";

/// The bucket's server, spoken to without a library.
pub(crate) struct Direct {
    /// The bucket's URL, without a slash at its end.
    pub(crate) base: String,
    pub(crate) credential: AwsCredential,
    pub(crate) region: String,
    pub(crate) carrier: Carrier,
}

/// Why it did not take something.
pub(crate) struct Refusal {
    pub(crate) why: String,
    pub(crate) meaning: Meaning,
}

impl Direct {
    /// Writes an object.
    pub(crate) async fn put(&self, path: &str, content: &Content) -> Result<(), Refusal> {
        self.send(format!("{}/{path}", self.base), content).await.map(drop)
    }

    /// Writes a part, counted from 0; what it is called.
    pub(crate) async fn put_part(
        &self,
        path: &str,
        (upload, number): (&str, usize),
        content: &Content,
    ) -> Result<String, Refusal> {
        let (base, number) = (&self.base, number + 1);
        let upload = utf8_percent_encode(upload, NON_ALPHANUMERIC);
        let url = format!("{base}/{path}?partNumber={number}&uploadId={upload}");
        let told = self.send(url, content).await?;
        let name = told.get(ETAG).and_then(|name| name.to_str().ok());
        name.map(str::to_owned).ok_or_else(|| Refusal {
            why: "the answer to a part has no ETag".to_owned(),
            meaning: Meaning::No,
        })
    }

    /// Sends, and sends again what was not answered, or with 5xx.
    async fn send(&self, url: String, content: &Content) -> Result<HeaderMap, Refusal> {
        let hashed = content.clone();
        let digest = tokio::task::spawn_blocking(move || hashed.sha256()).await;
        let digest = digest.map_err(std::io::Error::other).flatten().map_err(|error| Refusal {
            why: format!("what is to be sent cannot be read: {error}"),
            meaning: Meaning::Away,
        })?;
        again(|| self.once(&url, content, &digest)).await
    }

    async fn once(
        &self,
        url: &str,
        content: &Content,
        digest: &[u8; 32],
    ) -> Result<HeaderMap, Refusal> {
        let wrong = |why: String| Refusal { why, meaning: Meaning::No };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = url.parse().map_err(|_| wrong(format!("'{url}' is no URL")))?;
        AwsAuthorizer::new(&self.credential, SERVICE, &self.region)
            .try_authorize(&mut request, Some(digest))
            .map_err(|error| wrong(words(&error)))?;
        let request = request.map(|_| Sent::Content(content.body()));
        let answer = self.carrier.send(request).await;
        let answer =
            answer.map_err(|error| Refusal { why: words(&error), meaning: Meaning::Away })?;
        judge(answer).await
    }
}

/// Tries, and tries again what was not answered, or with 5xx: as often and as long as `object_store` does.
async fn again<T, F>(mut once: impl FnMut() -> F) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let (mut wait, longest) = BACKOFF;
    let begun = Instant::now();
    let mut retries = 0;
    loop {
        let refusal = match once().await {
            Err(refusal) if refusal.meaning == Meaning::Away => refusal,
            done => return done,
        };
        if retries == RETRIES_MAX || begun.elapsed() > RETRY_TIMEOUT {
            return Err(refusal);
        }
        tracing::debug!(why = refusal.why, "a bucket is asked again");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(longest);
        retries += 1;
    }
}

/// The headers of an answer, or what it refuses with.
async fn judge<B>(answer: Response<B>) -> Result<HeaderMap, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (parts, mut body) = answer.into_parts();
    let mut text = Vec::new();
    // To its end, so that the connection can be used again.
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            if text.len() + data.len() > REFUSAL_BYTES_MAX {
                break;
            }
            text.extend_from_slice(&data);
        }
    };
    // Who waits here holds a place that others wait for.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, read).await;
    if parts.status.is_success() {
        return Ok(parts.headers);
    }
    let text = format!("{}: {}", parts.status, String::from_utf8_lossy(&text));
    let meaning = match parts.status {
        StatusCode::NOT_FOUND => Meaning::Missing,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Meaning::Away,
        StatusCode::BAD_REQUEST if text.contains(REQUEST_TIMEOUT) => Meaning::Away,
        status if status.is_server_error() => Meaning::Away,
        _ => Meaning::No,
    };
    Err(Refusal { why: words(&std::io::Error::other(text)), meaning })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;
    use std::fs::File;
    use std::io::Write;

    use distribution::Authorities;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use sha2::{Digest, Sha256};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Bucket, Keys};

    const REFUSED: &str = "<Error><Code>AccessDenied</Code><Message>Not you</Message></Error>";

    /// Answers so many connections, one request each; what came, head and body.
    async fn serve(listener: TcpListener, answers: Vec<String>) -> Vec<(String, Vec<u8>)> {
        let mut came = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head.split_once("content-length: ").unwrap().1;
            let length: usize = length.split_once('\r').unwrap().0.parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let (status, text) = answer.split_once('|').unwrap();
            let length = text.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\netag: \"e1\"\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            came.push((head, body));
        }
        came
    }

    #[tokio::test]
    async fn what_lies_in_a_file_is_sent_and_sent_again_after_trouble() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("s3://images/p?endpoint=http://{}", listener.local_addr().unwrap());
        let refusal = format!("403 Forbidden|{REFUSED}");
        let answers = ["503 Busy|", "200 OK|", "200 OK|", &refusal].map(str::to_owned);
        let server = tokio::spawn(serve(listener, answers.to_vec()));
        let connect = move || {
            let keys = Keys::new("AKIA", "secret", Some("token".to_owned()));
            Bucket::connect(&address.parse().unwrap(), &keys, &Authorities::default()).unwrap()
        };
        let bucket = tokio::task::spawn_blocking(connect).await.unwrap();
        let mut file: File = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let file = Some((std::sync::Arc::new(file), bytes.len() as u64));
        let content = Content::new(Bytes::new(), file, Bytes::from_static(b"rest"));
        let name = bucket.put_part_content("blobs/a", "an upload/+", 2, &content).await.unwrap();
        assert_eq!(name, "\"e1\"");
        bucket.put_content("uploads/a", &content).await.unwrap();
        let refused = bucket.put_content("uploads/a", &content).await.unwrap_err();
        assert!(!refused.is_transient() && refused.to_string().ends_with("AccessDenied: Not you"));

        let expected = [&bytes[..], b"rest"].concat();
        let digest = hex(&Sha256::digest(&expected));
        let came = server.await.unwrap();
        let part = "put /images/p/blobs/a?partnumber=3&uploadid=an%20upload%2f%2b http/1.1\r\n";
        let whole = "put /images/p/uploads/a http/1.1\r\n";
        for ((head, body), line) in came.iter().zip([part, part, whole, whole]) {
            assert!(head.starts_with(line), "{head}");
            assert!(head.contains(&format!("x-amz-content-sha256: {digest}\r\n")), "{head}");
            let signed = "signedheaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
            assert!(head.contains(signed), "{head}");
            assert!(*body == expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_is_away_is_not_asked_for_ever() {
        let check = async |took: Duration, meaning: Meaning, expected: usize| {
            let asked = Cell::new(0);
            let once = || async {
                asked.set(asked.get() + 1);
                tokio::time::sleep(took).await;
                Err::<(), _>(Refusal { why: "no".to_owned(), meaning })
            };
            assert!(again(once).await.is_err_and(|refusal| refusal.meaning == meaning));
            assert_eq!(asked.get(), expected, "{took:?} {meaning:?}");
        };
        check(Duration::ZERO, Meaning::Away, RETRIES_MAX + 1).await;
        check(RETRY_TIMEOUT / 2, Meaning::Away, 2).await;
        check(2 * RETRY_TIMEOUT, Meaning::Away, 1).await;
        check(Duration::ZERO, Meaning::No, 1).await;
        check(Duration::ZERO, Meaning::Missing, 1).await;
    }

    #[tokio::test]
    async fn a_status_says_whether_to_ask_again() {
        let check = async |status: u16, text: &'static str, expected: Option<Meaning>| {
            let body = Full::new(Bytes::from_static(text.as_bytes()));
            let answer = Response::builder().status(status).body(body).unwrap();
            let meaning = judge(answer).await.err().map(|refusal| refusal.meaning);
            assert_eq!(meaning, expected, "{status} {text}");
        };
        check(200, "", None).await;
        check(404, "", Some(Meaning::Missing)).await;
        check(429, "", Some(Meaning::Away)).await;
        check(503, "", Some(Meaning::Away)).await;
        check(400, "<Error><Code>RequestTimeout</Code></Error>", Some(Meaning::Away)).await;
        check(400, "<Error><Code>BadDigest</Code></Error>", Some(Meaning::No)).await;
        check(403, REFUSED, Some(Meaning::No)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_end_is_judged_by_its_status() {
        let answer = |status: u16| {
            let nothing = futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
            Response::builder().status(status).body(StreamBody::new(nothing)).unwrap()
        };
        assert!(judge(answer(200)).await.is_ok());
        assert!(judge(answer(503)).await.is_err_and(|refusal| refusal.meaning == Meaning::Away));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
