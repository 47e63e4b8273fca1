//! The OAuth server, and what the account takes for each kind of credential.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::rig::{Client, START, answered, code, jwt, read, settings};
use snowpipe_streaming::auth::WorkloadIdentityProvider;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const PAT: &str = "programmatic_access_token";

fn account() -> Client {
    Client::of(
        settings()
            .oauth_client("id", "sec:ret", None)
            .oauth_client("bound", "secret", Some("LOADER"))
            .refresh_token("id", "refresh")
            .access_token("pat", Some("LOADER"))
            .spcs_token("spcs"),
    )
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

impl Client {
    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
        let mut request = Request::post(format!("http://127.0.0.1{path}")).header("accept", "*/*");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::from(body.to_owned())).unwrap();
        answered(self.emulator.handle(self.now, request))
    }

    fn authorize(&self, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> (u16, Value) {
        read(&self.post("/oauth/token-request", headers, &form(fields)))
    }

    /// The status of an exchange of `bearer`, and the code of a refusal.
    fn exchanged(&self, bearer: &str, kind: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let bearer = format!("Bearer {bearer}");
        let mut headers = vec![("authorization", bearer.as_str())];
        if !kind.is_empty() {
            headers.push(("x-snowflake-authorization-token-type", kind));
        }
        let answer = self.post("/oauth/token", &headers, &form(fields));
        let status = answer.status().as_u16();
        if status == 200 {
            return (status, String::new());
        }
        (status, code(&read(&answer).1).to_owned())
    }
}

#[test]
fn client_and_secret_may_be_in_the_form_or_in_the_header() {
    let client = account();
    let grant = ("grant_type", "client_credentials");
    let (id, secret) = (("client_id", "id"), ("client_secret", "sec:ret"));
    // `printf %s 'id:sec:ret' | base64`
    let basic = [("authorization", "Basic aWQ6c2VjOnJldA==")];
    for (headers, fields, status, error) in [
        (&[][..], &[grant, id, secret][..], 200, Value::Null),
        (&basic, &[grant], 200, Value::Null),
        (
            &[],
            &[grant, id, ("client_secret", "other")],
            401,
            json!("invalid_client"),
        ),
        (
            &[],
            &[grant, ("client_id", "other"), secret],
            401,
            json!("invalid_client"),
        ),
        (
            &[("authorization", "Basic ?")],
            &[grant],
            401,
            json!("invalid_client"),
        ),
        (&[], &[], 401, json!("invalid_client")),
        (
            &basic,
            &[("grant_type", "password")],
            400,
            json!("unsupported_grant_type"),
        ),
        (&basic, &[], 400, json!("unsupported_grant_type")),
    ] {
        let (seen, answer) = client.authorize(headers, fields);
        assert_eq!((seen, &answer["error"]), (status, &error), "{fields:?}");
        if status == 200 {
            assert_eq!(answer["token_type"], "Bearer");
            assert_eq!(answer["expires_in"], 600);
            assert_eq!(answer.get("refresh_token"), None);
        }
    }
}

#[test]
fn a_refresh_token_works_once_and_for_its_client() {
    let client = account();
    let basic = [("authorization", "Basic aWQ6c2VjOnJldA==")];
    let refresh = |token: &str| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        client.authorize(&basic, &fields)
    };
    let bound = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "refresh"),
        ("client_id", "bound"),
        ("client_secret", "secret"),
    ];
    assert_eq!(client.authorize(&[], &bound).1["error"], "invalid_grant");
    let (status, answer) = refresh("refresh");
    assert_eq!(status, 200);
    let next = answer["refresh_token"].as_str().unwrap();
    assert_eq!(refresh("refresh").1["error"], "invalid_grant");
    assert_eq!(refresh("").1["error"], "invalid_grant");
    assert_eq!(refresh(next).0, 200);
    assert_eq!(refresh(next).0, 400);
}

#[test]
fn an_access_token_logs_in_until_it_expires() {
    let mut client = account();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "id"),
        ("client_secret", "sec:ret"),
    ];
    let (_, answer) = client.authorize(&[], &fields);
    let token = answer["access_token"].as_str().unwrap().to_owned();
    let good = [
        ("grant_type", EXCHANGE),
        ("scope", "127.0.0.1"),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    client.pass(599_999);
    assert_eq!(client.exchanged(&token, "OAUTH", &good).0, 200);
    client.pass(1);
    let expired = (401, "390318".to_owned());
    assert_eq!(client.exchanged(&token, "OAUTH", &good), expired);
    // It is no scoped token, and a scoped token is no access token.
    client.token = token;
    assert_eq!(client.try_open("c", "{}").0, 401);
    client.login();
    let refused = (401, "390144".to_owned());
    assert_eq!(client.exchanged(&client.token, "", &good), refused);
}

