//! A folder as a bucket: the names of the objects are those of the files.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use md5::{Digest as _, Md5};
use tokio::task::spawn_blocking;

use super::{Changed, Listed, MAX_OBJECT, Object, Page, TooLong};

/// Files whose names begin with it are no objects.
const HIDDEN: &str = ".";
const LOCK: &str = ".lock";
/// A program has the lock while it writes one object.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
const LOCK_POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    tags: Tags,
}

/// The tags of the files that were read already, with the time and the length that they had.
type Tags = Arc<Mutex<Known>>;
type Known = BTreeMap<PathBuf, (SystemTime, u64, String)>;

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
        match read.with_context(|| format!("cannot read {key}"))? {
            Read::All(object) => Ok(Some(object)),
            Read::TooLong => Err(TooLong(key.to_owned()).into()),
            Read::Missing => Ok(None),
        }
    }

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
            // Other programs wait until this value is dropped.
            let _lock = lock(&root.join(LOCK), LOCK_TIMEOUT)?;
            let current = tag_of(&path)?;
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
            let mut seen = BTreeMap::new();
            walk(&root, &root, &tags, &mut seen, &mut objects)?;
            *tags = seen;
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

/// Locks a file for as long as the returned value lives.
fn lock(path: &Path, limit: Duration) -> io::Result<File> {
    let file = File::create(path)?;
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begin.elapsed() >= limit => {
                let what = format!(
                    "another program has held the lock {} for {limit:?}; end it if it hangs",
                    path.display()
                );
                return Err(io::Error::new(ErrorKind::TimedOut, what));
            }
            Err(TryLockError::WouldBlock) => sleep(LOCK_POLL),
        }
    }
}

fn tag(bytes: &[u8]) -> String {
    as_tag(Md5::new_with_prefix(bytes))
}

fn as_tag(digest: Md5) -> String {
    let digest = u128::from_be_bytes(digest.finalize().into());
    format!("\"{digest:032x}\"")
}

enum Read {
    All(Object),
    TooLong,
    Missing,
}

fn read(path: &Path) -> io::Result<Read> {
    let Some(file) = open(path)? else {
        return Ok(Read::Missing);
    };
    let mut bytes = Vec::new();
    if file.take(MAX_OBJECT + 1).read_to_end(&mut bytes)? as u64 > MAX_OBJECT {
        return Ok(Read::TooLong);
    }
    Ok(Read::All(Object {
        etag: tag(&bytes),
        bytes: bytes.into(),
    }))
}

/// The tag of a file of any length, or `None` if there is none.
fn tag_of(path: &Path) -> io::Result<Option<String>> {
    let Some(mut file) = open(path)? else {
        return Ok(None);
    };
    let mut digest = Md5::new();
    io::copy(&mut file, &mut digest)?;
    Ok(Some(as_tag(digest)))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
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
    tags: &Known,
    seen: &mut Known,
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
        // A link to a folder may lead back to this one.
        let metadata = match metadata.is_symlink().then(|| fs::metadata(&path)) {
            None => metadata,
            Some(Ok(target)) if target.is_file() => target,
            Some(_) => continue,
        };
        if metadata.is_dir() {
            walk(root, &path, tags, seen, objects)?;
        } else if let Some(object) = listed(root, &path, &metadata, tags, seen)? {
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
    tags: &Known,
    seen: &mut Known,
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
        None => match tag_of(path)? {
            Some(etag) => etag,
            None => return Ok(None),
        },
    };
    seen.insert(path.to_owned(), (modified, size, etag.clone()));
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

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_to_a_folder_is_no_object() {
        use std::os::unix::fs::symlink;

        let (place, folder) = folder().await;
        folder.put("a/1", "x".into()).await.unwrap();
        let root = place.path().join("bucket");
        symlink(&root, root.join("a/b")).unwrap();
        symlink(root.join("a/1"), root.join("c")).unwrap();
        let page = folder.list("").await.unwrap();
        let keys: Vec<_> = page.objects.into_iter().map(|object| object.key).collect();
        assert_eq!(keys, ["a/1", "c"]);
    }

    #[test]
    fn a_lock_that_is_held_is_named() {
        let place = TempDir::new().unwrap();
        let path = place.path().join(LOCK);
        let held = lock(&path, Duration::ZERO).unwrap();
        let refused = lock(&path, Duration::ZERO).unwrap_err();
        assert!(refused.to_string().contains(LOCK), "{refused}");
        drop(held);
        assert!(lock(&path, Duration::ZERO).is_ok());
    }

    #[tokio::test]
    async fn names_stay_in_the_folder() {
        let (_place, folder) = folder().await;
        for key in ["", "../a", "/a", "a/../b", ".lock", "a/.b", "."] {
            assert!(folder.put(key, Bytes::new()).await.is_err(), "{key}");
        }
    }
}
