//! The lock leaves alone what the emulator has not written.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{beside, locate, lock};

fn refused(path: &Path) -> String {
    let locked = locate(path).and_then(|path| lock(&path));
    locked.expect_err("it is refused").to_string()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a directory");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

#[test]
fn a_file_with_the_name_of_the_lock_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("Cargo");
    let at = beside(&path, ".lock");
    for text in ["version = 4", "17\n18", &"9".repeat(100)] {
        fs::write(&at, text).expect("a file");
        let why = refused(&path);
        assert!(
            why.contains("Cargo.lock is not a lock of the emulator"),
            "{why}"
        );
        assert_eq!(fs::read_to_string(&at).expect("the file"), text);
    }
    // A lock that an earlier process has left is taken, as is one of which nothing was written.
    for text in ["4711\n", ""] {
        fs::write(&at, text).expect("a file");
        drop(lock(&path).expect("it is locked"));
    }
}

#[test]
fn the_target_of_a_link_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, target) = (dir.path().join("e.db"), dir.path().join("victim"));
    symlink(&target, beside(&path, ".lock")).expect("a link");
    assert!(refused(&path).contains("is not a lock of the emulator"));
    assert!(!target.exists());
    fs::write(&target, "").expect("a file");
    assert!(refused(&path).contains("is not a lock of the emulator"));
    assert_eq!(fs::read(&target).expect("the file"), b"");
}

#[test]
fn nothing_is_left_beside_a_file_of_another_program() {
    let dir = tempfile::tempdir().expect("a directory");
    let inside = |name| dir.path().join(name);
    fs::write(inside("passwd"), "root:x:0:0:root:/root:/bin/bash\n").expect("a file");
    let other = Connection::open(inside("other.db")).expect("a database");
    let made = "CREATE TABLE MINE (A); PRAGMA application_id = 7";
    other.execute_batch(made).expect("a table");
    drop(other);
    let before = files(dir.path());
    for name in ["passwd", "other.db"] {
        assert!(
            refused(&inside(name)).contains("is not a data file"),
            "{name}"
        );
    }
    assert!(refused(Path::new("/dev/null")).contains("is not a regular file"));
    assert!(!Path::new("/dev/null.lock").exists());
    assert_eq!(files(dir.path()), before);
}
