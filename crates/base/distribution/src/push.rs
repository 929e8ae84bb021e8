//! Pushing to a repository.

use std::future::Future;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;

use crate::ClientError;
use crate::http::{Ask, resolve};
use crate::remote::{Remote, text};

/// What is sent at a time, in bytes: a part that breaks off is lost, so not too much.
const PART_BYTES: u64 = 8 * 1024 * 1024;

impl Remote {
    /// Uploads a blob of `size_bytes` in parts. `read` gives so many bytes from an offset.
    ///
    /// # Errors
    /// What `read` failed with, made of [`ClientError`] where the registry did.
    pub async fn upload<E, F>(
        &self,
        digest: &str,
        size_bytes: u64,
        mut read: impl FnMut(u64, u64) -> F,
    ) -> Result<(), E>
    where
        E: From<ClientError>,
        F: Future<Output = Result<Bytes, E>>,
    {
        let what = format!("the upload of {digest}");
        let url = self.url("blobs/uploads/")?;
        let (response, ask) =
            self.ask(Method::POST, url, HeaderMap::new(), Bytes::new(), &what).await?;
        let mut at = self.next_place(response, &ask, StatusCode::ACCEPTED).await?;
        let mut sent = 0;
        while size_bytes - sent > PART_BYTES {
            let part = read(sent, PART_BYTES).await?;
            let mut headers = HeaderMap::new();
            let range = format!("{sent}-{}", sent + PART_BYTES - 1);
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("digits are ASCII"));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            let (response, ask) = self.ask(Method::PATCH, at, headers, part, &what).await?;
            at = self.next_place(response, &ask, StatusCode::ACCEPTED).await?;
            sent += PART_BYTES;
        }
        let part = match size_bytes - sent {
            0 => Bytes::new(),
            left => read(sent, left).await?,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let separator = if at.query().is_some() { '&' } else { '?' };
        let end = format!("{at}{separator}digest={digest}");
        let end =
            end.parse::<Uri>().map_err(|_| ClientError::malformed("an upload's address", &end))?;
        let (response, ask) = self.ask(Method::PUT, end, headers, part, &what).await?;
        match response.status() {
            StatusCode::CREATED => Ok(()),
            _ => Err(self.http.refusal(response, &ask).await.into()),
        }
    }

    /// Where an upload goes on.
    async fn next_place(
        &self,
        response: Response<Incoming>,
        ask: &Ask,
        expected: StatusCode,
    ) -> Result<Uri, ClientError> {
        if response.status() != expected {
            return Err(self.http.refusal(response, ask).await);
        }
        let location = text(response.headers(), &LOCATION);
        let place = location.as_deref().and_then(|location| resolve(&ask.url, location));
        place.ok_or_else(|| ClientError::malformed("the registry's answer", "it names no upload"))
    }

    /// Puts a manifest whose blobs are there, with the given tags.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_manifest(
        &self,
        digest: &str,
        tags: &[String],
        content_type: &str,
        bytes: Bytes,
    ) -> Result<(), ClientError> {
        let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let separator = if query.is_empty() { "" } else { "?" };
        let place = format!("{digest}{separator}{}", query.join("&"));
        self.put_manifest_at(&place, digest, content_type, bytes).await
    }

    /// Puts a manifest whose blobs are there under a tag, or its digest.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_manifest_as(
        &self,
        reference: &str,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<(), ClientError> {
        self.put_manifest_at(reference, reference, content_type, bytes).await
    }

    /// Puts what errors call `name`.
    async fn put_manifest_at(
        &self,
        place: &str,
        name: &str,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<(), ClientError> {
        let url = self.url(&format!("manifests/{place}"))?;
        let mut headers = HeaderMap::new();
        let content_type = HeaderValue::from_str(content_type)
            .map_err(|_| ClientError::malformed("the manifest's type", content_type))?;
        headers.insert(CONTENT_TYPE, content_type);
        let what = format!("manifest {name}");
        let (response, ask) = self.ask(Method::PUT, url, headers, bytes, &what).await?;
        match response.status() {
            StatusCode::CREATED => Ok(()),
            _ => Err(self.http.refusal(response, &ask).await),
        }
    }
}
