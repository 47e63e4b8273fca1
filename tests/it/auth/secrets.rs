//! No credential reveals its secrets in `Debug`, errors or traces.

use std::sync::{Arc, Mutex};

use serde_json::json;
use snowpipe_streaming::Profile;
use snowpipe_streaming::auth::{
    Bearer, Credential, OAuth, ProgrammaticAccessToken, SpcsToken, WorkloadIdentity,
    WorkloadIdentityProvider,
};
use snowpipe_streaming_emulator::{Emulator, EmulatorBuilder};
use tracing::Level;

use crate::scripted_server::{Call, Stage, builder, everything, json, refusal, text, within};
use crate::support::{World, row};
use snowpipe_connector_support::trace::Trace;

const SECRETS: [&str; 10] = [
    "client-secret-71",
    "refresh-first-72",
    "refresh-next-73",
    "access-token-74",
    "access-token-75",
    "pat-token-76",
    "spcs-token-77",
    "workload-token-79",
    "scoped-first-78",
    // `printf %s 'client-id:client-secret-71' | base64`
    "Y2xpZW50LWlkOmNsaWVudC1zZWNyZXQtNzE=",
];

/// Runs a login, a refused token and then permanent refusals, in which the OAuth server repeats what it was sent. Returns the
/// text of all errors and traces.
async fn run(credential: Arc<dyn Credential>, sent: &str) -> String {
    let stage = Stage::new().await;
    let access = |number: u32, rest: &str| {
        let answer =
            format!(r#"{{"access_token":"access-token-{number}","expires_in":600{rest}}}"#);
        json(200, &answer)
    };
    stage.answer(
        Call::Authorize,
        access(74, r#","refresh_token":"refresh-next-73""#),
    );
    stage.answer(Call::Authorize, access(75, ""));
    let parrot = json!({
        "error": "invalid_grant",
        "error_description": format!("{sent} is not good"),
    });
    stage.always(Call::Authorize, json(400, &parrot.to_string()));
    stage.answer(Call::Hostname, refusal(401, "390318"));
    stage.answer(Call::Token, text(200, "scoped-first-78"));

    let mut output = vec![format!("{credential:?} {credential:#?}")];
    let profile = Profile::new("MYORG-MYACCT").with_url(stage.url());
    let build = || builder(profile.clone()).credential(Arc::clone(&credential));
    output.push(format!("{:?}", build()));
    // Only OAuth has another token.
    if let Err(error) = build().build().await {
        output.push(everything(&error));
    }
    let client = build().build().await.unwrap();
    output.push(format!("{client:?} {client:#?}"));
    let mut channel = client.open_channel("c").await.unwrap();
    stage.always(Call::Append, refusal(401, "390303"));
    stage.always(Call::Status, refusal(401, "390303"));
    stage.always(Call::Token, refusal(401, "390303"));
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    output.push(everything(&within(receipt.committed()).await.unwrap_err()));
    output.concat()
}

#[tokio::test]
async fn no_credential_reveals_its_secrets() {
    let trace = Trace::of(Level::TRACE);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "spcs-token-77").unwrap();
    let workload = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&workload, "workload-token-79").unwrap();
    let provider = WorkloadIdentityProvider::Oidc;
    let credentials: [(Arc<dyn Credential>, &str); 5] = [
        (
            Arc::new(OAuth::client_credentials("client-id", "client-secret-71")),
            "client-secret-71",
        ),
        (
            Arc::new(OAuth::refresh_token(
                "client-id",
                "client-secret-71",
                "refresh-first-72",
            )),
            "refresh-next-73 of client-secret-71",
        ),
        (
            Arc::new(ProgrammaticAccessToken::new("pat-token-76", Some("LOADER"))),
            "",
        ),
        (Arc::new(SpcsToken::new(file.path())), ""),
        (
            Arc::new(WorkloadIdentity::new(provider, workload.path())),
            "",
        ),
    ];
    let bearer = Bearer::new("pat-token-76", "OAUTH");
    let mut output = format!("{bearer:?} {:?}", emulator());
    for (credential, sent) in credentials {
        output += &run(credential, sent).await;
    }

    let trace = trace.text();
    assert!(trace.contains("fetched an OAuth access token"), "{trace}");
    assert!(
        output.contains("[redacted] of [redacted] is not good"),
        "{output}"
    );
    for secret in SECRETS {
        assert!(!trace.contains(secret), "traced: {secret}");
        assert!(!output.contains(secret), "revealed: {secret}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_logs_requests_logs_no_credential() {
    let world = World::with(|e| {
        e.oauth_client("client-id", "client-secret-71", None)
            .refresh_token("client-id", "refresh-first-72")
    });
    let logged = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&logged);
    let oauth = OAuth::refresh_token("client-id", "client-secret-71", "refresh-first-72");
    let client = world
        .intercepted(move |request| {
            let headers = format!("{:?}", request.headers());
            log.lock().unwrap().push(headers);
            None
        })
        .credential(oauth)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap();
    let logged = logged.lock().unwrap();
    // The calls: OAuth server, hostname, scoped token, open, append and status.
    assert!(logged.len() >= 6, "{logged:?}");
    for headers in logged.iter() {
        assert!(
            headers.contains(r#""authorization": Sensitive"#),
            "{headers}"
        );
        assert!(!headers.contains("Basic ") && !headers.contains("Bearer "));
    }
}

fn emulator() -> EmulatorBuilder {
    Emulator::builder()
        .oauth_client("client-id", "client-secret-71", None)
        .refresh_token("client-id", "refresh-first-72")
        .access_token("pat-token-76", None)
        .external_token("access-token-74", None)
        .spcs_token("spcs-token-77")
        .workload_identity(WorkloadIdentityProvider::Oidc, "workload-token-79")
}
