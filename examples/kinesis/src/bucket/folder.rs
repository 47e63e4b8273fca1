//! A folder as a bucket: the names of the objects are those of the files.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use md5::{Digest as _, Md5};
use tokio::task::spawn_blocking;

use super::{Changed, Listed, Object, Page};

/// Files whose names begin with it are no objects.
const HIDDEN: &str = ".";
const LOCK: &str = ".lock";

#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    tags: Tags,
}

/// The tags of the files that were read already, with the time and the length that they had.
type Tags = Arc<Mutex<BTreeMap<PathBuf, (SystemTime, u64, String)>>>;

impl Folder {
    /// # Errors
    /// If the folder cannot be created.
    pub(super) async fn open(root: &Path) -> Result<Self> {
        let root = root.to_owned();
        let folder = Self {
            root: root.clone(),
            tags: Tags::default(),
        };
        let created = spawn_blocking(move || fs::create_dir_all(root)).await?;
        created.with_context(|| format!("cannot create the folder {}", folder.root.display()))?;
        Ok(folder)
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        let is_plain = |component: Component<'_>| matches!(component, Component::Normal(name) if !name.to_string_lossy().starts_with(HIDDEN));
        if key.is_empty() || !Path::new(key).components().all(is_plain) {
            bail!("{key:?} is not a name for an object in a folder");
        }
        Ok(self.root.join(key))
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Object>> {
        let path = self.path(key)?;
        let read = spawn_blocking(move || read(&path)).await?;
        read.with_context(|| format!("cannot read {key}"))
    }

    #[allow(dead_code, reason = "the tests put objects as other programs do")]
    pub(super) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(key)?;
        let written = spawn_blocking(move || write(&path, &bytes)).await?;
        written.with_context(|| format!("cannot write {key}"))
    }

    pub(super) async fn replace(
        &self,
        key: &str,
        etag: Option<&str>,
        bytes: Bytes,
    ) -> Result<Result<String, Changed>> {
        let (path, root) = (self.path(key)?, self.root.clone());
        let expected = etag.map(str::to_owned);
        let replaced = spawn_blocking(move || {
            // Other programs wait here, until this value is dropped.
            let lock = File::create(root.join(LOCK))?;
            lock.lock()?;
            let current = read(&path)?.map(|object| object.etag);
            if current != expected {
                return Ok(Err(Changed));
            }
            write(&path, &bytes)?;
            io::Result::Ok(Ok(tag(&bytes)))
        });
        replaced
            .await?
            .with_context(|| format!("cannot write {key}"))
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Page> {
        let (root, tags) = (self.root.clone(), Arc::clone(&self.tags));
        let prefix = prefix.to_owned();
        let listed = spawn_blocking(move || {
            let mut objects = Vec::new();
            let mut tags = tags.lock().unwrap_or_else(PoisonError::into_inner);
            walk(&root, &root, &mut tags, &mut objects)?;
            objects.retain(|object: &Listed| object.key.starts_with(&prefix));
            objects.sort_unstable();
            io::Result::Ok(objects)
        });
        let objects = listed.await?;
        Ok(Page {
            objects: objects.with_context(|| format!("cannot list {}", self.root.display()))?,
            next: None,
        })
    }
}

fn tag(bytes: &[u8]) -> String {
    let digest = u128::from_be_bytes(Md5::digest(bytes).into());
    format!("\"{digest:032x}\"")
}

fn read(path: &Path) -> io::Result<Option<Object>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Object {
            etag: tag(&bytes),
            bytes: bytes.into(),
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Readers see the whole file or none.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(HIDDEN)
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The name is on the disk as well.
    File::open(folder)?.sync_all()
}

fn walk(
    root: &Path,
    folder: &Path,
    tags: &mut BTreeMap<PathBuf, (SystemTime, u64, String)>,
    objects: &mut Vec<Listed>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(HIDDEN) {
            continue;
        }
        let path = entry.path();
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Deleted since.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            walk(root, &path, tags, objects)?;
        } else if let Some(object) = listed(root, &path, &metadata, tags)? {
            objects.push(object);
        }
    }
    Ok(())
}

/// `None` if the file was deleted meanwhile, or its name is no text.
fn listed(
    root: &Path,
    path: &Path,
    metadata: &Metadata,
    tags: &mut BTreeMap<PathBuf, (SystemTime, u64, String)>,
) -> io::Result<Option<Listed>> {
    let Some(key) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
        return Ok(None);
    };
    let (modified, size) = (metadata.modified()?, metadata.len());
    let known = tags
        .get(path)
        .filter(|known| (known.0, known.1) == (modified, size));
    let etag = match known {
        Some((_, _, etag)) => etag.clone(),
        None => match read(path)? {
            Some(object) => object.etag,
            None => return Ok(None),
        },
    };
    tags.insert(path.to_owned(), (modified, size, etag.clone()));
    Ok(Some(Listed {
        key: key.to_owned(),
        etag,
        size,
    }))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    async fn folder() -> (TempDir, Folder) {
        let place = TempDir::new().unwrap();
        let folder = Folder::open(&place.path().join("bucket")).await.unwrap();
        (place, folder)
    }

    #[tokio::test]
    async fn objects_are_listed_by_name_and_tagged_by_content() {
        let (_place, folder) = folder().await;
        for (key, text) in [("b/2", "x"), ("b/1", "x"), ("a/1", "y")] {
            folder.put(key, text.into()).await.unwrap();
        }
        let keys = |page: &Page| {
            page.objects
                .iter()
                .map(|o| o.key.clone())
                .collect::<Vec<_>>()
        };
        let page = folder.list("b/").await.unwrap();
        assert_eq!(keys(&page), ["b/1", "b/2"]);
        assert_eq!(page.objects[0].etag, page.objects[1].etag);
        let again = folder.list("").await.unwrap();
        assert_eq!(keys(&again), ["a/1", "b/1", "b/2"]);
        assert_eq!(again.objects[1], page.objects[0]);

        folder.put("b/1", "z".into()).await.unwrap();
        let changed = folder.list("b/").await.unwrap();
        assert_ne!(changed.objects[0].etag, page.objects[0].etag);
        let object = folder.get("b/1").await.unwrap().unwrap();
        assert_eq!(
            (&object.bytes[..], &object.etag),
            (&b"z"[..], &changed.objects[0].etag)
        );
        assert_eq!(folder.get("b/3").await.unwrap(), None);
    }

    #[tokio::test]
    async fn one_of_two_programs_replaces_an_object() {
        let (place, folder) = folder().await;
        let other = Folder::open(&place.path().join("bucket")).await.unwrap();
        let first = folder
            .replace("state", None, "1".into())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            other.replace("state", None, "2".into()).await.unwrap(),
            Err(Changed)
        );
        let (a, b) = tokio::join!(
            folder.replace("state", Some(&first), "a".into()),
            other.replace("state", Some(&first), "b".into()),
        );
        let won = [a.unwrap().is_ok(), b.unwrap().is_ok()];
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let expected = if won[0] { "a" } else { "b" };
        assert_eq!(folder.get("state").await.unwrap().unwrap().bytes, expected);
    }

    #[tokio::test]
    async fn names_stay_in_the_folder() {
        let (_place, folder) = folder().await;
        for key in ["", "../a", "/a", "a/../b", ".lock", "a/.b", "."] {
            assert!(folder.put(key, Bytes::new()).await.is_err(), "{key}");
        }
    }
}
