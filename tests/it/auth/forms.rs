//! The forms and headers of each way to authenticate, as observed of the official SDK 1.9.1 and written down by hand.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use snowpipe_streaming::auth::{
    Bearer, Credential, CredentialContext, CredentialError, OAuth, ProgrammaticAccessToken,
    SpcsToken, WorkloadIdentity, WorkloadIdentityProvider,
};
use snowpipe_streaming::transport::{
    Request, Response, Transport, TransportError, TransportErrorKind,
};
use snowpipe_streaming::{Error, ErrorKind, Profile};

use crate::scripted_server::{Call, Seen, Stage, builder, everything, html, json, text};

const TOKEN_TYPE: &str = "x-snowflake-authorization-token-type";
const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
const ACCESS_TOKEN: &str =
    "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";
const EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";

/// Builds a client with a profile without a key.
async fn connect(stage: &Stage, credential: impl Credential) -> Result<(), Error> {
    let profile = Profile::new("MYORG-MYACCT").with_url(stage.url());
    let client = builder(profile).credential(credential).build().await?;
    client.channel_statuses(["c"]).await.map(drop)
}

/// The calls with their credentials and token types.
fn shown(stage: &Stage) -> Vec<(Call, String, String)> {
    let header = |seen: &Seen, name| seen.header(name).unwrap_or("none").to_owned();
    stage
        .all()
        .iter()
        .filter(|seen| seen.call != Call::Authorize)
        .map(|seen| {
            (
                seen.call,
                header(seen, "authorization"),
                header(seen, TOKEN_TYPE),
            )
        })
        .collect()
}

fn with(bearer: &str, token_type: &str) -> Vec<(Call, String, String)> {
    [
        (Call::Hostname, bearer, token_type),
        (Call::Token, bearer, token_type),
        (Call::Status, "Bearer scoped-1", "OAUTH"),
    ]
    .map(|(call, bearer, kind)| (call, bearer.to_owned(), kind.to_owned()))
    .to_vec()
}

#[tokio::test]
async fn a_programmatic_access_token_is_exchanged_under_its_role() {
    for (role, scope) in [
        (Some("SKI LOADER"), "127.0.0.1+session%3Arole%3ASKI+LOADER"),
        (None, "127.0.0.1"),
    ] {
        let stage = Stage::new().await;
        connect(&stage, ProgrammaticAccessToken::new("pat-text", role))
            .await
            .unwrap();
        let expected = with("Bearer pat-text", "PROGRAMMATIC_ACCESS_TOKEN");
        assert_eq!(shown(&stage), expected);
        let exchange = &stage.seen(Call::Token)[0];
        assert_eq!(exchange.header("content-type"), FORM);
        assert_eq!(
            exchange.text(),
            format!("{EXCHANGE}&scope={scope}&subject_token_type=programmatic_access_token")
        );
    }
}

/// Two tokens of different types. The second is returned when the first was refused.
#[derive(Debug)]
struct TwoTokens {
    types: [&'static str; 2],
    is_refused: AtomicBool,
}

#[async_trait]
impl Credential for TwoTokens {
    async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        let [first, second] = self.types;
        let token_type = if self.is_refused.load(Ordering::Relaxed) {
            second
        } else {
            first
        };
        Ok(Bearer::new(format!("{token_type}-text"), token_type))
    }

    fn role(&self) -> Option<&str> {
        Some("R1")
    }

    fn refused(&self, _bearer: &Bearer) -> bool {
        !self.is_refused.swap(true, Ordering::Relaxed)
    }
}

#[tokio::test]
async fn the_type_of_a_token_decides_how_it_is_exchanged() {
    let scope = "&scope=127.0.0.1+session%3Arole%3AR1";
    let key_pair =
        format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer{scope}");
    let pat = format!("{EXCHANGE}{scope}&subject_token_type=programmatic_access_token");
    let access = format!("{EXCHANGE}{scope}{ACCESS_TOKEN}");
    for (types, forms) in [
        (["KEYPAIR_JWT", "OAUTH"], [&key_pair, &access]),
        (
            ["PROGRAMMATIC_ACCESS_TOKEN", "KEYPAIR_JWT"],
            [&pat, &key_pair],
        ),
        (["ANOTHER", "PROGRAMMATIC_ACCESS_TOKEN"], [&access, &pat]),
    ] {
        let stage = Stage::new().await;
        stage.answer(Call::Token, text(401, "refused"));
        let credential = TwoTokens {
            types,
            is_refused: AtomicBool::new(false),
        };
        connect(&stage, credential).await.unwrap();
        let exchanges = stage.seen(Call::Token);
        let sent: Vec<_> = exchanges.iter().map(Seen::text).collect();
        assert_eq!(sent, forms);
        let kinds: Vec<_> = exchanges
            .iter()
            .map(|seen| seen.header(TOKEN_TYPE).unwrap())
            .collect();
        assert_eq!(kinds, types);
    }
}

