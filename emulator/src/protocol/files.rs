//! Appends of rows that were uploaded as files: each fragment is looked up in the stage, checked against what is said of
//! it, decrypted and decompressed; from there on it is rows like any others. Observed of the official SDK 1.9.1, which
//! does so by itself from 1 MiB.

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde::Deserialize;
use serde_json::Value;

use super::append::accepted;
#[cfg(feature = "__uploads")]
use super::aws_chunked;
use super::routes::{Call, STAGE};
use super::stage::Stage;
use crate::catalog::tables::Pipe;
use crate::channels::channel::is_elastic;
use crate::channels::state::{Append, Standing, State};
use crate::messages::answer::{Answer, Refusal};
use crate::messages::body;

/// The most fragments of one append.
const MOST_FRAGMENTS: usize = 1_000;
/// The only encryption: AES in counter mode, with a 256-bit key despite its name.
const ENCRYPTION: &str = "AES-CTR-128.1";

/// A part of a file. The uncompressed length is ignored, because the official SDK counts a byte too many for each row.
#[derive(Debug, Deserialize)]
struct Fragment {
    file_path: String,
    file_etag: String,
    file_length_bytes: usize,
    #[serde(rename = "fragment_length_bytes")]
    length: usize,
    #[serde(rename = "fragment_start_byte_offset", default)]
    start: usize,
    #[serde(rename = "fragment_start_offset_token")]
    start_token: Option<String>,
    #[serde(rename = "fragment_end_offset_token")]
    end_token: Option<String>,
    #[serde(rename = "fragment_row_count")]
    rows: usize,
    diversifier: Value,
    master_key_id: Value,
    iv_base64: String,
    encryption_version: String,
}

/// Appends the rows of uploaded files.
pub(crate) fn append(
    state: &mut State,
    uploads: &mut Stage,
    now_ms: u64,
    pipe: &Pipe,
    channel: &str,
    call: &Call,
    request: &Request<Bytes>,
) -> Result<Answer, Refusal> {
    let fragments = fragments(request.body())?;
    let token = call.query.continuation_token.as_deref();
    let is_elastic = is_elastic(channel);
    // Files that were appended already may be deleted.
    if !is_elastic && let Standing::Known(next) = state.stand(pipe, channel, token)? {
        return Ok(accepted(&next));
    }
    let rows = rows_of(state, uploads, pipe, &fragments)?;
    let next = if is_elastic {
        state.append_elastic(pipe, rows)?;
        String::new()
    } else {
        let present = |token: &Option<String>| token.clone().filter(|token| !token.is_empty());
        let mut starts = fragments.iter().map(|fragment| &fragment.start_token);
        let mut ends = fragments.iter().map(|fragment| &fragment.end_token);
        let append = Append {
            continuation_token: token,
            start_token: starts.find_map(present),
            end_token: ends.by_ref().rev().find_map(present),
            body: rows,
        };
        state.append(pipe, channel, append)?
    };
    for fragment in &fragments {
        uploads.claim(fragment.key(), now_ms);
    }
    Ok(accepted(&next))
}

/// The rows of all fragments, in order.
fn rows_of(
    state: &State,
    uploads: &Stage,
    pipe: &Pipe,
    fragments: &[Fragment],
) -> Result<Vec<u8>, Refusal> {
    let most = state.rules.limits.file_bytes;
    let lengths = fragments.iter().map(|fragment| fragment.length);
    if lengths.fold(0, usize::saturating_add) > most {
        return Err(Refusal::too_large(format!(
            "The fragments are longer than {most} bytes, which is the most."
        )));
    }
    let mut rows = Vec::new();
    for fragment in fragments {
        let mut more = rows_of_one(uploads, pipe, fragment, most.saturating_sub(rows.len()))?;
        if rows.is_empty() {
            rows = more;
        } else {
            rows.append(&mut more);
        }
    }
    let tokens = fragments
        .iter()
        .flat_map(|fragment| [&fragment.start_token, &fragment.end_token]);
    body::check_rows(
        &rows,
        tokens.flatten().map(String::len).max().unwrap_or(0) * 2,
    )?;
    Ok(rows)
}

