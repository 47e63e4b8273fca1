//! Where the micro-batch path keeps its objects: a folder, or a bucket of Amazon S3.

mod folder;
#[cfg(feature = "s3")]
mod s3;

use std::str::FromStr;

use anyhow::Result;
use bytes::Bytes;

use self::folder::Folder;

/// A place for objects. Clones are the same place.
#[derive(Debug, Clone)]
pub enum Bucket {
    /// A folder on this machine.
    Folder(Folder),
    /// A bucket of S3, or of a server that speaks its protocol.
    #[cfg(feature = "s3")]
    S3(s3::S3),
}

/// The bucket that the user names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketName {
    /// The path of a folder.
    Folder(std::path::PathBuf),
    /// The name of a bucket in S3.
    S3(String),
}

/// The content of an object, and the tag that changes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The content.
    pub bytes: Bytes,
    /// The tag.
    pub etag: String,
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its tag.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A part of a list.
#[derive(Debug, Default)]
pub struct Page {
    /// The objects, ordered by their keys.
    pub objects: Vec<Listed>,
    /// Where the next part begins. `None`: this was the last one.
    pub next: Option<String>,
}

/// Longer objects are not this program's.
const MAX_OBJECT: u64 = 64 << 20;

/// The object is longer than this program reads at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is longer than {limit} MB", limit = MAX_OBJECT >> 20)]
pub struct TooLong(String);

/// The object has another tag than expected: another program has written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed;

impl Bucket {
    /// # Errors
    /// If the folder cannot be created, or the program was built without S3.
    pub async fn open(name: &BucketName) -> Result<Self> {
        match name {
            BucketName::Folder(path) => Ok(Self::Folder(Folder::open(path).await?)),
            #[cfg(feature = "s3")]
            BucketName::S3(name) => Ok(Self::S3(s3::S3::open(name).await)),
            #[cfg(not(feature = "s3"))]
            BucketName::S3(name) => anyhow::bail!(
                "the bucket {name} is in S3: build the program with --features s3, or use a folder"
            ),
        }
    }

    /// The object, or `None` if there is none of this name.
    ///
    /// # Errors
    /// If the bucket cannot be read, or [`TooLong`].
    pub async fn get(&self, key: &str) -> Result<Option<Object>> {
        match self {
            Self::Folder(folder) => folder.get(key).await,
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.get(key).await,
        }
    }

    /// Writes an object, in place of one that may be there.
    ///
    /// # Errors
    /// If the bucket cannot be written. The object may be there nevertheless.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.put(key, bytes).await,
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.put(key, bytes).await,
        }
    }

    /// Writes an object if the one that is there has this tag, or if there is none. Returns the new tag.
    ///
    /// # Errors
    /// If the bucket cannot be written. The object may be there nevertheless.
    pub async fn replace(
        &self,
        key: &str,
        etag: Option<&str>,
        bytes: Bytes,
    ) -> Result<Result<String, Changed>> {
        match self {
            Self::Folder(folder) => folder.replace(key, etag, bytes).await,
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.replace(key, etag, bytes).await,
        }
    }

    /// Lists objects whose names begin with the prefix, by name.
    ///
    /// # Errors
    /// If the bucket cannot be read.
    pub async fn list(&self, prefix: &str, next: Option<String>) -> Result<Page> {
        match self {
            Self::Folder(folder) => {
                // Its first page has everything.
                drop(next);
                folder.list(prefix).await
            }
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.list(prefix, next).await,
        }
    }
}

impl FromStr for BucketName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("s3://") {
            None if text.is_empty() => Err("write a folder or s3://BUCKET".to_owned()),
            None => Ok(Self::Folder(text.into())),
            Some(name) => {
                let name = name.strip_suffix('/').unwrap_or(name);
                if name.is_empty() || name.contains('/') {
                    return Err("write only the name of the bucket: s3://BUCKET".to_owned());
                }
                Ok(Self::S3(name.to_owned()))
            }
        }
    }
}