#[tokio::test]
async fn an_spcs_token_is_exchanged_as_an_access_token_without_a_role() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, " spcs-text\n").unwrap();
    let stage = Stage::new().await;
    connect(&stage, SpcsToken::new(file.path())).await.unwrap();
    assert_eq!(shown(&stage), with("Bearer spcs-text", "OAUTH"));
    assert_eq!(
        stage.seen(Call::Token)[0].text(),
        format!("{EXCHANGE}&scope=127.0.0.1{ACCESS_TOKEN}")
    );
}

/// As in the source of Snowflake's Openflow, which sends no type; to the account host it goes as documented for the SQL API.
#[tokio::test]
async fn a_workload_identity_is_sent_to_both_hosts_and_not_exchanged() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, " workload-text\n").unwrap();
    for (provider, bearer) in [
        (
            WorkloadIdentityProvider::Aws,
            "Bearer WIF.AWS.workload-text",
        ),
        (
            WorkloadIdentityProvider::Azure,
            "Bearer WIF.AZURE.workload-text",
        ),
        (
            WorkloadIdentityProvider::Gcp,
            "Bearer WIF.GCP.workload-text",
        ),
        (
            WorkloadIdentityProvider::Oidc,
            "Bearer WIF.OIDC.workload-text",
        ),
    ] {
        let stage = Stage::new().await;
        let credential = WorkloadIdentity::new(provider, file.path());
        connect(&stage, credential).await.unwrap();
        let typed = [
            (Call::Hostname, "WORKLOAD_IDENTITY_FEDERATION"),
            (Call::Status, "none"),
        ];
        let expected = typed.map(|(call, kind)| (call, bearer.to_owned(), kind.to_owned()));
        assert_eq!(shown(&stage), expected);
    }
}

#[tokio::test]
async fn client_credentials_are_in_the_form() {
    let plain = || OAuth::client_credentials("id 1", "sec:ret/1");
    let id = "grant_type=client_credentials&client_id=id+1&client_secret=sec%3Aret%2F1";
    let cases = [
        (plain(), String::new(), ""),
        (
            plain().with_role("R1"),
            "&scope=session%3Arole%3AR1".to_owned(),
            "+session%3Arole%3AR1",
        ),
        (
            plain().with_role("R1").with_scope("a b"),
            "&scope=a+b".to_owned(),
            "+session%3Arole%3AR1",
        ),
        (
            plain().with_role("R1").without_scope(),
            String::new(),
            "+session%3Arole%3AR1",
        ),
    ];
    for (oauth, scope, role) in cases {
        let stage = Stage::new().await;
        connect(&stage, oauth).await.unwrap();
        let asked = &stage.seen(Call::Authorize);
        assert_eq!(asked.len(), 1, "one access token serves both calls");
        assert_eq!(asked[0].target, "/oauth/token-request");
        assert_eq!(asked[0].text(), format!("{id}{scope}"));
        assert_eq!(asked[0].header("content-type"), FORM);
        assert_eq!(asked[0].header("accept"), Some("application/json"));
        assert_eq!(asked[0].header("authorization"), None);
        assert_eq!(shown(&stage), with("Bearer access-1", "OAUTH"));
        assert_eq!(
            stage.seen(Call::Token)[0].text(),
            format!("{EXCHANGE}&scope=127.0.0.1{role}{ACCESS_TOKEN}")
        );
    }
}

#[tokio::test]
async fn a_refresh_token_goes_with_basic_authentication() {
    let stage = Stage::new().await;
    let oauth = OAuth::refresh_token("id1", "sec:ret/1", "refresh+1").with_role("R1");
    connect(&stage, oauth).await.unwrap();
    let asked = &stage.seen(Call::Authorize)[0];
    // `printf %s 'id1:sec:ret/1' | base64`
    let basic = "Basic aWQxOnNlYzpyZXQvMQ==";
    assert_eq!(asked.header("authorization"), Some(basic));
    assert_eq!(
        asked.text(),
        "grant_type=refresh_token&refresh_token=refresh%2B1&scope=session%3Arole%3AR1"
    );
}

