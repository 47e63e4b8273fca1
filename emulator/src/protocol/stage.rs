//! The stage that files are uploaded to: the part of S3 that an upload needs, in bounded memory.
//!
//! A client with the session token of a pipe's stage may write below its prefix. The signature is not verified, because it
//! proves nothing more.
//!
//! The stage is derived from one secret and not stored: key, prefix and session token are the same after a restart with the
//! same private key.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, ETAG, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

use super::aws_chunked;
use super::pipe_info::{Credentials, Grants};
use super::routes::STAGE;
use crate::catalog::binary::hex;
use crate::messages::answer::{Answer, Refusal};

/// The most bytes of all files together. An upload that does not fit is refused with a request to try again later.
const MOST_BYTES: usize = 256 * 1024 * 1024;
/// The memory of a file besides its content and its name.
const OVERHEAD: usize = 256;
/// The longest key, as in S3.
const MOST_KEY: usize = 1024;
/// How long a file is kept for an append that names it.
const UNCLAIMED_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a file is kept for a repetition of the append that named it.
const CLAIMED_LIFE: Duration = Duration::from_secs(2 * 60);

const SESSION_TOKEN: &str = "x-amz-security-token";
const DECODED_LENGTH: &str = "x-amz-decoded-content-length";
const CRC32: &str = "x-amz-checksum-crc32";
/// The headers that follow the body.
const TRAILER: &str = "x-amz-trailer";

/// A file as it was uploaded.
#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    pub(crate) content: Bytes,
    pub(crate) etag: String,
    /// When the file is deleted.
    until_ms: u64,
    claimed: bool,
}

/// The files by their keys, and the credentials to write them.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) grants: Grants,
    files: BTreeMap<String, StoredFile>,
    bytes: usize,
}

impl Stage {
    /// An empty stage whose credentials are derived from a secret.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self {
            grants: Grants::new(secret),
            files: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Deletes all files.
    pub(crate) fn clear(&mut self) {
        self.files.clear();
        self.bytes = 0;
    }

    /// The file of this key.
    pub(crate) fn get(&self, key: &str) -> Option<&StoredFile> {
        self.files.get(key)
    }

    /// Marks a file whose rows are accepted: it is kept only for a repetition of the append.
    pub(crate) fn claim(&mut self, key: &str, now_ms: u64) {
        if let Some(file) = self.files.get_mut(key) {
            file.claimed = true;
            file.until_ms = later(now_ms, CLAIMED_LIFE);
        }
    }

    /// Stores a file if there is room, and returns its `ETag`.
    fn put(&mut self, key: String, content: Vec<u8>, now_ms: u64) -> Option<String> {
        let before = self.remove(&key);
        if self.make_room(weight(&key, &content), now_ms).is_none() {
            // A refused file does not replace the one before.
            if let Some(file) = before {
                self.insert(key, file);
            }
            return None;
        }
        let etag = hex(&Sha256::digest(&content), 16);
        let file = StoredFile {
            etag: etag.clone(),
            until_ms: later(now_ms, UNCLAIMED_LIFE),
            claimed: false,
            content: content.into(),
        };
        self.insert(key, file);
        Some(etag)
    }

    fn insert(&mut self, key: String, file: StoredFile) {
        self.bytes += weight(&key, &file.content);
        self.files.insert(key, file);
    }

    /// Deletes expired files and, if necessary, files that are only kept for a repetition, the oldest first.
    fn make_room(&mut self, bytes: usize, now_ms: u64) -> Option<()> {
        let over = self
            .files
            .iter()
            .filter(|(_, file)| file.until_ms <= now_ms);
        let over: Vec<String> = over.map(|(key, _)| key.clone()).collect();
        for key in over {
            self.remove(&key);
        }
        while self.bytes.saturating_add(bytes) > MOST_BYTES {
            let claimed = self.files.iter().filter(|(_, file)| file.claimed);
            let oldest = claimed.min_by_key(|(_, file)| file.until_ms)?.0.clone();
            self.remove(&oldest);
        }
        Some(())
    }

