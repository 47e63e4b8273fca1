//! Tests of connections of the Snowflake CLI.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{FINGERPRINT, KEYS, refused};
use crate::base::mutated::mutated_text;
use crate::config::Authorization;
use crate::config::Profile;
use crate::config::loader::ProfileLoader;
use crate::config::origin::Origin;
use crate::types::error::Result;
use crate::types::workload_identity::WorkloadIdentityProvider;

const CONFIG: &str = include_str!("../../../tests/fixtures/profiles/config.toml");
const CONNECTIONS: &str = include_str!("../../../tests/fixtures/profiles/connections.toml");

/// A home folder with files in `.snowflake`.
struct Home(TempDir);

impl Home {
    fn with(files: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".snowflake");
        std::fs::create_dir(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self(home)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(".snowflake").join(name)
    }

    fn load(&self, loader: ProfileLoader, variables: &[(&str, &str)]) -> Result<Profile> {
        let home = self.0.path().to_str().unwrap();
        loader.load_from(&|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            match name {
                "HOME" | "USERPROFILE" => Some(home.to_owned()),
                // The working directory of the fixtures' keys.
                "LOCALAPPDATA" => Some(format!("{home}/nowhere")),
                _ => found.map(|(_, value)| (*value).to_owned()),
            }
        })
    }
}

#[test]
fn the_default_connection_of_the_cli_is_found() {
    let home = Home::with(&[("config.toml", CONFIG)]);
    let profile = home.load(Profile::loader(), &[]).unwrap();
    assert_eq!(profile.account(), "my_org-ingest");
    assert_eq!(profile.user(), Some("LOADER"));
    assert_eq!(profile.warehouse(), Some("CHECKS"));
    assert_eq!(profile.url().unwrap(), "http://127.0.0.1:8080/");
    let from = Origin::Connection {
        name: "ingest".to_owned(),
        file: home.file("config.toml"),
    };
    assert_eq!(profile.origin("private_key_file"), Some(&from));
    assert_eq!(profile.origin("authorization_type"), Some(&from));
}

/// As Snowflake's drivers write it ("Workload identity federation").
#[test]
fn a_connection_may_log_in_with_a_workload_identity() {
    let text = r#"[k8s]
account = "my_org-other"
authenticator = "WORKLOAD_IDENTITY"
workload_identity_provider = "OIDC"
token_file_path = "~/token""#;
    let home = Home::with(&[("connections.toml", text)]);
    let loader = Profile::loader().connection("k8s");
    let profile = home.load(loader.clone(), &[]).unwrap();
    let kind = WorkloadIdentityProvider::Oidc;
    let Ok(Authorization::WorkloadIdentity(provider, file)) = profile.authorization() else {
        panic!("{profile:?}");
    };
    assert_eq!((provider, file), (kind, home.0.path().join("token")));
    let variable = "SNOWFLAKE_CONNECTIONS_K8S_WORKLOAD_IDENTITY_PROVIDER";
    let profile = home.load(loader, &[(variable, "AWS")]).unwrap();
    let origin = profile.origin("workload_identity_provider");
    assert_eq!(origin, Some(&Origin::Variable(variable.to_owned())));
}

#[test]
fn connections_toml_replaces_the_connections_in_config_toml() {
    let home = Home::with(&[("config.toml", CONFIG), ("connections.toml", CONNECTIONS)]);
    let profile = home.load(Profile::loader(), &[]).unwrap();
    assert_eq!(
        profile.account(),
        "my_org-other",
        "default from config.toml"
    );
    let token = home
        .load(Profile::loader().connection("token"), &[])
        .unwrap();
    assert_eq!(
        token.origin("personal_access_token"),
        Some(&Origin::Connection {
            name: "token".to_owned(),
            file: home.file("connections.toml"),
        })
    );
    refused(
        home.load(Profile::loader().connection("only_in_config"), &[]),
        &[
            "no connection \"only_in_config\"",
            "connections.toml",
            "there are ingest, oauth, token",
        ],
    );
}

#[test]
fn variables_may_choose_the_connection_and_override_its_settings() {
    let home = Home::with(&[("connections.toml", CONNECTIONS)]);
    let key = format!("{KEYS}/rsa_p8_aes256.pem");
    let variables = [
        ("SNOWFLAKE_DEFAULT_CONNECTION_NAME", "ingest"),
        ("SNOWFLAKE_CONNECTIONS_INGEST_PRIVATE_KEY_PATH", &*key),
        ("SNOWFLAKE_CONNECTIONS_INGEST_ROLE", "R"),
        ("PRIVATE_KEY_PASSPHRASE", "snowpipe"),
        ("SNOWFLAKE_ROLE", "not this one"),
        ("SNOWFLAKE_DATABASE", "D"),
    ];
    let profile = home.load(Profile::loader(), &variables).unwrap();
    assert_eq!((profile.role(), profile.database()), (Some("R"), Some("D")));
    assert_eq!(profile.key_pair().unwrap().fingerprint(), FINGERPRINT);
    assert_eq!(
        profile.origin("role"),
        Some(&Origin::Variable(
            "SNOWFLAKE_CONNECTIONS_INGEST_ROLE".to_owned()
        ))
    );
    let set = Profile::loader().set("role", "P");
    assert_eq!(home.load(set, &variables).unwrap().role(), Some("P"));
}