#[tokio::test]
async fn an_external_server_sees_the_client_and_snowflake_sees_the_token() {
    let account = Stage::new().await;
    let external = Stage::new().await;
    let endpoint = format!("{}/oauth2/token", external.url());
    let oauth = OAuth::client_credentials("id1", "secret")
        .with_token_endpoint(&endpoint)
        .unwrap();
    connect(&account, oauth).await.unwrap();
    assert_eq!(account.count(Call::Authorize), 0);
    assert_eq!(external.all().len(), 1);
    assert_eq!(external.seen(Call::Authorize)[0].target, "/oauth2/token");
    assert_eq!(shown(&account), with("Bearer access-1", "OAUTH"));
}

#[tokio::test]
async fn secrets_are_sent_to_no_unprotected_endpoint() {
    for (url, remedy) in [
        ("http://login.example.com/token", "must begin with https://"),
        ("ftp://127.0.0.1/token", "must begin with https://"),
        (
            "https://id:hidden@127.0.0.1/token",
            "put them into oauth_client_id",
        ),
        ("127.0.0.1/token", "write it like"),
        ("", "write it like"),
    ] {
        let oauth = OAuth::client_credentials("id1", "hidden");
        let error = oauth.with_token_endpoint(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(error.to_string().contains(remedy), "{error}");
        assert!(!everything(&error).contains("hidden"), "{error}");
    }
    for url in [
        "https://login.example.com/token",
        "http://[::1]:1/token",
        "http://localhost/t",
    ] {
        let oauth = OAuth::client_credentials("id1", "hidden");
        assert!(oauth.with_token_endpoint(url).is_ok(), "{url}");
    }
}

/// A network on which every request fails with this kind of error.
#[derive(Debug)]
struct Failing(TransportErrorKind);

#[async_trait::async_trait]
impl Transport for Failing {
    async fn call(&self, _: Request) -> Result<Response, TransportError> {
        Err(TransportError::new(self.0, "as the test says"))
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_oauth_server_is_distinguished_from_wrong_settings() {
    for (failure, kind) in [
        (TransportErrorKind::Timeout, ErrorKind::Timeout),
        (TransportErrorKind::Request, ErrorKind::Config),
        (TransportErrorKind::Proxy, ErrorKind::Config),
        (TransportErrorKind::Dns, ErrorKind::Unreachable),
        (TransportErrorKind::Interrupted, ErrorKind::Unreachable),
    ] {
        let profile = Profile::new("MYORG-MYACCT").with_url("http://127.0.0.1:1");
        let client = builder(profile)
            .credential(OAuth::client_credentials("id1", "secret-1"))
            .transport(Failing(failure));
        let error = match client.build().await {
            Ok(client) => client.channel_statuses(["c"]).await.unwrap_err(),
            Err(error) => error,
        };
        let told = everything(&error);
        assert_eq!(error.kind(), kind, "{failure:?}: {told}");
        assert!(
            told.contains("an OAuth access token from 127.0.0.1"),
            "{told}"
        );
        assert!(!told.contains("secret-1"), "{told}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_oauth_server_is_reported_with_its_remedy_and_without_secrets() {
    let cases = [
        (
            json(
                400,
                r#"{"error":"invalid_grant","error_description":"refresh-1 has expired"}"#,
            ),
            ErrorKind::Authentication,
            "[redacted] has expired; the refresh token has expired",
            1,
        ),
        (
            json(401, r#"{"error":"invalid_client"}"#),
            ErrorKind::Authentication,
            "invalid_client; check oauth_client_id",
            1,
        ),
        (
            json(400, r#"{"error":"invalid_scope","error_description":"no"}"#),
            ErrorKind::Authentication,
            "check the role and oauth_scope",
            1,
        ),
        (
            html(200),
            ErrorKind::Authentication,
            "has no access_token",
            1,
        ),
        (
            json(200, r#"{"error":"temporarily_unavailable"}"#),
            ErrorKind::Authentication,
            "has no access_token",
            1,
        ),
        (
            html(404),
            ErrorKind::Authentication,
            "check oauth_token_endpoint",
            1,
        ),
        (html(503), ErrorKind::Server, "try again", 4),
        (text(429, "slow"), ErrorKind::Throttled, "fewer requests", 4),
    ];
    for (answer, kind, remedy, times) in cases {
        let stage = Stage::new().await;
        stage.always(Call::Authorize, answer);
        let oauth = OAuth::refresh_token("id1", "secret-1", "refresh-1");
        let error = connect(&stage, oauth).await.unwrap_err();
        let text = everything(&error);
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(remedy), "{text}");
        assert!(text.contains("127.0.0.1"), "the server is named: {text}");
        assert!(
            !text.contains("secret-1") && !text.contains("refresh-1"),
            "{text}"
        );
        assert_eq!(stage.count(Call::Authorize), times, "{text}");
        assert_eq!(stage.count(Call::Hostname), 0);
    }
}
