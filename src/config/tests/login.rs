//! Tests of the authorization of a profile, and of contradictions.

use std::path::PathBuf;

use super::{KEYS, PEM, env, json, refused};
use crate::auth::settings::OAuthSettings;
use crate::config::Authorization;
use crate::config::Profile;
use crate::types::error::Result;
use crate::types::workload_identity::WorkloadIdentityProvider;

fn authorization(profile: Result<Profile>) -> Authorization {
    profile.unwrap().authorization().unwrap()
}

fn oauth(profile: Result<Profile>) -> OAuthSettings {
    match authorization(profile) {
        Authorization::OAuth(settings) => settings,
        _ => panic!("not OAuth"),
    }
}

fn access_token(profile: Result<Profile>) -> String {
    match authorization(profile) {
        Authorization::ProgrammaticAccessToken(token) => token.expose().to_owned(),
        _ => panic!("not an access token"),
    }
}

fn token_file(profile: Result<Profile>) -> PathBuf {
    match authorization(profile) {
        Authorization::SpcsToken(file) => file,
        _ => panic!("not a token file"),
    }
}

/// A profile with an account, without a user, and some more settings.
fn without_user(more: &str) -> Result<Profile> {
    Profile::from_json(&format!(r#"{{"account": "a", {more}}}"#))
}

#[test]
fn a_key_pair_has_many_names() {
    for name in ["JWT", "jwt", "KEYPAIR_JWT", "Snowflake_JWT", ""] {
        let profile = json(&format!(r#""authorization_type": "{name}""#));
        assert!(matches!(authorization(profile), Authorization::KeyPair));
    }
    refused(
        without_user(r#""authorization_type": "JWT""#),
        &["\"user\""],
    );
}

#[test]
fn unsupported_authorizations_are_refused_with_the_supported_ones() {
    for name in ["externalbrowser", "snowflake", "zz"] {
        refused(
            json(&format!(r#""authorization_type": "{name}""#)),
            &[
                "authorization_type (from the profile's text) must be JWT",
                "OAUTH",
                "PAT",
                "SPCS",
                "WORKLOAD_IDENTITY",
            ],
        );
    }
}

#[test]
fn an_oauth_client_needs_id_and_secret_and_no_user() {
    let all = oauth(without_user(
        r#""authorization_type": "OAuth", "oauth_client_id": "id", "oauth_client_secret": "sec",
           "oauth_refresh_token": "ref", "oauth_token_endpoint": "https://h/token",
           "oauth_scope": "s", "oauth_include_scope": false"#,
    ));
    assert_eq!(all.client_id, "id");
    assert_eq!(all.client_secret.expose(), "sec");
    assert_eq!(all.refresh_token.unwrap().expose(), "ref");
    assert_eq!(all.token_endpoint.as_deref(), Some("https://h/token"));
    assert_eq!(
        (all.scope.as_deref(), all.include_scope),
        (Some("s"), false)
    );
    let few = oauth(env(&[
        ("SNOWFLAKE_ACCOUNT", "a"),
        ("SNOWFLAKE_AUTHENTICATOR", "OAUTH_CLIENT_CREDENTIALS"),
        ("SNOWFLAKE_OAUTH_CLIENT_ID", "id"),
        ("SNOWFLAKE_OAUTH_CLIENT_SECRET", "sec"),
        ("SNOWFLAKE_OAUTH_TOKEN_REQUEST_URL", "https://h"),
    ]));
    assert!(few.refresh_token.is_none() && few.scope.is_none() && few.include_scope);
    assert_eq!(few.token_endpoint.as_deref(), Some("https://h"));
    for (more, missing) in [
        ("", "oauth_client_id"),
        (r#", "oauth_client_id": "id""#, "oauth_client_secret"),
    ] {
        refused(
            without_user(&format!(r#""authorization_type": "OAUTH"{more}"#)),
            &[missing, "is missing", "SNOWFLAKE_OAUTH_CLIENT"],
        );
    }
    for (value, words) in [
        ("\"maybe\"", "must be true or false"),
        ("7", "must be true or false, found a number"),
    ] {
        let more = format!(
            r#""authorization_type": "OAUTH", "oauth_client_id": "i", "oauth_client_secret": "s", "oauth_include_scope": {value}"#
        );
        refused(without_user(&more), &["oauth_include_scope", words]);
    }
}

#[test]
fn an_access_token_is_in_the_profile_or_in_a_file() {
    for name in ["PAT", "programmatic_access_token"] {
        let more = format!(r#""authorization_type": "{name}", "personal_access_token": " t \n""#);
        assert_eq!(access_token(without_user(&more)), "t");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pat"), "from-file\n").unwrap();
    let file = folder.path().join("pat").display().to_string();
    let profile = env(&[
        ("SNOWFLAKE_ACCOUNT", "a"),
        ("SNOWFLAKE_AUTHENTICATOR", "PROGRAMMATIC_ACCESS_TOKEN"),
        ("SNOWFLAKE_TOKEN_FILE_PATH", &file),
    ]);
    assert_eq!(access_token(profile), "from-file");

    refused(
        without_user(r#""authorization_type": "PAT""#),
        &["personal_access_token is missing"],
    );
    refused(
        without_user(
            r#""authorization_type": "PAT", "personal_access_token": "t", "token_file_path": "f""#,
        ),
        &[
            "both",
            "personal_access_token",
            "token_file_path",
            "remove one",
        ],
    );
    std::fs::write(folder.path().join("pat"), " \n").unwrap();
    let empty = format!(r#""authorization_type": "PAT", "token_file_path": {file:?}"#);
    refused(without_user(&empty), &[&file, "is empty or not text"]);
}

#[test]
fn a_container_uses_the_token_file_of_the_platform() {
    let spcs = r#""authorization_type": "SPCS""#;
    assert_eq!(
        token_file(without_user(spcs)),
        PathBuf::from("/snowflake/session/token")
    );
    let elsewhere = format!(r#"{spcs}, "spcs_token_path": "/elsewhere""#);
    assert_eq!(
        token_file(without_user(&elsewhere)),
        PathBuf::from("/elsewhere")
    );
    // The drivers' name for this.
    let drivers = without_user(
        r#""authorization_type": "OAUTH", "token_file_path": "/snowflake/session/token""#,
    );
    assert_eq!(
        token_file(drivers),
        PathBuf::from("/snowflake/session/token")
    );
    refused(
        env(&[
            ("SNOWFLAKE_ACCOUNT", "a"),
            ("SNOWFLAKE_AUTHENTICATOR", "oauth"),
            ("SNOWFLAKE_TOKEN", "ready-made"),
        ]),
        &[
            "expires while the client runs",
            "oauth_client_id",
            "token_file_path",
        ],
    );
}

#[test]
fn a_workload_identity_has_a_provider_and_a_token_file() {
    let workload = |profile: Result<Profile>| match authorization(profile) {
        Authorization::WorkloadIdentity(provider, file) => (provider.as_str(), file),
        _ => panic!("not a workload identity"),
    };
    let kind = r#""authorization_type": "Workload_Identity""#;
    for (given, provider) in [
        ("aws", "AWS"),
        ("Azure", "AZURE"),
        ("GCP", "GCP"),
        ("OIDC", "OIDC"),
    ] {
        let more =
            format!(r#"{kind}, "workload_identity_provider": "{given}", "token_file_path": "/t""#);
        assert_eq!(workload(without_user(&more)), (provider, "/t".into()));
    }
    let variables = env(&[
        ("SNOWFLAKE_ACCOUNT", "a"),
        ("SNOWFLAKE_AUTHENTICATOR", "WORKLOAD_IDENTITY"),
        ("SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER", "OIDC"),
        ("SNOWFLAKE_TOKEN_FILE_PATH", "/t"),
    ]);
    assert_eq!(workload(variables), ("OIDC", "/t".into()));
    let provider = r#""workload_identity_provider": "OIDC""#;
    for (more, words) in [
        (kind.to_owned(), "workload_identity_provider is missing"),
        (
            format!(r#"{kind}, "workload_identity_provider": "GITHUB""#),
            "must be AWS, AZURE, GCP or OIDC",
        ),
        (format!("{kind}, {provider}"), "token_file_path"),
        (
            format!(r#"{kind}, {provider}, "personal_access_token": "hush""#),
            "authorization_type is WORKLOAD_IDENTITY",
        ),
    ] {
        let error = refused(without_user(&more), &[words]);
        assert!(!error.to_string().contains("hush"));
    }
    let key = json(&format!(r#""private_key_file": "{KEYS}/rsa_p8.pem""#)).unwrap();
    let here = key.with_workload_identity(WorkloadIdentityProvider::Gcp, "/here");
    assert_eq!(workload(Ok(here)), ("GCP", "/here".into()));
}

#[test]
fn credentials_of_another_kind_are_named() {
    for (kind, foreign) in [
        ("PAT", "private_key"),
        ("PAT", "private_key_file"),
        ("PAT", "oauth_client_id"),
        ("OAUTH", "private_key"),
        ("SPCS", "personal_access_token"),
        ("SPCS", "private_key_file"),
        ("JWT", "personal_access_token"),
        ("JWT", "oauth_client_secret"),
    ] {
        let more = format!(r#""authorization_type": "{kind}", "{foreign}": "hush""#);
        let error = refused(
            json(&more),
            &[foreign, kind, "from the profile's text", "remove one"],
        );
        assert!(!error.to_string().contains("hush"));
    }
    // The authorization is not PAT.
    refused(
        json(r#""personal_access_token": "t""#),
        &["personal_access_token", "authorization_type is JWT"],
    );
}

#[test]
fn the_last_credential_set_by_the_program_is_used() {
    let key = json(&format!(r#""private_key_file": "{KEYS}/rsa_p8.pem""#)).unwrap();
    let token = key.clone().with_personal_access_token("t");
    assert_eq!(access_token(Ok(token.clone())), "t");
    let file = token.clone().with_spcs_token_path("/t");
    assert_eq!(token_file(Ok(file)), PathBuf::from("/t"));
    let oauth_client = token
        .clone()
        .with_oauth_refresh_token("ref")
        .with_oauth_client("id", "sec")
        .with_oauth_token_endpoint("https://h")
        .with_oauth_scope("s");
    let settings = oauth(Ok(oauth_client.clone()));
    assert!(settings.refresh_token.is_some() && settings.include_scope);
    assert_eq!(settings.scope.as_deref(), Some("s"));
    assert!(!oauth(Ok(oauth_client.without_oauth_scope())).include_scope);
    assert!(matches!(
        authorization(Ok(token.with_private_key(PEM))),
        Authorization::KeyPair
    ));
    refused(
        Profile::new(" ")
            .with_personal_access_token("t")
            .authorization()
            .map(|_| ()),
        &["\"account\""],
    );
}

#[test]
fn another_oauth_client_keeps_no_settings_of_the_previous_one() {
    let read = without_user(
        r#""authorization_type": "OAUTH", "oauth_client_id": "theirs", "oauth_client_secret": "s",
           "oauth_refresh_token": "r", "oauth_token_endpoint": "https://profile.example""#,
    )
    .unwrap();
    let ours = read.clone().with_oauth_client("ours", "hush");
    let settings = oauth(Ok(ours.clone()));
    assert_eq!(settings.client_id, "ours");
    assert!(settings.refresh_token.is_none(), "it is not ours");
    assert_eq!(settings.token_endpoint, None, "our secret is not for it");
    assert_eq!(ours.origin("oauth_refresh_token"), None);
    assert_eq!(ours.origin("oauth_token_endpoint"), None);
    // The order of the methods does not matter.
    let by_hand = read
        .with_oauth_token_endpoint("https://program.example")
        .with_oauth_refresh_token("fresh")
        .with_oauth_client("ours", "hush");
    let settings = oauth(Ok(by_hand));
    assert_eq!(
        settings.token_endpoint.as_deref(),
        Some("https://program.example")
    );
    assert_eq!(settings.refresh_token.unwrap().expose(), "fresh");
}
