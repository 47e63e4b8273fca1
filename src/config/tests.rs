//! Tests of profiles from JSON, files and the environment, of account URLs and of pipe paths.

use proptest::prelude::*;

use super::Profile;
use crate::auth::Credential as _;
use crate::base::mutated::mutated_text;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::pipe::PipePath;

mod connections;
mod loader;
mod login;

const PEM: &str = include_str!("../../tests/fixtures/keys/rsa_p8.pem");
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");
const PROFILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/profiles");
const FINGERPRINT: &str = "SHA256:9703Br/cSxH7v8SqgG9yG3woKYIaqQrd6UoVEWG+ajE=";

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, words: &[&str]) -> Error {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for word in words {
        assert!(
            error.to_string().contains(word),
            "{word:?} is not in: {error}"
        );
    }
    error
}

/// A profile with account, user and some more settings.
fn json(more: &str) -> Result<Profile> {
    Profile::from_json(&format!(r#"{{"account": "a", "user": "u", {more}}}"#))
}

fn env(vars: &[(&str, &str)]) -> Result<Profile> {
    Profile::from_lookup(&|name| {
        let found = vars.iter().find(|(key, _)| *key == name)?;
        Some(found.1.to_owned())
    })
}

fn url(given: &str) -> Result<String> {
    Profile::new("a").with_url(given).url()
}

#[test]
fn a_profile_of_the_official_sdk_is_read() {
    let profile = Profile::from_file(format!("{PROFILES}/profile.json")).unwrap();
    assert_eq!(profile.account(), "MYORG-MYACCT");
    assert_eq!(profile.user(), Some("INGEST"));
    assert_eq!(profile.role(), Some("LOADER"));
    assert_eq!(profile.database(), Some("DB"));
    assert_eq!(profile.schema(), Some("PUBLIC"));
    assert_eq!(profile.application().unwrap(), Some("tests"));
    assert_eq!(
        profile.url().unwrap(),
        "https://myorg-myacct.snowflakecomputing.com/"
    );
    // The key file is relative to the profile, encrypted, and opens with the passphrase.
    assert_eq!(profile.key_pair().unwrap().fingerprint(), FINGERPRINT);
}

#[test]
fn a_profile_can_be_built_with_methods() {
    let profile = Profile::new("MYORG-MYACCT")
        .with_user("INGEST")
        .with_role("R")
        .with_database("D")
        .with_schema("S")
        .with_application("x")
        .with_private_key_file(format!("{KEYS}/rsa_p8_aes256.pem"))
        .with_private_key_passphrase("snowpipe");
    assert_eq!(
        (profile.database(), profile.schema()),
        (Some("D"), Some("S"))
    );
    let pair = profile.key_pair().unwrap();
    assert_eq!(pair.fingerprint(), FINGERPRINT);
    assert_eq!(pair.role(), Some("R"));
    // The last key is used.
    let replaced = profile.with_private_key("nonsense").key_pair();
    assert_eq!(replaced.unwrap_err().kind(), ErrorKind::Authentication);
}

#[test]
fn the_environment_has_the_same_settings() {
    let profile = env(&[
        ("SNOWFLAKE_ACCOUNT", "myorg-my_acct\n"),
        ("SNOWFLAKE_USER", "ingest"),
        ("SNOWFLAKE_ROLE", "r"),
        ("SNOWFLAKE_HOST", "127.0.0.1"),
        ("SNOWFLAKE_PORT", "8080"),
        ("SNOWFLAKE_SCHEME", "http"),
        ("DATABASE_NAME", "d"),
        ("SCHEMA_NAME", "s"),
        ("PRIVATE_KEY", &PEM.replace('\n', "\\n")),
        ("SS_APPLICATION", "app"),
    ])
    .unwrap();
    assert_eq!(profile.account(), "myorg-my_acct");
    assert_eq!(profile.url().unwrap(), "http://127.0.0.1:8080/");
    assert_eq!(
        (profile.user(), profile.role()),
        (Some("ingest"), Some("r"))
    );
    assert_eq!(
        (profile.database(), profile.schema()),
        (Some("d"), Some("s"))
    );
    assert_eq!(profile.application().unwrap(), Some("app"));
    assert_eq!(profile.key_pair().unwrap().fingerprint(), FINGERPRINT);
}

#[test]
fn prefixed_spellings_and_key_files_work_in_the_environment() {
    let file = format!("{KEYS}/rsa_p8_aes256.pem");
    let profile = env(&[
        ("SNOWFLAKE_ACCOUNT", "a"),
        ("SNOWFLAKE_USER", "u"),
        ("SNOWFLAKE_DATABASE", "first"),
        ("DATABASE_NAME", "second"),
        ("PRIVATE_KEY_FILE", ""),
        ("SNOWFLAKE_PRIVATE_KEY_FILE", &file),
        ("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "snowpipe"),
    ])
    .unwrap();
    assert_eq!(profile.database(), Some("first"));
    assert_eq!(profile.key_pair().unwrap().fingerprint(), FINGERPRINT);
}

#[test]
fn a_missing_setting_is_named_with_its_variable() {
    let account = &["\"account\"", "SNOWFLAKE_ACCOUNT"];
    let user = &["\"user\"", "SNOWFLAKE_USER"];
    refused(Profile::from_json("{}"), account);
    refused(
        Profile::from_json(r#"{"account": " ", "user": "u"}"#),
        account,
    );
    refused(Profile::new("").with_user("u").credential(), account);
    refused(env(&[("SNOWFLAKE_USER", "u")]), account);
    refused(Profile::from_json(r#"{"account": "a"}"#), user);
    refused(env(&[("SNOWFLAKE_ACCOUNT", "a")]), user);
    refused(Profile::new("a").with_private_key(PEM).credential(), user);
    refused(
        Profile::new("a").with_user("u").credential(),
        &[
            "\"private_key\"",
            "PRIVATE_KEY",
            "\"private_key_file\"",
            "PRIVATE_KEY_FILE",
        ],
    );
}

#[test]
fn unknown_keys_and_blank_values_are_ignored() {
    let profile = json(r#""role": null, "schema": "", "max_client_lag": 3, "x": [1]"#).unwrap();
    assert_eq!((profile.role(), profile.schema()), (None, None));
    assert_eq!(profile.url().unwrap(), "https://a.snowflakecomputing.com/");
}

#[test]
fn wrong_types_and_contradictions_are_named() {
    refused(
        json(r#""role": 7"#),
        &["the key \"role\" must be a string, found a number"],
    );
    refused(json(r#""url": ["x"]"#), &["\"url\"", "an array"]);
    refused(
        json(r#""port": true, "host": "h""#),
        &["\"port\"", "a boolean"],
    );
    refused(
        Profile::from_json("[]"),
        &["must be a JSON object, found an array"],
    );
    refused(
        json(r#""private_key": "x", "private_key_file": "y""#),
        &["both", "private_key_file", "remove one"],
    );
}

#[test]
fn malformed_json_is_located_and_not_quoted() {
    let text = "{\n  \"account\": \"a\",\n  \"private_key\": \"hush\" oops\n}";
    let error = refused(Profile::from_json(text), &["line 3, column 25"]);
    assert!(!format!("{error:?}").contains("hush"));
    Profile::from_json("\u{feff}{\"account\": \"a\", \"user\": \"u\"}").unwrap();
}

#[test]
fn unreadable_files_are_named() {
    refused(
        Profile::from_file("/nonexistent/profile.json"),
        &["/nonexistent/profile.json"],
    );
    let profile = json(r#""private_key_file": "/nonexistent/key.p8""#).unwrap();
    refused(
        profile.credential(),
        &["private key /nonexistent/key.p8 cannot be read"],
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.json");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    refused(Profile::from_file(&path), &["bad.json", "UTF-8"]);
    std::fs::write(&path, "{").unwrap();
    refused(Profile::from_file(&path), &["bad.json", "line 1"]);
    std::fs::write(&path, vec![b' '; (1 << 20) + 1]).unwrap();
    refused(
        Profile::from_file(&path),
        &["bad.json", "larger than 1 MiB"],
    );
}

#[test]
fn an_account_is_an_identifier_or_a_host_name() {
    for (account, url) in [
        (
            "MyOrg-My_Acct",
            "https://myorg-my-acct.snowflakecomputing.com/",
        ),
        (
            "xy12345.us-east-1",
            "https://xy12345.us-east-1.snowflakecomputing.com/",
        ),
        (
            "my_org-my_acct.privatelink",
            "https://my_org-my_acct.privatelink.snowflakecomputing.com/",
        ),
        (
            "org-acct.SnowflakeComputing.com",
            "https://org-acct.snowflakecomputing.com/",
        ),
    ] {
        assert_eq!(Profile::new(account).url().unwrap(), url);
    }
    for account in [
        "https://a.snowflakecomputing.com",
        "a b",
        "a/b",
        "ä",
        ".snowflakecomputing.com",
    ] {
        refused(Profile::new(account).url(), &["account"]);
    }
    let whole = Profile::new("https://a")
        .with_user("u")
        .with_url("https://h")
        .with_private_key(PEM);
    refused(whole.credential(), &["belongs under \"url\""]);
}

#[test]
fn underscores_become_dashes_only_in_snowflakes_public_hosts() {
    for (given, used) in [
        (
            "https://My_Org-acct.snowflakecomputing.com",
            "https://my-org-acct.snowflakecomputing.com/",
        ),
        (
            "a_b.eu_x.snowflakecomputing.cn:444",
            "https://a-b.eu-x.snowflakecomputing.cn:444/",
        ),
        (
            "https://my_org-acct.privatelink.snowflakecomputing.com",
            "https://my_org-acct.privatelink.snowflakecomputing.com/",
        ),
        (
            "https://my_org-acct.eu.PrivateLink.snowflakecomputing.com",
            "https://my_org-acct.eu.privatelink.snowflakecomputing.com/",
        ),
        ("https://snow_flake.example", "https://snow_flake.example/"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443/"),
    ] {
        assert_eq!(url(given).unwrap(), used);
    }
}

#[test]
fn a_url_may_be_given_whole_or_in_parts() {
    for (more, url) in [
        (
            r#""url": "my_host.example:444""#,
            "https://my_host.example:444/",
        ),
        (
            r#""url": "localhost:80", "scheme": "http""#,
            "http://localhost/",
        ),
        (
            r#""url": "https://one", "host": "two", "port": 5"#,
            "https://one/",
        ),
        (r#""host": "h""#, "https://h/"),
        (r#""host": "h", "port": 8443"#, "https://h:8443/"),
        (r#""host": "h", "port": "8443""#, "https://h:8443/"),
        (
            r#""host": "::1", "port": 9, "scheme": "http""#,
            "http://[::1]:9/",
        ),
        (
            r#""host": "127.9.9.9", "scheme": "HTTP""#,
            "http://127.9.9.9/",
        ),
    ] {
        assert_eq!(json(more).unwrap().url().unwrap(), url, "{more}");
    }
    for port in ["0", "65536", "-1", "1.5", "\"x\""] {
        refused(
            json(&format!(r#""host": "h", "port": {port}"#)),
            &["port", "1 to 65535"],
        );
    }
    refused(json(r#""host": "https://h""#), &["host", "\"url\""]);
}

#[test]
fn plain_http_is_only_for_this_machine() {
    for local in [
        "http://127.0.0.1:1",
        "http://localhost",
        "http://[::1]:8080",
        "http://127.1",
    ] {
        url(local).unwrap();
    }
    for remote in [
        "http://a.snowflakecomputing.com",
        "http://localhost.example",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "http://[::ffff:1.2.3.4]",
        "HTTP://127.0.0.1.example",
    ] {
        refused(url(remote), &["plain http://", "use https://"]);
    }
}

#[test]
fn errors_of_malformed_urls_contain_no_secrets() {
    refused(url("https://"), &["malformed"]);
    refused(url("https://h:99999"), &["malformed", "port"]);
    refused(url("https://a b"), &["malformed"]);
    refused(url("ftp://h"), &["scheme"]);
    refused(url("https://h/path"), &["end after host and port"]);
    refused(url("https://h?x=1"), &["end after host and port"]);
    let error = refused(url("https://me:hush@h"), &["password"]);
    assert!(!error.to_string().contains("hush"));
    let shown = format!("{:?}", Profile::new("a").with_url("https://me:hush@h"));
    assert!(!shown.contains("hush"));
}

#[test]
fn an_application_fits_into_the_user_agent() {
    let long = "x".repeat(65);
    for bad in ["a b", "a(b", "a)b", "a\\b", "é", "a\tb", &long] {
        let profile = Profile::new("a").with_application(bad);
        refused(profile.application(), &["application", "64"]);
    }
    let longest = "~".repeat(64);
    let profile = Profile::new("a").with_application(&longest);
    assert_eq!(profile.application().unwrap(), Some(longest.as_str()));
    refused(json(r#""application": "a b""#), &["application"]);
}

#[test]
fn debug_output_contains_no_secret() {
    let profile =
        json(r#""private_key": "hush-key", "private_key_passphrase": "hush-phrase""#).unwrap();
    let shown = format!("{profile:?} {profile:#?}");
    assert_eq!(shown.matches("[redacted]").count(), 4, "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
    let oauth = Profile::new("a")
        .with_oauth_client("id", "hush-secret")
        .with_oauth_refresh_token("hush-refresh")
        .with_oauth_token_endpoint("https://me:hush@h");
    let loader = Profile::loader().set("private_key", "hush-key");
    for shown in [
        format!("{oauth:?}"),
        format!("{:?}", Profile::new("a").with_personal_access_token("hush")),
        format!("{loader:?}"),
    ] {
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[test]
fn a_pipe_path_has_three_names() {
    let path = PipePath::new("DB", "My Schema", "LIFT_RIDE_PIPE").unwrap();
    assert_eq!(path.to_string(), "DB.My Schema.LIFT_RIDE_PIPE");
    assert_eq!((path.database(), path.schema()), ("DB", "My Schema"));
    assert_eq!(path.pipe(), "LIFT_RIDE_PIPE");
    let default = PipePath::for_table("DB", "S", "LIFT_RIDE").unwrap();
    assert_eq!(default.pipe(), "LIFT_RIDE-STREAMING");
    refused(PipePath::new("", "S", "P"), &["the database"]);
    refused(PipePath::new("D", " ", "P"), &["the schema"]);
    refused(PipePath::new("D", "S", ""), &["the pipe"]);
    refused(PipePath::for_table("D", "S", ""), &["the table"]);
    refused(PipePath::new("D", "S", ".."), &["\"..\"", "rename"]);
}

/// Almost valid profiles as JSON.
fn almost_valid_profile() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "account",
        "user",
        "url",
        "scheme",
        "host",
        "port",
        "private_key",
        "application",
        "x",
    ]);
    let value = prop_oneof![
        "[a-z.:/@\\[\\]%#?_ -]{0,20}".prop_map(|text| format!("{text:?}")),
        any::<f64>().prop_map(|n| n.to_string()),
        Just("null".to_owned()),
        Just("[{}]".to_owned()),
    ];
    prop::collection::vec((key, value), 0..9).prop_map(|fields| {
        let fields: Vec<_> = fields.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        format!("{{\"account\":\"a\",\"user\":\"u\",{}}}", fields.join(","))
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        prop_assert!(Profile::from_json(&text).is_err());
        prop_assert!(Profile::from_properties(&text).is_err());
    }

    #[test]
    fn no_almost_valid_profile_panics(text in mutated_text(&[include_str!("../../tests/fixtures/profiles/profile.json")])) {
        if let Ok(profile) = Profile::from_json(&text) {
            prop_assert!(profile.url().unwrap().starts_with("http"));
        }
    }

    #[test]
    fn no_environment_panics(value in mutated_text(&["myorg-my_acct.eu-west-1", "https://h.x:8443/", "8080", "JWT"])) {
        let profile = Profile::from_lookup(&|name| Some(value.clone()).filter(|_| !name.contains("FILE")));
        if let Ok(profile) = profile {
            prop_assert!(profile.url().unwrap().starts_with("http"));
        }
        for name in ["SNOWFLAKE_URL", "SNOWFLAKE_HOST", "SNOWFLAKE_PORT", "SNOWFLAKE_SCHEME", "SS_APPLICATION"] {
            let one = env(&[("SNOWFLAKE_ACCOUNT", "a"), ("SNOWFLAKE_USER", "u"), (name, &value)]);
            prop_assert!(one.is_err() || one.is_ok_and(|profile| profile.url().is_ok()));
        }
    }

    #[test]
    fn a_pipe_path_is_three_parts_of_a_url_or_refused(name in mutated_text(&["DB", "\"a b\"", "..", "a/b?c#d"])) {
        if let Ok(pipe) = PipePath::new(&name, &name, &name) {
            prop_assert_eq!(pipe.pipe(), &name);
        }
    }

    #[test]
    fn no_json_panics(text in almost_valid_profile()) {
        if let Ok(profile) = Profile::from_json(&text) {
            let url = profile.url().unwrap();
            prop_assert!(url.starts_with("http"), "{}", url);
        }
    }
}
