//! The files that the official SDK uploads and then appends by name. Their lengths are always kept, and their content only if
//! rows are read.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::account::PIPE_KEY;

/// The description of a file in an append.
#[derive(Debug, Deserialize)]
pub(crate) struct Fragment {
    file_path: String,
    file_length_bytes: u64,
    #[serde(rename = "fragment_start_byte_offset")]
    start_byte: u64,
    #[serde(rename = "fragment_length_bytes")]
    length: u64,
    #[serde(rename = "fragment_start_offset_token")]
    pub(crate) start: Option<String>,
    #[serde(rename = "fragment_end_offset_token")]
    pub(crate) end: Option<String>,
    #[serde(rename = "fragment_row_count")]
    pub(crate) rows: u64,
    iv_base64: String,
}

/// A file in the encoding of its upload: chunks with their lengths, and a checksum.
#[derive(Debug)]
pub(crate) struct Upload {
    /// The length of the file itself.
    pub(crate) length: u64,
    /// The body of the upload, if rows are read.
    pub(crate) body: Option<Bytes>,
}

/// Uploaded files that are not appended yet.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<String, Upload>);

impl Files {
    pub(crate) fn put(&mut self, path: String, upload: Upload) {
        self.0.insert(path, upload);
    }

    /// Removes and returns the file of a fragment. Each file can be appended once.
    pub(crate) fn take(&mut self, fragment: &Fragment) -> Result<Upload, String> {
        let Fragment { file_path, .. } = fragment;
        let upload = self
            .0
            .remove(file_path)
            .ok_or_else(|| format!("{file_path} was not uploaded, or appended before"))?;
        let said = (
            fragment.file_length_bytes,
            fragment.start_byte,
            fragment.length,
        );
        if said != (upload.length, 0, upload.length) {
            return Err(format!(
                "{file_path} has {} bytes, and the append names {} of {} from byte {} on",
                upload.length, fragment.length, fragment.file_length_bytes, fragment.start_byte
            ));
        }
        Ok(upload)
    }
}

impl Fragment {
    /// The zstd frame in an upload.
    pub(crate) fn open(&self, upload: &Upload, body: &[u8]) -> Result<Vec<u8>, String> {
        let iv = STANDARD.decode(&self.iv_base64).ok();
        let iv: Option<[u8; 16]> = iv.and_then(|iv| iv.try_into().ok());
        usize::try_from(upload.length)
            .ok()
            .zip(iv)
            .and_then(|(length, iv)| {
                snowpipe_streaming_emulator::__open_upload(body, length, &PIPE_KEY, iv)
            })
            .ok_or_else(|| format!("the upload of {} cannot be read", self.file_path))
    }
}
