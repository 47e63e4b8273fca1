//! Tests of key-pair authentication: keys in every format, and the fingerprint and a JWT compared with openssl's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::types::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::keypair::{KeyPair, account_name};
use super::{Bearer, Credential as _, CredentialContext, private_key};
use crate::base::time::TimeSource;
use crate::http::Transport;
use crate::types::error::{Error, ErrorKind};

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("../../tests/fixtures/keys/", $name))
    };
}

const PLAIN: &str = key!("rsa_p8.pem");
const PKCS1: &str = key!("rsa_pkcs1.pem");
const AES256: &str = key!("rsa_p8_aes256.pem");
const SCRYPT: &str = key!("rsa_p8_scrypt.pem");

/// `openssl rsa -in rsa_p8.pem -pubout -outform DER | openssl dgst -sha256 -binary | openssl base64`
const FINGERPRINT: &str = "SHA256:9703Br/cSxH7v8SqgG9yG3woKYIaqQrd6UoVEWG+ajE=";
/// Header and claims as below, signed with `openssl dgst -sha256 -sign rsa_p8.pem`.
const GOLDEN: &str = key!("golden.jwt");
/// 2026-01-17T14:00:00Z, in seconds.
const NOON: u64 = 1_768_658_400;

const CONVERT: &str = "openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW";

/// The bearer token of a pair at a time.
async fn bearer_at(pair: &KeyPair, now: SystemTime) -> Bearer {
    let time = FixedTime(now);
    let transport: Arc<dyn Transport> = Arc::new(NoTransport);
    let context = CredentialContext {
        time: &time,
        account_url: &"https://account.snowflakecomputing.com".parse().unwrap(),
        transport: &transport,
        attempt_timeout: Duration::from_secs(60),
    };
    pair.bearer(context).await.unwrap()
}

#[derive(Debug)]
struct FixedTime(SystemTime);

impl TimeSource for FixedTime {
    fn now(&self) -> SystemTime {
        self.0
    }
}

#[derive(Debug)]
struct NoTransport;

#[async_trait::async_trait]
impl Transport for NoTransport {
    async fn call(
        &self,
        _: crate::transport::Request,
    ) -> Result<crate::transport::Response, crate::transport::TransportError> {
        unreachable!("a key pair makes no network calls")
    }
}

