//! The folders of a package's sources are layers: a file imports only from its layer and those below.

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
    "pipeline",
    "channel::polling",
    "channel::core",
    "channel",
    "channel::polling::poller",
    "elastic",
    "client",
    "ingest",
    "sql",
    "doctor",
];

/// The layers of the emulator. The root of the crate only names what is public; nothing below imports from it.
const ROOMS: [&str; 15] = [
    "messages",
    "catalog",
    "sql",
    "ddl",
    "storage",
    "channels",
    "auth",
    "protocol",
    "sql_api",
    "connector",
    "instance",
    "memory",
    "admin",
    "server",
    "builder",
];

/// A package: its crate, where its sources are, and its layers.
struct Package {
    name: &'static str,
    folder: &'static str,
    layers: &'static [&'static str],
}

const PACKAGES: [Package; 2] = [
    Package {
        name: "snowpipe_streaming",
        folder: "src",
        layers: &LAYERS,
    },
    Package {
        name: "snowpipe_streaming_emulator",
        folder: "emulator/src",
        layers: &ROOMS,
    },
];

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

impl Package {
    /// The index of the layer that `module` belongs to.
    fn layer(&self, module: &str) -> Option<usize> {
        let is_in = |name: &str| {
            let rest = module.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let fitting = self.layers.iter().enumerate();
        let fitting = fitting.filter(|(_, name)| is_in(name));
        fitting.max_by_key(|(_, name)| name.len()).map(|(i, _)| i)
    }

    /// The module of a file.
    fn module(&self, file: &str) -> String {
        let path = file.strip_prefix(self.folder).unwrap();
        let path = path.trim_start_matches('/').trim_end_matches(".rs");
        path.trim_end_matches("/mod").replace('/', "::")
    }

    /// The imports of a file that point upward.
    fn upward(&self, file: &str, text: &str) -> Vec<String> {
        let module = self.module(file);
        let own = self.layer(&module);
        let is_upward = |path: &String| {
            let other = self.layer(path);
            own.is_some_and(|own| other.is_some_and(|other| other > own))
        };
        let wrong = named(&module, text).into_iter().filter(is_upward);
        wrong.map(|path| format!("{file} imports {path}")).collect()
    }

    /// Whether the layers are about this file.
    fn has(&self, file: &str) -> bool {
        let rest = file.strip_prefix(self.folder).unwrap_or_default();
        let is_test = rest.contains("tests") || rest.ends_with("hostile.rs");
        !is_test && !rest.starts_with("/bin/") && rest != "/internals.rs"
    }
}

/// The modules that the file of `module` names by a path from the crate's root or from `super`, outside of comments.
fn named(module: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    // Module paths are relative to the file here: `super` of an inline module never leads out of the folder.
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
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

#[test]
fn no_import_points_upward() {
    for package in PACKAGES {
        let files = sources(package.folder);
        let library = files.iter().filter(|(file, _)| package.has(file));
        let wrong: Vec<_> = library
            .flat_map(|(file, text)| package.upward(file, text))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        for (i, name) in package.layers.iter().enumerate() {
            let is_there =
                |(file, _): &(String, String)| package.layer(&package.module(file)) == Some(i);
            assert!(files.iter().any(is_there), "no file is in {name}");
        }
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
            "emulator/src/server/serve.rs",
            "use crate::builder::EmulatorBuilder;",
            true,
        ),
        (
            "emulator/src/protocol/append.rs",
            "use crate::channels::state::State;",
            false,
        ),
    ] {
        let is_its = |package: &&Package| file.starts_with(package.folder);
        let package = PACKAGES.iter().find(is_its).unwrap();
        let found = package.upward(file, text);
        assert_eq!(!found.is_empty(), wrong, "{file}: {text}");
    }
}

/// The modules of a crate that a text asks `tracing` to log, as in `snowpipe_streaming::ingest=warn`.
fn logged(name: &str, text: &str) -> Vec<String> {
    let prefix = format!("{name}::");
    let parts = text.split(&prefix).skip(1);
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
    let mut texts = sources("cli/src");
    for file in [
        "examples/kills/common.sh",
        "examples/ski_resort/tests/kills.sh",
        "examples/orders/tests/kills.sh",
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        texts.push((file.to_owned(), text));
    }
    for package in PACKAGES {
        let files = sources(package.folder);
        let modules: Vec<_> = files.iter().map(|(file, _)| package.module(file)).collect();
        let named: Vec<_> = texts
            .iter()
            .flat_map(|(file, text)| {
                logged(package.name, text)
                    .into_iter()
                    .map(move |path| (file, path))
            })
            .collect();
        assert!(!named.is_empty(), "no filter names {}", package.name);
        let lost: Vec<_> = named
            .iter()
            .filter(|(_, path)| !modules.contains(path))
            .collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}
