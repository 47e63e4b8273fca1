//! Each way to authenticate, end to end against the emulator: rows land, tokens are renewed, credentials are swapped.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde_json::json;
use snowpipe_streaming::auth::{
    Bearer, Credential, CredentialContext, CredentialError, KeyPair, OAuth,
    ProgrammaticAccessToken, SpcsToken, WorkloadIdentity, WorkloadIdentityProvider,
};
use snowpipe_streaming::time::TokioClock;
use snowpipe_streaming::transport::{Request, Response};
use snowpipe_streaming::{ErrorKind, PipePath, Profile, Result, StreamingIngestClient};
use snowpipe_streaming_emulator::{EmulatorBuilder, Endpoint, Fault};
use tokio::time::{advance, sleep};

use crate::support::{World, answer, row};

const ID: &str = "ski-loader";
const SECRET: &str = "the client's secret";
const FIRST_REFRESH: &str = "the first refresh token";
const PAT: &str = "a programmatic access token";
const SPCS: &str = "a container's token";
const WORKLOAD: &str = "a-workload's-token";

/// An account that accepts all credentials of these tests.
fn account(emulator: EmulatorBuilder) -> EmulatorBuilder {
    emulator
        .oauth_client(ID, SECRET, Some("LOADER"))
        .refresh_token(ID, FIRST_REFRESH)
        .access_token(PAT, Some("LOADER"))
        .external_token("from elsewhere", None)
        .spcs_token(SPCS)
        .workload_identity(WorkloadIdentityProvider::Oidc, WORKLOAD)
}

fn by_refresh() -> OAuth {
    OAuth::refresh_token(ID, SECRET, FIRST_REFRESH)
}

async fn land(client: &StreamingIngestClient, rows: std::ops::Range<i64>) -> Result<()> {
    let mut channel = client.open_channel("c").await?;
    let mut last = None;
    for n in rows {
        last = Some(channel.append_row(&row(n), n).await?);
    }
    if let Some(receipt) = last {
        receipt.committed().await?;
    }
    channel.close().await.map(drop)
}

async fn lands(credential: impl Credential) {
    let world = World::with(account);
    let client = world
        .builder()
        .credential(credential)
        .build()
        .await
        .unwrap();
    land(&client, 0..3).await.unwrap();
    assert_eq!(world.landed(), [0, 1, 2]);
}

fn token_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test(start_paused = true)]
async fn rows_land_with_every_credential() {
    lands(OAuth::client_credentials(ID, SECRET)).await;
    lands(OAuth::client_credentials(ID, SECRET).with_role("LOADER")).await;
    lands(by_refresh().with_role("loader")).await;
    lands(ProgrammaticAccessToken::new(PAT, None)).await;
    lands(ProgrammaticAccessToken::new(PAT, Some("LOADER"))).await;
    let file = token_file(SPCS);
    lands(SpcsToken::new(file.path())).await;
    let file = token_file(WORKLOAD);
    let provider = WorkloadIdentityProvider::Oidc;
    lands(WorkloadIdentity::new(provider, file.path())).await;
    let shared: Arc<dyn Credential> = Arc::new(ProgrammaticAccessToken::new(PAT, None));
    lands(shared).await;
}