#[test]
fn each_kind_of_credential_has_its_own_form_and_type() {
    let client = account();
    let jwt = jwt(START, START + 60);
    let scope = ("scope", "127.0.0.1");
    let key_pair = [("grant_type", JWT_BEARER), scope];
    let access = [
        ("grant_type", EXCHANGE),
        scope,
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let pat = [("grant_type", EXCHANGE), scope, ("subject_token_type", PAT)];
    let forms = [&key_pair[..], &access, &pat];
    for (bearer, own, own_type) in [
        (jwt.as_str(), 0, "KEYPAIR_JWT"),
        ("spcs", 1, "OAUTH"),
        ("pat", 2, "PROGRAMMATIC_ACCESS_TOKEN"),
    ] {
        for (index, form) in forms.iter().enumerate() {
            let expected = if index == own { 200 } else { 400 };
            let (status, code) = client.exchanged(bearer, own_type, form);
            assert_eq!(status, expected, "{bearer} {form:?}: {code}");
        }
        assert_eq!(client.exchanged(bearer, "", forms[own]).0, 200);
        for kind in ["KEYPAIR_JWT", "OAUTH", "PROGRAMMATIC_ACCESS_TOKEN", "oauth"] {
            let expected = if kind == own_type { 200 } else { 401 };
            let (status, code) = client.exchanged(bearer, kind, forms[own]);
            assert_eq!(status, expected, "{bearer} as {kind}: {code}");
        }
    }
}

#[test]
fn a_credential_bound_to_a_role_works_under_no_other() {
    let client = account();
    for (scope, status) in [
        ("127.0.0.1", 200),
        ("127.0.0.1 session:role:loader", 200),
        ("127.0.0.1 session:role:BOSS", 400),
        ("session:role:LOADER", 200),
        ("session:role:BOSS", 400),
        ("127.0.0.1 role:LOADER", 400),
    ] {
        let fields = [
            ("grant_type", EXCHANGE),
            ("scope", scope),
            ("subject_token_type", PAT),
        ];
        let (seen, code) = client.exchanged("pat", "", &fields);
        assert_eq!(seen, status, "{scope}: {code}");
    }
    let bound = |scope| {
        client.authorize(
            &[],
            &[
                ("grant_type", "client_credentials"),
                ("client_id", "bound"),
                ("client_secret", "secret"),
                ("scope", scope),
            ],
        )
    };
    assert_eq!(bound("session:role:LOADER").0, 200);
    assert_eq!(bound("session:role:BOSS").1["error"], "invalid_scope");
    let (_, answer) = bound("");
    let token = answer["access_token"].as_str().unwrap();
    let boss = [
        ("grant_type", EXCHANGE),
        ("scope", "127.0.0.1 session:role:BOSS"),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    assert_eq!(
        client.exchanged(token, "", &boss),
        (400, "390186".to_owned())
    );
}

#[test]
fn every_answer_has_the_servers_time() {
    let client = account();
    let answer = client.post("/oauth/token-request", &[], "");
    assert_eq!(answer.headers()["date"], "Sat, 17 Jan 2026 14:00:00 GMT");
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    let request = Request::get("http://127.0.0.1/")
        .body(Bytes::new())
        .unwrap();
    let answer = answered(client.emulator.handle(far, request));
    assert_eq!(answer.headers().get("date"), None, "a year of five digits");
}

/// The token of a workload is known by its beginning, goes to both hosts, and is not exchanged.
#[test]
fn a_workload_identity_is_taken_by_both_hosts_until_it_expires() {
    let jwt = |exp: u64| {
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp}}}"#));
        format!("e30.{claims}.c2ln")
    };
    let (good, old) = (jwt(START + 60), jwt(START));
    let mut client = Client::of(
        settings()
            .workload_identity(WorkloadIdentityProvider::Oidc, good.as_str())
            .workload_identity(WorkloadIdentityProvider::Oidc, old.as_str())
            .workload_identity(WorkloadIdentityProvider::Aws, "opaque"),
    );
    let oidc = format!("WIF.OIDC.{good}");
    for (token, status) in [
        (oidc.clone(), 200),
        ("WIF.AWS.opaque".to_owned(), 200),
        (format!("WIF.OIDC.{old}"), 401),
        ("WIF.OIDC.opaque".to_owned(), 401),
        (format!("WIF.AWS.{good}"), 401),
        ("WIF.".to_owned(), 401),
        (good.clone(), 401),
    ] {
        client.token.clone_from(&token);
        assert_eq!(client.try_open("c", "{}").0, status, "{token}");
    }
    let form = [("grant_type", EXCHANGE), ("scope", "127.0.0.1")];
    assert_eq!(client.exchanged(&oidc, "", &form).0, 400);
    let typed = |kind| client.exchanged(&oidc, kind, &form).0;
    assert_eq!(typed("WORKLOAD_IDENTITY_FEDERATION"), 400);
    assert_eq!(typed("OAUTH"), 401);
    client.token.clone_from(&oidc);
    client.pass(60_000);
    assert_eq!(client.try_open("c", "{}").0, 401);
}
