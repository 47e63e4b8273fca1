//! Profiles, keys, addresses and names.

use std::time::Duration;

use snowpipe_streaming::{Error, ErrorKind, PipePath, Profile};

use super::says;
use crate::scripted_server::{Stage, builder, everything};

const CONFIG: ErrorKind = ErrorKind::Config;
const AUTHENTICATION: ErrorKind = ErrorKind::Authentication;

const GENERATE: &str = "openssl genrsa 2048 | openssl pkcs8 -topk8";
const CONVERT: &str = "openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW";

fn profile() -> Profile {
    Profile::new("MYORG-MYACCT").with_user("INGEST")
}

fn key_file(name: &str) -> Profile {
    profile().with_private_key_file(format!("tests/fixtures/keys/{name}"))
}

/// Checks that a client is refused before anything is sent. There is no server at the address.
async fn refused(profile: Profile) -> Error {
    let profile = profile.with_url("http://127.0.0.1:1");
    builder(profile).build().await.unwrap_err()
}

#[tokio::test]
async fn keys_that_cannot_be_used_name_the_openssl_command() {
    let cases: [(&str, &[&str]); 9] = [
        ("rsa_1024.pem", &["1024 bits", "2048", GENERATE]),
        ("ec_p8.pem", &["an EC key", "RSA", GENERATE]),
        (
            "rsa_traditional_encrypted.pem",
            &["traditional PEM", CONVERT],
        ),
        (
            "rsa_p8_pbes1.pem",
            &["encrypted in a way", "PBES2", CONVERT],
        ),
        (
            "rsa_p8_pbes1_3des.pem",
            &["encrypted in a way", "PBES2", CONVERT],
        ),
        (
            "rsa_public.pem",
            &["a public key was given", "private key that belongs to it"],
        ),
        (
            "rsa_certificate.pem",
            &["a certificate was given", "give the private key"],
        ),
        (
            "rsa_p8_aes256.pem",
            &[
                "no passphrase was given",
                "private_key_passphrase",
                "PRIVATE_KEY_PASSPHRASE",
            ],
        ),
        ("README.md", &["cannot be read", "PKCS#8 PEM", CONVERT]),
    ];
    for (name, words) in cases {
        let error = refused(key_file(name)).await;
        says(&error, AUTHENTICATION, words);
        assert!(!error.is_retryable());
        let same = key_file(name).rsa_public_key().unwrap_err();
        assert_eq!(same.to_string(), error.to_string());
    }
}

#[tokio::test]
async fn a_wrong_passphrase_is_reported_and_not_repeated() {
    for name in [
        "rsa_p8_aes128.pem",
        "rsa_p8_aes256.pem",
        "rsa_p8_des3.pem",
        "rsa_p8_scrypt.pem",
    ] {
        let wrong = key_file(name).with_private_key_passphrase("not-the-word".to_owned());
        let error = refused(wrong).await;
        says(
            &error,
            AUTHENTICATION,
            &["the passphrase is wrong", "openssl pkcs8"],
        );
        assert!(!everything(&error).contains("not-the-word"));
        let right = key_file(name).with_private_key_passphrase("snowpipe".to_owned());
        right.rsa_public_key().unwrap();
    }
}

#[tokio::test]
async fn text_that_is_no_key_is_not_repeated() {
    for text in [
        "no such key",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0",
        "-----BEGIN PRIVATE KEY-----\nno such key\n-----END PRIVATE KEY-----",
        "bm8gc3VjaCBrZXk=",
    ] {
        let error = refused(profile().with_private_key(text.to_owned())).await;
        says(&error, AUTHENTICATION, &["the private key"]);
        let all = everything(&error);
        for part in ["no such key", "c2VjcmV0", "bm8gc3V"] {
            assert!(!all.contains(part), "{all}");
        }
    }
}

#[tokio::test]
async fn a_missing_key_names_its_settings() {
    let error = refused(profile()).await;
    says(
        &error,
        CONFIG,
        &[
            "the private key is missing",
            "\"private_key\"",
            "PRIVATE_KEY",
            "\"private_key_file\"",
        ],
    );
    let error = refused(key_file("nowhere.pem")).await;
    says(
        &error,
        CONFIG,
        &["private key tests/fixtures/keys/nowhere.pem cannot be read"],
    );
}