#[tokio::test(start_paused = true)]
async fn rows_land_with_the_credential_a_profile_describes() {
    let (file, workload) = (token_file(SPCS), token_file(WORKLOAD));
    let cases = [
        json!({
            "authorization_type": "OAUTH",
            "oauth_client_id": ID,
            "oauth_client_secret": SECRET,
            "role": "LOADER",
        }),
        json!({
            "authorization_type": "OAUTH",
            "oauth_client_id": ID,
            "oauth_client_secret": SECRET,
            "oauth_refresh_token": FIRST_REFRESH,
            "oauth_include_scope": false,
        }),
        json!({ "authorization_type": "PAT", "personal_access_token": PAT }),
        json!({ "authorization_type": "SPCS", "spcs_token_path": file.path() }),
        json!({
            "authorization_type": "WORKLOAD_IDENTITY",
            "workload_identity_provider": "oidc",
            "token_file_path": workload.path(),
        }),
    ];
    for mut settings in cases {
        settings["account"] = json!("EMULATOR");
        settings["url"] = json!("http://127.0.0.1:8080");
        let world = World::with(account);
        let profile = Profile::from_json(&settings.to_string()).unwrap();
        let pipe = PipePath::new("DB", "PUBLIC", "RIDES_PIPE").unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400);
        let client = StreamingIngestClient::builder(profile, pipe)
            .transport(world.transport())
            .time_source(TokioClock::starting_at(now))
            .offload_threshold(usize::MAX)
            .build()
            .await
            .unwrap();
        land(&client, 0..3).await.unwrap();
        assert_eq!(world.landed(), [0, 1, 2], "{settings}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_land_with_a_custom_credential() {
    /// A vault whose first token is stale. It returns the second one after a refusal.
    #[derive(Debug, Default)]
    struct Vault(Mutex<usize>);

    #[async_trait]
    impl Credential for Vault {
        async fn bearer(&self, context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
            assert_eq!(context.account_url(), "http://127.0.0.1:8080/");
            let tokens = ["stale", "from elsewhere"];
            Ok(Bearer::new(tokens[*self.0.lock().unwrap()], "OAUTH"))
        }

        fn refused(&self, _bearer: &Bearer) -> bool {
            *self.0.lock().unwrap() = 1;
            true
        }
    }
    lands(Vault::default()).await;
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_custom_credential_decides_whether_it_is_called_again() {
    /// A vault that does not answer its first calls, or refuses all of them.
    #[derive(Debug)]
    struct Vault {
        away: u32,
        is_shut: bool,
        asked: Arc<AtomicU32>,
    }

    #[async_trait]
    impl Credential for Vault {
        async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            let why = io::Error::other("no answer from the vault");
            if self.is_shut {
                Err(CredentialError::permanent(why))
            } else if asked < self.away {
                Err(CredentialError::temporary(why))
            } else {
                Ok(Bearer::new("from elsewhere", "OAUTH"))
            }
        }
    }

    let asked: Arc<AtomicU32> = Arc::default();
    let vault = |away, is_shut| Vault {
        away,
        is_shut,
        asked: Arc::clone(&asked),
    };
    let world = World::with(account);
    let building = world.builder().credential(vault(0, true)).build();
    let error = building.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("no answer from the vault"));
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<io::Error>());
    assert_eq!(asked.swap(0, Ordering::Relaxed), 1);

    lands(vault(2, false)).await;
    assert!(asked.load(Ordering::Relaxed) > 2);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_reported_with_the_remedy() {
    let pat = |token, role| ProgrammaticAccessToken::new(token, role);
    let oauth = OAuth::client_credentials;
    let cases: [(Arc<dyn Credential>, &str); 5] = [
        (
            Arc::new(pat("another", None)),
            "has not expired or been revoked",
        ),
        (Arc::new(pat(PAT, Some("BOSS"))), "check the role"),
        (
            Arc::new(oauth(ID, "wrong")),
            "check oauth_client_id and oauth_client_secret",
        ),
        (
            Arc::new(oauth(ID, SECRET).with_role("BOSS")),
            "check the role and oauth_scope",
        ),
        (
            Arc::new(OAuth::refresh_token(ID, SECRET, "used")),
            "the refresh token has expired, was used before",
        ),
    ];
    for (credential, remedy) in cases {
        let world = World::with(account);
        let building = world.builder().credential(credential).build();
        let error = building.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        assert!(error.to_string().contains(remedy), "{error}");
        assert!(!error.is_retryable(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn access_tokens_are_renewed_and_every_refresh_token_is_used_once() {
    let world = World::with(|e| account(e).token_life(Duration::from_secs(300)));
    let client = world
        .builder()
        .credential(by_refresh())
        .build()
        .await
        .unwrap();
    for n in 0..20 {
        land(&client, n..n + 1).await.unwrap();
        advance(Duration::from_secs(290)).await;
    }
    assert_eq!(world.landed(), (0..20).collect::<Vec<_>>());
    let log = world.emulator.log();
    assert!(
        log.iter().all(|request| request.status == Some(200)),
        "nothing was refused"
    );
    // 5,800 s of access tokens of 600 s, and of scoped tokens of 300 s.
    assert!((10..=12).contains(&world.requests(Endpoint::Authorize)));
    assert_eq!(world.requests(Endpoint::Token), 20);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_whose_caller_gave_up_does_not_lose_the_next_refresh_token() {
    let oauth = Arc::new(by_refresh());
    let world = World::with(account);
    let slow = || {
        world
            .builder()
            .transport(world.transport().with_latency(Duration::from_secs(1)))
    };
    let building = slow().credential(Arc::clone(&oauth)).build();
    let given_up = tokio::time::timeout(Duration::from_millis(1500), building).await;
    assert!(given_up.is_err(), "the answer was under way");
    assert_eq!(world.requests(Endpoint::Authorize), 1);
    let client = slow().credential(oauth).build().await.unwrap();
    land(&client, 0..1).await.unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_access_token_is_replaced_by_the_next() {
    let world = World::with(account);
    let client = world
        .builder()
        .credential(by_refresh())
        .build()
        .await
        .unwrap();
    world
        .emulator
        .faults()
        .push(Fault::ExpireToken.on(Endpoint::Open));
    world
        .emulator
        .faults()
        .push(Fault::Unauthorized.on(Endpoint::Token));
    land(&client, 0..1).await.unwrap();
    assert_eq!(world.requests(Endpoint::Authorize), 2);
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_container_token_that_changed_meanwhile_is_read_again() {
    let file = token_file("of yesterday");
    let path = file.path().to_owned();
    let world = World::with(account);
    // The platform replaces the file while the old token is in flight.
    let rotate = move |request: &Request| -> Option<Response> {
        if request.headers()["authorization"] == "Bearer of yesterday" {
            std::fs::write(&path, format!("{SPCS}\n")).unwrap();
        }
        None
    };
    let builder = world
        .intercepted(rotate)
        .credential(SpcsToken::new(file.path()));
    land(&builder.build().await.unwrap(), 0..1).await.unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn rows_wait_while_a_container_has_no_token() {
    let file = token_file(SPCS);
    let world = World::with(account);
    let spcs = SpcsToken::new(file.path());
    let client = world.builder().credential(spcs).build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    std::fs::write(&file, "\n").unwrap();
    world
        .emulator
        .faults()
        .push(Fault::ExpireToken.on(Endpoint::Append));
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.landed(), [0_i64; 0]);
    std::fs::write(&file, SPCS).unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_container_without_a_token_file_gets_an_error_that_names_it() {
    let empty = token_file(" \n");
    let gone = empty.path().with_file_name("no such file");
    for (path, what) in [(empty.path(), "is empty"), (gone.as_path(), "is missing")] {
        let world = World::with(account);
        let building = world.builder().credential(SpcsToken::new(path)).build();
        let error = building.await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{text}");
        assert!(error.is_retryable(), "{text}");
        assert!(
            text.contains(path.to_str().unwrap()) && text.contains(what),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_swapped_while_rows_are_under_way() {
    let world = World::with(|e| account(e).access_token("the next", None));
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown);
    let note = move |request: &Request| -> Option<Response> {
        let bearer = request.headers()["authorization"].to_str().unwrap();
        let path = request.uri().path().rsplit('/').next().unwrap();
        seen.lock()
            .unwrap()
            .push((path.to_owned(), bearer.to_owned()));
        None
    };
    let first = ProgrammaticAccessToken::new(PAT, None);
    let client = world
        .intercepted(note)
        .credential(first)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let delay = Fault::Delay(Duration::from_secs(5));
    world.emulator.faults().push(delay.on(Endpoint::Append));
    let under_way = channel.append_row(&row(0), 0).await.unwrap();
    sleep(Duration::from_secs(2)).await;

    client.set_credential(ProgrammaticAccessToken::new("the next", None));
    let before = shown.lock().unwrap().len();
    under_way.accepted().await.unwrap();
    channel
        .append_row(&row(1), 1)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), [0, 1]);
    let shown = shown.lock().unwrap();
    let exchanges: Vec<_> = shown.iter().filter(|(path, _)| path == "token").collect();
    assert_eq!(
        exchanges,
        [
            &("token".to_owned(), format!("Bearer {PAT}")),
            &("token".to_owned(), "Bearer the next".to_owned()),
        ]
    );
    let old = &shown[2].1;
    assert!(
        shown[before..].iter().all(|(_, bearer)| bearer != old),
        "{shown:?}"
    );
    let hosts = shown.iter().filter(|(path, _)| path == "hostname").count();
    assert_eq!(hosts, 1, "the ingest host is still the same");
}

#[tokio::test(start_paused = true)]
async fn a_new_credential_replaces_a_revoked_one() {
    let world = World::with(account);
    let refuse = |request: &Request| -> Option<Response> {
        (request.headers()["authorization"] == format!("Bearer {PAT}").as_str()
            && request.method() == http::Method::POST)
            .then(|| answer(401, &json!({"code": "390303", "message": "revoked"})))
    };
    let first = ProgrammaticAccessToken::new(PAT, None);
    let building = world.intercepted(refuse).credential(first).build();
    let error = building.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);

    let client = world.client().await;
    client.set_credential(ProgrammaticAccessToken::new("unknown", None));
    let error = land(&client, 0..1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    let pem = std::fs::read_to_string("tests/fixtures/keys/rsa_p8.pem").unwrap();
    let stranger = KeyPair::new("EMULATOR", "NOBODY", None, pem.as_bytes(), None).unwrap();
    client.set_credential(stranger);
    let error = land(&client, 0..1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    client.set_credential(ProgrammaticAccessToken::new(PAT, None));
    land(&client, 0..1).await.unwrap();
    assert_eq!(world.landed(), [0]);
}
