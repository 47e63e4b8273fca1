//! The ingest host in the account's answer: which forms are read, which URL results, and what is refused.

use super::{account, ingest_host, url};
use crate::api::wire::IngestHost;
use crate::types::error::ErrorKind;

fn host(text: &str, account: &str) -> (String, String) {
    let IngestHost { host, base } = ingest_host(text.as_bytes(), &url(account)).unwrap();
    (host, base)
}

fn pair(host: &str, base: &str) -> (String, String) {
    (host.to_owned(), base.to_owned())
}

#[test]
fn a_host_name_is_read_in_every_form() {
    for body in [
        fixture!("hostname_text.txt"),
        fixture!("hostname_newline.txt"),
        fixture!("hostname_string.json"),
        fixture!("hostname_object.json"),
    ] {
        let found = ingest_host(body.as_bytes(), &account()).unwrap();
        assert_eq!(found.host, "acct-one.eu.ingest.snowflakecomputing.com");
        assert_eq!(
            found.base,
            "https://acct-one.eu.ingest.snowflakecomputing.com"
        );
    }
}

#[test]
fn a_bare_host_takes_scheme_and_port_from_the_account() {
    assert_eq!(
        host("127.0.0.1", "http://127.0.0.1:8080"),
        pair("127.0.0.1", "http://127.0.0.1:8080")
    );
    assert_eq!(
        host("ingest.example", "https://acct.example:8443/"),
        pair("ingest.example", "https://ingest.example:8443")
    );
    assert_eq!(
        host("[::1]", "http://localhost:8080"),
        pair("[::1]", "http://[::1]:8080")
    );
}

#[test]
fn plain_http_does_not_leave_this_machine() {
    let account = url("http://localhost:8080");
    for named in [
        "ingest.example",
        "http://ingest.example",
        "10.0.0.1:80",
        "[::2]",
    ] {
        let error = ingest_host(named.as_bytes(), &account).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{named}");
        assert!(error.to_string().contains("https://"), "{error}");
    }
    assert_eq!(
        host("https://ingest.example", "http://localhost:8080"),
        pair("ingest.example", "https://ingest.example")
    );
}

#[test]
fn a_scheme_or_port_that_comes_with_the_host_is_honoured() {
    assert_eq!(
        host("ingest.example:444", "https://acct.example:8443"),
        pair("ingest.example", "https://ingest.example:444")
    );
    assert_eq!(
        host("https://ingest.example", "https://acct.example:8443"),
        pair("ingest.example", "https://ingest.example")
    );
    assert_eq!(
        host("http://localhost:9000/", "http://localhost:8080"),
        pair("localhost", "http://localhost:9000")
    );
    assert_eq!(
        host("[::1]:9000", "http://localhost:8080"),
        pair("[::1]", "http://[::1]:9000")
    );
}

#[test]
fn underscores_become_dashes_on_snowflakes_public_hosts_alone() {
    let account = "https://acct.example";
    for (told, used) in [
        (
            "my_acct_1.eu.ingest.snowflakecomputing.com",
            "my-acct-1.eu.ingest.snowflakecomputing.com",
        ),
        (
            "MY_ACCT.ingest.SnowflakeComputing.cn",
            "MY-ACCT.ingest.SnowflakeComputing.cn",
        ),
        (
            "my_acct.ingest.privatelink.snowflakecomputing.com",
            "my_acct.ingest.privatelink.snowflakecomputing.com",
        ),
        (
            "MY_ACCT.PRIVATELINK.snowflakecomputing.com",
            "MY_ACCT.PRIVATELINK.snowflakecomputing.com",
        ),
        ("snowflake_emulator", "snowflake_emulator"),
        ("my_acct.ingest.example", "my_acct.ingest.example"),
    ] {
        assert_eq!(
            host(told, account),
            pair(used, &format!("https://{used}")),
            "{told}"
        );
    }
}

#[test]
fn a_bare_ipv6_address_gets_its_brackets() {
    assert_eq!(
        host("::1", "http://[::1]:8080"),
        pair("[::1]", "http://[::1]:8080")
    );
    assert_eq!(
        host("2001:db8::7", "https://acct.example"),
        pair("[2001:db8::7]", "https://[2001:db8::7]")
    );
}

#[test]
fn an_invalid_host_is_refused() {
    for body in [
        "",
        "   \n",
        "\"\"",
        "{}",
        "[]",
        "null and void",
        "{\"hostname\":7}",
        "{\"hostname\":\"\"}",
        "ingest.example/path",
        "ingest.example?x=1",
        "user@ingest.example",
        "user:secret@ingest.example",
        "ingest .example",
        "ingest\n.example",
        "ingest.example:",
        "ingest.example:99999",
        "[::1",
        "ftp://ingest.example",
        "https://",
        "https:///ingest.example",
        "http://ingest.example",
        "<html>sign in</html>",
        "\u{1F3BF}.example",
    ] {
        let result = ingest_host(body.as_bytes(), &account());
        let error = match result {
            Err(error) => error,
            Ok(found) => panic!("{body:?} gave {found:?}"),
        };
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body:?}");
        assert!(
            error.to_string().contains("check the account's URL"),
            "{error}"
        );
    }
    assert!(ingest_host(&[0xff, 0xfe], &account()).is_err());
    assert!(ingest_host("a".repeat(301).as_bytes(), &account()).is_err());
}