    fn remove(&mut self, key: &str) -> Option<StoredFile> {
        let file = self.files.remove(key)?;
        self.bytes -= weight(key, &file.content);
        Some(file)
    }
}

/// Stores an uploaded file of at most `most` bytes. Refusals have the codes of S3.
pub(crate) fn upload(
    stage: &mut Stage,
    now_ms: u64,
    request: &Request<Bytes>,
    most: usize,
) -> Result<Answer, Refusal> {
    let key = writable_key(&stage.grants, now_ms, request)?;
    if request.body().len() > most {
        return Err(Refusal::bad_request(
            "EntityTooLarge",
            format!("The upload is longer than {most} bytes, which is the most."),
        ));
    }
    let content = content(request.headers(), request.body())?;
    let Some(etag) = stage.put(key, content, now_ms) else {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "SlowDown",
            "The stage is full until files are appended or expire.",
        ));
    };
    let mut answer = Response::new(Bytes::new());
    let etag = HeaderValue::from_str(&format!("\"{etag}\""));
    answer
        .headers_mut()
        .extend(etag.ok().map(|etag| (ETAG, etag)));
    Ok(answer)
}

/// The key that an upload is for, if its session token grants it.
fn writable_key(grants: &Grants, now_ms: u64, request: &Request<Bytes>) -> Result<String, Refusal> {
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
    let key = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(STAGE)?.strip_prefix('/'))
        .unwrap_or_default();
    if key.len() > MOST_KEY {
        return Err(Refusal::bad_request(
            "KeyTooLongError",
            format!("The key is longer than {MOST_KEY} bytes, which is the most."),
        ));
    }
    let forbidden =
        |code: &str, message: &str| Err(Refusal::new(StatusCode::FORBIDDEN, code, message));
    let token = text(request.headers(), SESSION_TOKEN).unwrap_or_default();
    match grants.check(token, now_ms) {
        Credentials::Good(prefix)
            if key
                .strip_prefix(&*prefix)
                .is_some_and(|name| !name.is_empty()) =>
        {
            Ok(key.to_owned())
        }
        Credentials::Good(_) => forbidden(
            "AccessDenied",
            "The session token is for another place in the stage.",
        ),
        Credentials::Expired => forbidden("ExpiredToken", "The session token has expired."),
        Credentials::Unknown => forbidden(
            "InvalidToken",
            "The session token is not one that pipe-info gave.",
        ),
    }
}

/// What an upload holds, with its checksum verified if it has one.
fn content(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let is_chunked = headers.get_all(CONTENT_ENCODING).iter().any(|encoding| {
        let encoding = encoding.to_str().unwrap_or_default();
        encoding.split(',').any(|one| one.trim() == "aws-chunked")
    });
    if is_chunked {
        let length = text(headers, DECODED_LENGTH).and_then(|length| length.parse().ok());
        let length = length.ok_or_else(|| {
            Refusal::new(
                StatusCode::LENGTH_REQUIRED,
                "MissingContentLength",
                format!("An upload in pieces needs the header {DECODED_LENGTH}."),
            )
        })?;
        let announced = text(headers, TRAILER).unwrap_or_default();
        let is_announced = announced
            .split(',')
            .any(|name| name.trim().eq_ignore_ascii_case(CRC32));
        return aws_chunked::decode(body, length, is_announced).map_err(|why| {
            let code = match why {
                aws_chunked::Malformed::Checksum => "BadDigest",
                aws_chunked::Malformed::NoChecksum => "MalformedTrailerError",
                _ => "IncompleteBody",
            };
            Refusal::bad_request(code, format!("The upload cannot be read: {why}."))
        });
    }
    match text(headers, CRC32) {
        Some(checksum) if !aws_chunked::has_crc32(body, checksum) => Err(Refusal::bad_request(
            "BadDigest",
            "The upload does not have the CRC32 that its header says.",
        )),
        _ => Ok(body.to_vec()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn weight(key: &str, content: &[u8]) -> usize {
    key.len() + content.len() + OVERHEAD
}

fn later(now_ms: u64, life: Duration) -> u64 {
    now_ms.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX))
}