#[test]
fn a_connection_may_consist_of_variables_alone() {
    let home = Home::with(&[]);
    let variables = [
        ("SNOWFLAKE_CONNECTIONS_CI_ACCOUNT", "a"),
        ("SNOWFLAKE_CONNECTIONS_CI_USER", "u"),
    ];
    let loader = Profile::loader().connection("ci");
    assert_eq!(home.load(loader, &variables).unwrap().account(), "a");
    refused(
        home.load(Profile::loader().connection("cd"), &variables),
        &["no connection \"cd\"", "there are no connections"],
    );
}

#[test]
fn without_a_connection_the_environment_is_enough() {
    let home = Home::with(&[]);
    let variables = [("SNOWFLAKE_ACCOUNT", "a"), ("SNOWFLAKE_USER", "u")];
    let profile = home.load(Profile::loader(), &variables).unwrap();
    assert_eq!(profile.account(), "a");
    refused(home.load(Profile::loader(), &[]), &["account is missing"]);
}

#[test]
fn the_folder_is_the_one_of_the_cli() {
    let home = Home::with(&[]);
    let elsewhere = tempfile::tempdir().unwrap();
    let write = |folder: &Path, account: &str| {
        std::fs::create_dir_all(folder).unwrap();
        let text = format!("[default]\naccount = \"{account}\"\nuser = \"u\"\n");
        std::fs::write(folder.join("connections.toml"), text).unwrap();
    };
    write(elsewhere.path(), "elsewhere");
    let variables = [("SNOWFLAKE_HOME", elsewhere.path().to_str().unwrap())];
    let profile = home.load(Profile::loader(), &variables).unwrap();
    assert_eq!(profile.account(), "elsewhere");

    if cfg!(target_os = "linux") {
        std::fs::remove_dir(home.file("")).unwrap();
        write(&home.0.path().join(".config/snowflake"), "platform");
        let profile = home.load(Profile::loader(), &[]).unwrap();
        assert_eq!(profile.account(), "platform");
        let xdg = elsewhere.path().join("xdg");
        write(&xdg.join("snowflake"), "xdg");
        let variables = [("XDG_CONFIG_HOME", xdg.to_str().unwrap())];
        let profile = home.load(Profile::loader(), &variables).unwrap();
        assert_eq!(profile.account(), "xdg");
    }
}

#[test]
fn a_toml_file_may_be_named() {
    let home = Home::with(&[("config.toml", CONFIG), ("connections.toml", CONNECTIONS)]);
    let named = Profile::loader().file(home.file("config.toml"));
    let profile = home.load(named, &[]).unwrap();
    assert_eq!(profile.account(), "my_org-ingest");
    refused(
        Profile::from_file(home.file("config.toml")),
        &["config.toml", "Profile::loader()"],
    );
    let both = Profile::loader().file("profile.json").connection("dev");
    refused(home.load(both, &[]), &["\"dev\"", "profile.json"]);
}

#[test]
fn wrong_types_and_syntax_errors_are_located_and_not_quoted() {
    for (text, words) in [
        (
            "[default]\naccount = \"a\"\nuser = 7\n",
            &[
                "connection \"default\" in",
                "the key \"user\" must be a string, found a number",
            ][..],
        ),
        ("default = 3\n", &["\"default\"", "table", "a number"]),
        (
            "default_connection_name = [1]\n",
            &["default_connection_name", "an array"],
        ),
        (
            "[default]\naccount = \"a\"\nprivate_key_raw = \"hush\" oops\n",
            &["connections.toml", "line 3, column 26"],
        ),
        ("[default]\ntoken = \"hush\n", &["not valid TOML", "line 2"]),
    ] {
        let home = Home::with(&[("connections.toml", text)]);
        let error = refused(home.load(Profile::loader(), &[]), words);
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
}

#[test]
fn oauth_settings_have_the_names_of_the_drivers() {
    let home = Home::with(&[("connections.toml", CONNECTIONS)]);
    let profile = home
        .load(Profile::loader().connection("oauth"), &[])
        .unwrap();
    let from = profile.origin("oauth_token_endpoint").unwrap();
    assert!(from.to_string().starts_with("connection \"oauth\""));
    profile.credential().unwrap();
}

proptest! {
    #[test]
    fn no_almost_valid_connections_panic(text in mutated_text(&[CONFIG, CONNECTIONS])) {
        let home = Home::with(&[("connections.toml", &text)]);
        if let Ok(profile) = home.load(Profile::loader(), &[]) {
            prop_assert!(profile.url().unwrap().starts_with("http"));
        }
    }
}