fn pair(key: impl AsRef<[u8]>, passphrase: Option<&str>) -> Result<KeyPair, Error> {
    KeyPair::new(
        "myorg-myacct",
        "ingest",
        Some("LOADER"),
        key.as_ref(),
        passphrase.map(Secret::from).as_ref(),
    )
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

async fn token(pair: &KeyPair, seconds: u64) -> String {
    let bearer = bearer_at(pair, at(seconds)).await;
    assert_eq!(bearer.token_type, "KEYPAIR_JWT");
    bearer.token.expose().to_owned()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn body(pem: &str) -> String {
    pem.lines().filter(|l| !l.starts_with("-----")).collect()
}

#[track_caller]
fn same_key(text: impl AsRef<[u8]>, passphrase: Option<&str>) {
    assert_eq!(pair(text, passphrase).unwrap().fingerprint(), FINGERPRINT);
}

/// The key is refused for this reason, and the error contains neither the key nor the passphrase.
#[track_caller]
fn refused(text: impl AsRef<[u8]>, passphrase: Option<&str>, reason: &str, remedy: &str) {
    let error = pair(text.as_ref(), passphrase).unwrap_err();
    let message = format!("{error} {error:?}");
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(
        message.contains(reason) && message.contains(remedy),
        "{message}"
    );
    let secret = passphrase.filter(|p| !p.is_empty()).unwrap_or("MII");
    assert!(!message.contains(secret), "{message}");
    for line in String::from_utf8_lossy(text.as_ref()).lines() {
        let is_key = line.len() > 10 && !line.starts_with("-----");
        assert!(!is_key || !message.contains(line), "{message}");
    }
}

#[test]
fn every_supported_file_holds_the_same_key() {
    same_key(PLAIN, None);
    same_key(PKCS1, None);
    for encrypted in [
        AES256,
        key!("rsa_p8_aes128.pem"),
        key!("rsa_p8_des3.pem"),
        key!("rsa_p8_aes256_sha1.pem"),
        SCRYPT,
    ] {
        same_key(encrypted, Some("snowpipe"));
    }
}

#[test]
fn a_passphrase_for_a_plain_key_is_ignored() {
    same_key(PLAIN, Some("unused"));
}

#[test]
fn pem_mangled_by_environment_variables_and_editors_is_read() {
    same_key(PLAIN.replace('\n', "\\n"), None);
    same_key(PLAIN.replace('\n', "\\r\\n"), None);
    same_key(PLAIN.replace('\n', "\r\n"), None);
    same_key(PLAIN.replace('\n', " "), None);
    same_key(format!("\n  \"{PLAIN}\"  \n"), None);
    same_key(format!("'{}'", PLAIN.replace('\n', "\\n")), None);
    same_key(format!("\u{feff}{PLAIN}"), None);
    same_key(format!("Bag Attributes\n    localKeyID: 01\n{PLAIN}"), None);
    same_key(format!("{}{PLAIN}", key!("rsa_certificate.pem")), None);
    same_key(AES256.replace('\n', "\\n"), Some("snowpipe"));
}

#[test]
fn base64_and_der_need_no_header() {
    same_key(body(PLAIN), None);
    same_key(body(PKCS1), None);
    same_key(body(AES256), Some("snowpipe"));
    same_key(STANDARD.decode(body(PLAIN)).unwrap(), None);
    same_key(STANDARD.decode(body(PKCS1)).unwrap(), None);
}

#[test]
fn a_key_that_cannot_be_used_is_refused_with_the_remedy() {
    let wrong = "passphrase is wrong";
    refused(AES256, Some("not-it"), wrong, CONVERT);
    refused(SCRYPT, Some("not-it"), wrong, CONVERT);
    refused(
        AES256,
        None,
        "no passphrase was given",
        "private_key_passphrase",
    );
    refused(
        AES256,
        Some(""),
        "no passphrase was given",
        "PRIVATE_KEY_PASSPHRASE",
    );
    for pbes1 in [key!("rsa_p8_pbes1.pem"), key!("rsa_p8_pbes1_3des.pem")] {
        refused(
            pbes1,
            Some("snowpipe"),
            "encrypted in a way that is not supported",
            CONVERT,
        );
    }
    let traditional = key!("rsa_traditional_encrypted.pem");
    refused(traditional, Some("snowpipe"), "traditional PEM", CONVERT);
    refused(key!("ec_p8.pem"), None, "an EC key", "openssl genrsa 2048");
    refused(
        key!("rsa_1024.pem"),
        None,
        "has 1024 bits",
        "openssl genrsa 2048",
    );
    refused(
        key!("rsa_public.pem"),
        None,
        "a public key was given",
        "give the private key",
    );
    refused(
        body(key!("rsa_public.pem")),
        None,
        "a public key was given",
        "private key",
    );
    refused(
        key!("rsa_certificate.pem"),
        None,
        "a certificate was given",
        "private key",
    );
    refused("", None, "cannot be read", CONVERT);
    refused("no key at all", None, "cannot be read", CONVERT);
    refused(&PLAIN[..400], None, "END line is missing", "whole file");
    refused(&body(PLAIN)[..400], None, "cannot be read", CONVERT);
    refused([0x30, 0x82, 0xff, 0x00], None, "cannot be read", CONVERT);
    let ssh = PLAIN.replace("PRIVATE", "OPENSSH PRIVATE");
    refused(ssh, None, "OpenSSH", "openssl genrsa 2048");
}

#[test]
fn a_key_with_inconsistent_parts_is_refused() {
    let mut der = STANDARD.decode(body(PKCS1)).unwrap();
    let middle = der.len() / 2;
    der[middle] ^= 1;
    refused(der, None, "damaged", "openssl");
}

/// With N = 0 the library would underflow; with r = p = 127 it would run for minutes.
#[test]
fn key_derivations_without_bounds_are_refused() {
    let sane = [2, 2, 0x40, 0, 2, 1, 8, 2, 1, 1];
    for hostile in [
        [2, 1, 0, 2, 2, 0, 0x80, 2, 1, 1],
        [2, 1, 1, 2, 2, 0, 0x80, 2, 1, 1],
        [2, 2, 0x40, 0, 2, 1, 127, 2, 1, 127],
    ] {
        let mut der = STANDARD.decode(body(SCRYPT)).unwrap();
        let start = der.windows(10).position(|w| w == sane).unwrap();
        der[start..start + 10].copy_from_slice(&hostile);
        refused(der, Some("snowpipe"), "not supported", CONVERT);
    }
}

#[test]
fn a_key_that_would_take_minutes_to_check_is_refused() {
    // A modulus of half a megabyte, as DER.
    let number = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[2, 0x84][..], &length, bytes].concat()
    };
    let (long, short) = (number(&vec![0x55; 1 << 19]), number(&[3]));
    let numbers = [
        &number(&[0]),
        &long,
        &short,
        &long,
        &short,
        &long,
        &short,
        &short,
        &short,
    ];
    let numbers: Vec<u8> = numbers.into_iter().flatten().copied().collect();
    let length = u32::try_from(numbers.len()).unwrap().to_be_bytes();
    let der = [&[0x30, 0x84][..], &length, &numbers].concat();
    refused(
        STANDARD.encode(&der),
        None,
        "no RSA key that can sign",
        "openssl genrsa",
    );
}

