//! The folders of `src` are layers: a file imports only from its layer and those below. And no source file is too long.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the lowest to the highest. A module includes everything in its folder, except modules that are in this list
/// themselves.
const LAYERS: [&str; 19] = [
    "types",
    "base",
    "rows",
    "compress",
    "http",
    "auth",
    "config",
    "api",
    "context",
    "channel::polling",
    "channel::core",
    "channel",
    "channel::polling::poller",
    "elastic",
    "client",
    "ingest",
    "sql",
    "doctor",
    "conformance",
];

/// The rooms of the emulator from the lowest to the highest. The module `emulator` only names what is public; nothing below
/// imports from it.
const ROOMS: [&str; 15] = [
    "emulator::messages",
    "emulator::catalog",
    "emulator::sql",
    "emulator::ddl",
    "emulator::storage",
    "emulator::channels",
    "emulator::auth",
    "emulator::protocol",
    "emulator::sql_api",
    "emulator::connector",
    "emulator::instance",
    "emulator::memory",
    "emulator::admin",
    "emulator::server",
    "emulator::builder",
];

/// The layers of the client that the emulator may import: nothing that reads or writes the protocol.
const EMULATOR: [&str; 3] = ["types", "base", "http"];

const MOST_LINES: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below `folder`, relative to the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn visit(path: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                visit(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap();
                let name = name.to_str().unwrap().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    visit(&root().join(folder), &mut found);
    found
}

/// The index of the layer that `module` belongs to.
fn place(layers: &[&str], module: &str) -> Option<usize> {
    let is_in = |name: &str| {
        let rest = module.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let fitting = layers.iter().enumerate().filter(|(_, name)| is_in(name));
    fitting.max_by_key(|(_, name)| name.len()).map(|(i, _)| i)
}

fn layer(module: &str) -> Option<usize> {
    place(&LAYERS, module)
}

fn room(module: &str) -> Option<usize> {
    place(&ROOMS, module)
}

/// The module of a file of `src`.
fn module(file: &str) -> String {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    path.trim_end_matches("/mod").replace('/', "::")
}

/// The modules that a file names by a path from the crate's root or from `super`, outside of comments.
fn named(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    // Module paths are relative to the file here: `super` of an inline module never leads out of the folder.
    let own = module(file);
    let parent = own.rsplit_once("::").map_or("", |(parent, _)| parent);
    for (prefix, base) in [("crate::", ""), ("super::", parent)] {
        for (at, _) in code.match_indices(prefix) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let path = &code[at + prefix.len()..];
            let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            let path = path[..end.unwrap_or(path.len())].trim_end_matches(':');
            found.push(if base.is_empty() {
                path.to_owned()
            } else {
                format!("{base}::{path}")
            });
        }
    }
    found
}

/// The imports of a file that point upward.
fn upward(file: &str, text: &str) -> Vec<String> {
    let own = module(file);
    let is_emulator = own == "emulator" || own.starts_with("emulator::");
    let own_layer = layer(&own);
    let wrong = named(file, text).into_iter().filter(|path| {
        if is_emulator && path.starts_with("emulator") {
            return room(&own).is_some_and(|own| match room(path) {
                Some(other) => other > own,
                None => true,
            });
        }
        let Some(other) = layer(path) else {
            return false;
        };
        if is_emulator {
            !EMULATOR.contains(&LAYERS[other])
        } else {
            own_layer.is_some_and(|own| other > own)
        }
    });
    wrong.map(|path| format!("{file} imports {path}")).collect()
}

#[test]
fn no_import_points_upward() {
    let files = sources("src");
    let is_test = |file: &str| file.contains("tests") || file.ends_with("hostile.rs");
    let library = files.iter().filter(|(file, _)| {
        !file.starts_with("src/bin/") && !is_test(file) && file != "src/internals.rs"
    });
    let wrong: Vec<_> = library
        .flat_map(|(file, text)| upward(file, text))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for name in LAYERS.into_iter().chain(ROOMS) {
        let is_there = |(file, _): &(String, String)| {
            let own = module(file);
            layer(&own).is_some_and(|own| LAYERS[own] == name)
                || room(&own).is_some_and(|own| ROOMS[own] == name)
        };
        assert!(files.iter().any(is_there), "no file is in {name}");
    }
}

#[test]
fn an_import_that_points_upward_is_found() {
    for (file, text, wrong) in [
        ("src/base/retry.rs", "use crate::channel::core::Core;", true),
        ("src/base/retry.rs", "// crate::channel::core", false),
        (
            "src/base/retry.rs",
            "use crate::types::error::Error;",
            false,
        ),
        (
            "src/channel/core/batch.rs",
            "use crate::channel::shared::Shared;",
            true,
        ),
        (
            "src/channel/core/mod.rs",
            "use super::shared::Shared;",
            true,
        ),
        (
            "src/channel/core/mod.rs",
            "fn f() -> super::shared::Shared {}",
            true,
        ),
        ("src/channel/shared.rs", "use super::core::Core;", false),
        (
            "src/channel/polling/timer.rs",
            "use crate::channel::registry::Registry;",
            true,
        ),
        (
            "src/channel/polling/poller.rs",
            "use crate::channel::registry::Registry;",
            false,
        ),
        (
            "src/emulator/server/serve.rs",
            "use crate::api::wire::Answer;",
            true,
        ),
        (
            "src/emulator/server/serve.rs",
            "use crate::http::Request;",
            false,
        ),
        (
            "src/emulator/server/serve.rs",
            "use crate::emulator::Emulator;",
            true,
        ),
        ("src/emulator/memory.rs", "use super::Emulator;", true),
    ] {
        assert_eq!(!upward(file, text).is_empty(), wrong, "{file}: {text}");
    }
}

#[test]
fn no_source_file_is_too_long() {
    let files = ["src", "tests", "examples", "connectors", "benches", "fuzz"];
    let long: Vec<_> = files
        .into_iter()
        .flat_map(sources)
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

/// The modules that a text asks `tracing` to log, as in `snowpipe_streaming::ingest=warn`.
fn logged(text: &str) -> Vec<String> {
    let parts = text.split("snowpipe_streaming::").skip(1);
    let ends = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
    parts
        .filter_map(|part| {
            let (path, rest) = part.split_at(part.find(ends).unwrap_or(part.len()));
            let level = rest.strip_prefix('=')?;
            let is_level = ["error", "warn", "info", "debug", "trace"]
                .iter()
                .any(|name| level.starts_with(name));
            is_level.then(|| path.to_owned())
        })
        .collect()
}

#[test]
fn a_log_filter_names_modules_that_exist() {
    let modules: Vec<_> = sources("src")
        .iter()
        .map(|(file, _)| module(file))
        .collect();
    let mut texts = sources("src/bin");
    for file in [
        "tests/kills/common.sh",
        "tests/kill_resume.sh",
        "tests/kill_orders.sh",
    ] {
        texts.push((
            file.to_owned(),
            fs::read_to_string(root().join(file)).unwrap(),
        ));
    }
    let named: Vec<_> = texts
        .iter()
        .flat_map(|(file, text)| logged(text).into_iter().map(move |path| (file, path)))
        .collect();
    assert!(named.len() > 4, "{named:?}");
    let lost: Vec<_> = named
        .iter()
        .filter(|(_, path)| !modules.contains(path))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}