#[test]
fn missing_account_and_user_name_their_settings() {
    let missing = |json: &str| Profile::from_json(json).unwrap_err();
    let account = ["account is missing", "\"account\"", "SNOWFLAKE_ACCOUNT"];
    says(&missing("{}"), CONFIG, &account);
    says(&missing(r#"{"account":" ","user":"U"}"#), CONFIG, &account);
    says(&missing(r#"{"account":null,"user":"U"}"#), CONFIG, &account);
    let user = ["user is missing", "\"user\"", "SNOWFLAKE_USER"];
    says(&missing(r#"{"account":"A"}"#), CONFIG, &user);
    says(&missing(r#"{"account":"A","user":""}"#), CONFIG, &user);
    let key = "tests/fixtures/keys/rsa_p8.pem";
    let error = Profile::new("A")
        .with_private_key_file(key)
        .rsa_public_key();
    says(&error.unwrap_err(), CONFIG, &user);
}

#[test]
fn unreadable_profiles_are_reported_with_their_place() {
    let refused = |json: &str| Profile::from_json(json).unwrap_err();
    says(
        &refused("{\n\"account\": \"A\",}"),
        CONFIG,
        &["not valid JSON", "line 2, column 16"],
    );
    says(
        &refused("[]"),
        CONFIG,
        &["must be a JSON object", "an array"],
    );
    says(
        &refused(r#"{"account":7,"user":"U"}"#),
        CONFIG,
        &["\"account\" must be a string", "a number"],
    );
    let both = r#"{"account":"A","user":"U","private_key":"x","private_key_file":"y"}"#;
    says(
        &refused(both),
        CONFIG,
        &[
            "both \"private_key\" and \"private_key_file\"",
            "remove one",
        ],
    );
    let error = Profile::from_file("nowhere/profile.json").unwrap_err();
    says(
        &error,
        CONFIG,
        &["profile nowhere/profile.json cannot be read"],
    );
}

#[test]
fn unusable_urls_are_refused_with_the_right_form() {
    let cases: [(&str, &[&str]); 9] = [
        (
            "https://",
            &[
                "malformed",
                "https://ORGANIZATION-ACCOUNT.snowflakecomputing.com",
            ],
        ),
        (
            "https://a b",
            &[
                "malformed",
                "https://ORGANIZATION-ACCOUNT.snowflakecomputing.com",
            ],
        ),
        (
            "https://u:hush@a.snowflakecomputing.com",
            &["user name or password", "remove them"],
        ),
        (
            "https://a.snowflakecomputing.com/path",
            &["must end after host and port"],
        ),
        (
            "ftp://a.snowflakecomputing.com",
            &["scheme", "must be https"],
        ),
        (
            "http://a.snowflakecomputing.com",
            &["plain http://", "use https://"],
        ),
        ("http://10.0.0.1", &["plain http://", "127.0.0.1"]),
        ("http://localhost.example", &["plain http://"]),
        ("http://127.0.0.1.example", &["plain http://"]),
    ];
    for (url, words) in cases {
        let error = profile().with_url(url).url().unwrap_err();
        says(&error, CONFIG, words);
        assert!(!everything(&error).contains("hush"), "{error}");
        let quoted = format!(r#"{{"account":"A","user":"U","url":"{url}"}}"#);
        says(&Profile::from_json(&quoted).unwrap_err(), CONFIG, words);
    }
    for url in [
        "http://127.0.0.1:8080",
        "http://[::1]:1",
        "http://localhost",
        "https://10.0.0.1",
    ] {
        profile().with_url(url).url().unwrap();
    }
}

#[test]
fn pipe_paths_have_three_names() {
    says(
        &PipePath::new("", "S", "P").unwrap_err(),
        CONFIG,
        &["the database", "empty", "name it"],
    );
    says(
        &PipePath::new("D", " ", "P").unwrap_err(),
        CONFIG,
        &["the schema", "empty"],
    );
    says(
        &PipePath::new("D", "S", "..").unwrap_err(),
        CONFIG,
        &["the pipe", "rename it"],
    );
    says(
        &PipePath::for_table("D", "S", "").unwrap_err(),
        CONFIG,
        &["the table", "empty"],
    );
}

#[tokio::test]
async fn options_that_are_too_small_are_refused_with_the_minimum() {
    let stage = Stage::new().await;
    let error = stage
        .builder()
        .memory_budget(1000)
        .build()
        .await
        .unwrap_err();
    says(
        &error,
        CONFIG,
        &["memory budget of 1000 bytes", "at least 262144"],
    );
    let error = stage
        .builder()
        .max_request_bytes(9)
        .build()
        .await
        .unwrap_err();
    says(
        &error,
        CONFIG,
        &["max_request_bytes of 9", "at least 131072"],
    );
    let builder = || stage.builder().memory_budget(1 << 20);
    for (builder, words) in [
        (builder().channel_memory(1), "give 262144 to 1048576"),
        (
            builder().channel_memory(2 << 20),
            "channel_memory of 2097152",
        ),
        (builder().elastic_requests(0), "elastic_requests of 0"),
        (
            builder().attempt_timeout(Duration::ZERO),
            "attempt_timeout of zero",
        ),
    ] {
        says(&builder.build().await.unwrap_err(), CONFIG, &[words]);
    }
    assert_eq!(stage.all().len(), 0);
}

#[tokio::test]
async fn channel_names_that_cannot_be_used_are_not_sent() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    let long = "é".repeat(128);
    let cases: [(&str, &[&str]); 7] = [
        ("", &["channel name is empty", "the same in each run"]),
        ("ELASTIC", &["\"ELASTIC\" is reserved", "choose another"]),
        ("elastic", &["\"elastic\" is reserved"]),
        ("Elastic", &["\"Elastic\" is reserved"]),
        (&long, &["256 bytes long", "at most 255"]),
        (".", &["\".\"", "use another name"]),
        ("..", &["\"..\"", "use another name"]),
    ];
    let before = stage.all().len();
    for (name, words) in cases {
        says(&client.open_channel(name).await.unwrap_err(), CONFIG, words);
        says(
            &client.open_untracked_channel(name).await.unwrap_err(),
            CONFIG,
            words,
        );
    }
    assert_eq!(stage.all().len(), before);
}

#[tokio::test]
async fn a_name_in_use_is_not_opened_twice() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    let _channel = client.open_channel("rides").await.unwrap();
    let error = client.open_channel("RIDES").await.unwrap_err();
    says(
        &error,
        ErrorKind::ChannelAlreadyOpen,
        &["\"RIDES\"", "close it", "another name"],
    );
}
