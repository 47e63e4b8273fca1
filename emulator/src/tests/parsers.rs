//! The emulator's small parsers: they accept or refuse any input, in a short time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, Request};
use proptest::prelude::*;
use serde_json::json;

use crate::answers::EarlierToken;
use crate::auth::keys;
use crate::auth::keys::PublicKey;
use crate::auth::login::Login;
use crate::auth::oauth::OAuth;
use crate::catalog::account_zone::AccountZone;
use crate::catalog::cell::Cell;
use crate::catalog::datetime::{self, Zone};
use crate::catalog::decimal;
use crate::messages::body;
use crate::mutated::{mutated, mutated_text};
use crate::protocol::routes;
use crate::rig::{START, START_MS, jwt};

fn zstd_of(text: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(text, 3).unwrap()
}

fn gzip_of(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::bufread::GzEncoder::new(text, flate2::Compression::fast()),
        &mut out,
    )
    .unwrap();
    out
}

fn moments() -> impl Strategy<Value = String> {
    mutated_text(&[
        "2026-01-17T14:00:00.123456789-07:00",
        "2026-01-17 14:00 +0530",
        "9999-12-31T23:59:59.999999999+14:00",
        "0000-01-01T00:00:00Z",
        "14:00:00.5",
        "1768658400123",
        "-9223372036854775808",
    ])
}

#[test]
fn a_bomb_is_not_unpacked() {
    let bomb = zstd_of(&vec![b' '; 64 << 20]);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, "zstd".parse().unwrap());
    let refused = body::decompress(&headers, &bomb, 1000).unwrap_err();
    assert_eq!(refused.status, 413);
}

proptest! {
    #[test]
    fn a_body_is_unpacked_within_its_bound_or_refused(
        body in mutated(vec![zstd_of(b"{\"N\":1}\n{\"N\":2}\n"), gzip_of(b"{\"N\":1}\n"), zstd_of(&[b' '; 4000])]),
        encoding in prop::sample::select(vec!["zstd", "gzip", "identity", "GZIP ", "br"]),
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
        if let Ok(whole) = body::decompress(&headers, &body, 1000) {
            prop_assert!(whole.len() <= 1000);
            prop_assert!(body::lines(&whole).all(|line| !line.is_empty() && !line.contains(&b'\n')));
        }
    }

    #[test]
    fn no_address_breaks_the_routes(
        path in mutated_text(&[
            "/v2/streaming/data/databases/DB/schemas/%22S%22/pipes/P/channels/c/rows?continuationToken=0_1&retryCount=1",
            "/v2/streaming/databases/DB/schemas/S/pipes/P:bulk-channel-status?requestId=%ff",
        ]),
        body in mutated(vec![b"{\"channel_names\":[\"a\",\"b\"]}".to_vec()]),
    ) {
        for method in ["PUT", "POST", "DELETE"] {
            let request = Request::builder().method(method).uri(&path).body(Bytes::from(body.clone()));
            if let Ok(request) = request {
                let _ = routes::Call::read(&request);
            }
        }
    }

    #[test]
    fn no_number_is_longer_than_its_column(
        text in prop_oneof![
            mutated_text(&["-123456789.987654321e-5", "1e37", ".5", "000000000000000000000000000000000000001"]),
            "[+-]?[0-9]{0,60}[.]?[0-9]{0,60}([eE][+-]?[0-9]{1,20})?",
        ],
        precision in 1..=38_u8,
        scale in 0..=37_u8,
    ) {
        let scale = scale.min(precision);
        if let Ok(Cell::Text(landed)) = decimal::land(&text, precision, scale) {
            let digits = landed.bytes().filter(u8::is_ascii_digit).count();
            // A number below one is shown with a zero in front.
            prop_assert!(digits <= usize::from(precision) + 1, "{}", landed);
            prop_assert_eq!(decimal::land(&landed, precision, scale), Ok(Cell::Text(landed)));
        }
    }

    #[test]
    fn what_was_read_as_a_time_is_read_again(text in moments(), digits in 0..=9_u8) {
        for zone in [Zone::Without, Zone::Local, Zone::With] {
            if let Some(landed) = datetime::timestamp(&text, digits, zone, AccountZone::UTC) {
                prop_assert_eq!(datetime::timestamp(&landed, digits, zone, AccountZone::UTC), Some(landed));
            }
        }
        if let Some(landed) = datetime::time(&text, digits, true) {
            prop_assert_eq!(datetime::time(&landed, digits, false), Some(landed));
        }
        if let Some(landed) = datetime::date(&text) {
            prop_assert_eq!(datetime::date(&landed), Some(landed));
        }
    }

    #[test]
    fn only_the_jwt_itself_logs_in(damaged in jwts(), form in mutated_text(&[
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=h+session%3Arole%3AR",
    ])) {
        let mut login = Login::new("emulator", "h", Duration::from_secs(60), OAuth::new(Duration::ZERO)).unwrap();
        let key = PublicKey::of_private_pem(&keys::shared().unwrap()).unwrap();
        login.register("STREAMING_INGEST", key);
        let good = good_jwt();
        if let Ok(value) = http::HeaderValue::from_bytes(format!("Bearer {damaged}").as_bytes()) {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            // Blanks at the end are the header's, not the token's.
            let same = damaged.trim_end() == good;
            prop_assert_eq!(login.check_account(&headers, START_MS).is_ok(), same);
            prop_assert!(login.check_streaming(&headers, START_MS, false).is_err());
        }
        let value = http::HeaderValue::try_from(format!("Bearer {good}")).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        for headers in [&headers, &HeaderMap::new()] {
            let _ = login.exchange(headers, form.as_bytes(), START_MS, EarlierToken::Lives);
        }
        let _ = login.authorize(&headers, form.as_bytes(), START_MS);
    }
}

fn good_jwt() -> String {
    jwt(START, START + 3540)
}

/// JWTs whose parts are nearly right, or that are nearly the right one.
fn jwts() -> impl Strategy<Value = String> {
    let claims = json!({
        "iss": "EMULATOR.STREAMING_INGEST.SHA256:x",
        "sub": "EMULATOR.STREAMING_INGEST",
        "iat": START,
        "exp": START + 60,
    });
    let header = mutated_text(&[r#"{"typ":"JWT","alg":"RS256"}"#]);
    let forged =
        (header, mutated_text(&[claims.to_string().as_str()])).prop_map(|(header, claims)| {
            let (header, claims) = (
                URL_SAFE_NO_PAD.encode(header),
                URL_SAFE_NO_PAD.encode(claims),
            );
            format!("{header}.{claims}.c2ln")
        });
    prop_oneof![mutated_text(&[good_jwt().as_str()]), forged]
}