#[test]
fn the_public_key_equals_openssls() {
    let pair = pair(PLAIN, None).unwrap();
    assert_eq!(pair.public_key_base64(), body(key!("rsa_public.pem")));
}

#[tokio::test]
async fn the_jwt_is_the_one_openssl_signs() {
    let token = token(&pair(PLAIN, None).unwrap(), NOON).await;
    assert_eq!(token, GOLDEN);
    assert_eq!(part(&token, 0), json!({"typ": "JWT", "alg": "RS256"}));
    assert_eq!(
        part(&token, 1),
        json!({
            "iss": format!("MYORG-MYACCT.INGEST.{FINGERPRINT}"),
            "sub": "MYORG-MYACCT.INGEST",
            "iat": 1_768_658_340,
            "exp": 1_768_661_880,
            "scp": "session:role:LOADER",
        })
    );
}

#[tokio::test]
async fn without_a_role_there_is_no_scope_claim() {
    let pair = KeyPair::new("a", "u", None, PLAIN.as_bytes(), None).unwrap();
    let claims = part(&token(&pair, NOON).await, 1);
    assert_eq!(claims.get("scp"), None);
    let bearer = bearer_at(&pair, at(NOON)).await;
    let form = pair.exchange_form(&bearer, "acct.ingest.snowflakecomputing.com");
    assert_eq!(form[1].1, "acct.ingest.snowflakecomputing.com");
}

#[tokio::test]
async fn the_exchange_scope_has_host_and_role() {
    let pair = pair(PLAIN, None).unwrap();
    let bearer = bearer_at(&pair, at(NOON)).await;
    let form = pair.exchange_form(&bearer, "host.example");
    assert_eq!(
        form,
        [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()
            ),
            ("scope", "host.example session:role:LOADER".to_owned()),
        ]
    );
}

#[tokio::test]
async fn a_jwt_is_kept_until_five_minutes_are_left() {
    let pair = pair(PLAIN, None).unwrap();
    let first = token(&pair, NOON).await;
    let expires = 1_768_661_880;
    assert_eq!(token(&pair, expires - 301).await, first);
    let second = token(&pair, expires - 300).await;
    assert_eq!(part(&second, 1)["exp"], expires - 300 - 60 + 3540);
    // The clock was set back by an hour, so the cached token is from the future.
    let third = token(&pair, NOON - 3600).await;
    assert_eq!(part(&third, 1)["iat"], NOON - 3660);
}

#[tokio::test]
async fn a_clock_before_1970_does_not_panic() {
    let pair = pair(PLAIN, None).unwrap();
    let bearer = bearer_at(&pair, SystemTime::UNIX_EPOCH - Duration::from_secs(9)).await;
    assert_eq!(part(bearer.token.expose(), 1)["iat"], 0);
}

#[tokio::test]
async fn debug_output_contains_no_secret() {
    let pair = pair(PLAIN, None).unwrap();
    let bearer = bearer_at(&pair, at(NOON)).await;
    let shown = format!("{pair:?} {bearer:?}");
    assert!(shown.contains("MYORG-MYACCT.INGEST.SHA256:"), "{shown}");
    assert!(
        !shown.contains("eyJ") && !shown.contains("content"),
        "{shown}"
    );
}

#[test]
fn region_and_host_are_removed_from_account_names() {
    for (given, name) in [
        ("xy12345.us-east-1", "XY12345"),
        ("xy12345.eu-central-1.privatelink", "XY12345"),
        ("xy12345.us-east-1.aws.snowflakecomputing.com", "XY12345"),
        ("myorg-my_acct", "MYORG-MY_ACCT"),
        ("MyOrg-MyAcct.privatelink", "MYORG-MYACCT"),
        ("xy12345-a1b2c3.global", "XY12345"),
        ("xy12345", "XY12345"),
    ] {
        assert_eq!(account_name(given), name);
    }
}

/// A key file with some of its bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let files = prop::sample::select(vec![PLAIN, PKCS1, AES256]);
    let form = prop::sample::select(vec!["pem", "der"]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (files, form, edits).prop_map(|(file, form, edits)| {
        let mut bytes = match form {
            "pem" => file.as_bytes().to_vec(),
            _ => STANDARD.decode(body(file)).unwrap(),
        };
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(private_key::read(&bytes, None).is_err());
    }

    #[test]
    fn no_text_panics(text in "(-----BEGIN |-----END |RSA |PRIVATE KEY|-----|\n|\\\\n|[\"'MIIBVg=:é ]){0,40}") {
        prop_assert!(private_key::read(text.as_bytes(), None).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damaged_key_panics(bytes in damaged()) {
        let _ = pair(bytes, Some("snowpipe"));
    }
}
