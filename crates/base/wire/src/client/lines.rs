//! Answers that are read while they come.

use bytes::Bytes;
use http_body_util::BodyExt;

use super::{ANSWER_LIMIT_BYTES, Client, ClientError};

/// An answer that comes line by line.
#[derive(Debug)]
pub struct Lines {
    pub(super) client: Client,
    pub(super) body: hyper::body::Incoming,
    pub(super) read: Vec<u8>,
}

impl Lines {
    /// The next line without its end, or `None` after the last. What follows the last line's end
    /// is a line too, if it is not empty.
    ///
    /// # Errors
    /// If the connection breaks, a line is longer than an answer may be, or is no UTF-8.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.read[searched..].iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.read.drain(..=searched + end).collect();
                line.pop();
                return self.text(line).map(Some);
            }
            searched = self.read.len();
            if searched > ANSWER_LIMIT_BYTES {
                return Err(self.client.unexpected("a line without an end".to_owned()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    self.read.extend_from_slice(frame.data_ref().map_or(&[], |data| data))
                }
                Some(Err(error)) => return Err(self.client.transport(error)),
                None if self.read.is_empty() => return Ok(None),
                None => {
                    let line = std::mem::take(&mut self.read);
                    return self.text(line).map(Some);
                }
            }
        }
    }

    /// The next bytes as they come, for an answer that is no text; `None` at its end.
    ///
    /// # Errors
    /// If the connection breaks before the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        if !self.read.is_empty() {
            return Ok(Some(std::mem::take(&mut self.read).into()));
        }
        loop {
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => continue,
                },
                Some(Err(error)) => return Err(self.client.transport(error)),
                None => return Ok(None),
            }
        }
    }

    fn text(&self, line: Vec<u8>) -> Result<String, ClientError> {
        String::from_utf8(line)
            .map_err(|_| self.client.unexpected("bytes that are no UTF-8".to_owned()))
    }
}