fn rows_of_one(
    uploads: &Stage,
    pipe: &Pipe,
    fragment: &Fragment,
    most: usize,
) -> Result<Vec<u8>, Refusal> {
    let grants = &uploads.grants;
    let file = uploads
        .get(fragment.key())
        // Files of other pipes do not exist for this one.
        .filter(|_| fragment.key().starts_with(&grants.root(&pipe.name)))
        .ok_or_else(|| fragment.refused("is not in the stage of the pipe"))?;
    let stated_etag = fragment.file_etag.trim_matches('"');
    if stated_etag != file.etag || fragment.file_length_bytes != file.content.len() {
        return Err(fragment.refused("has another etag or length in the stage"));
    }
    let is_same = |stated: &Value, actual: &str| match stated {
        Value::String(stated) => stated == actual,
        Value::Number(stated) => stated.to_string() == actual,
        _ => false,
    };
    if fragment.encryption_version != ENCRYPTION
        || !is_same(&fragment.master_key_id, &grants.key_id(&pipe.name))
        || !is_same(&fragment.diversifier, &grants.diversifier(&pipe.name))
    {
        return Err(fragment.refused("is not encrypted with the key of the pipe"));
    }
    let start = fragment.start;
    let part = start
        .checked_add(fragment.length)
        .and_then(|end| file.content.get(start..end))
        .ok_or_else(|| fragment.refused("does not have the bytes of the fragment"))?;
    let iv = STANDARD.decode(&fragment.iv_base64).ok();
    let iv = iv
        .and_then(|iv| <[u8; 16]>::try_from(iv).ok())
        .ok_or_else(|| fragment.refused("has no initialization vector of 16 bytes"))?;
    let mut part = part.to_vec();
    let plain = decrypt(&grants.key(&pipe.name), iv, &mut part)
        .ok_or_else(|| fragment.refused("cannot be decrypted"))?;
    let rows = body::unpack_zstd(plain, most)?;
    if body::lines(&rows).count() != fragment.rows {
        return Err(fragment.refused("does not have the stated number of rows"));
    }
    Ok(rows)
}

impl Fragment {
    /// The key of its file.
    fn key(&self) -> &str {
        let key = self.file_path.strip_prefix(STAGE);
        key.and_then(|key| key.strip_prefix('/'))
            .unwrap_or_default()
    }

    fn refused(&self, why: &str) -> Refusal {
        Refusal::malformed(format!("The file {:?} {why}.", self.file_path))
    }
}

fn fragments(body: &[u8]) -> Result<Vec<Fragment>, Refusal> {
    let fragments: Vec<Fragment> = serde_json::from_slice(body).map_err(|why| {
        Refusal::malformed(format!("The body is not a list of fragments: {why}."))
    })?;
    match fragments.len() {
        1..=MOST_FRAGMENTS => Ok(fragments),
        count => Err(Refusal::malformed(format!(
            "An append names from 1 to {MOST_FRAGMENTS} fragments, not {count}."
        ))),
    }
}

/// The content of an upload in pieces, decrypted.
#[cfg(feature = "__uploads")]
pub fn open_upload(body: &[u8], length: usize, key: &[u8], iv: [u8; 16]) -> Option<Vec<u8>> {
    let mut content = aws_chunked::decode(body, length, true).ok()?;
    decrypt(key, iv, &mut content)?;
    Some(content)
}

fn decrypt<'a>(key: &[u8], iv: [u8; 16], content: &'a mut [u8]) -> Option<&'a [u8]> {
    let key = UnboundCipherKey::new(&AES_256, key).ok()?;
    let from = DecryptionContext::Iv128(FixedLength::from(iv));
    let plain = DecryptingKey::ctr(key).ok()?.decrypt(content, from).ok()?;
    Some(plain)
}
