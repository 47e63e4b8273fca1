//! Connections to a server whose certificate is from a private authority.

use mysql_async::prelude::Queryable;
use tempfile::TempDir;

use crate::program::{World, output, table, text};

/// Writes a certificate for loopback, which is its own authority, and its key.
fn certificate(folder: &TempDir, name: &str) -> [String; 2] {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let files = [
        (format!("{name}.pem"), certified.cert.pem()),
        (format!("{name}.key"), certified.signing_key.serialize_pem()),
    ];
    files.map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    })
}

#[tokio::test]
async fn only_the_authority_that_is_named_is_trusted() {
    let folder = TempDir::new().unwrap();
    let [own, key] = certificate(&folder, "own");
    let [other, _] = certificate(&folder, "other");
    let tls = [format!("--ssl-cert={own}"), format!("--ssl-key={key}")];
    let mut world = World::new(&[&tls[0], &tls[1]]).await;
    let mut conn = world.conn().await;
    for statement in [
        "CREATE TABLE orders (id INT PRIMARY KEY, note INT)",
        "INSERT INTO orders SELECT seq, seq FROM seq_1_to_100",
        "ALTER USER cdc@'%' REQUIRE SSL",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let orders = table("orders");
    let plain = output(world.command("ddl", &[&orders])).await;
    assert!(!plain.status.success(), "{}", text(&plain));
    let untrusted = output(world.command("ddl", &[&orders, &format!("--ca={other}")])).await;
    let said = text(&untrusted).to_lowercase();
    assert!(
        !untrusted.status.success() && said.contains("certificate"),
        "{said}"
    );

    let trusted = format!("--ca={own}");
    let options = [orders.as_str(), trusted.as_str(), "--channels=3"];
    world.make_tables(&options).await;
    conn.query_drop("UPDATE orders SET note = 7 WHERE id = 1")
        .await
        .unwrap();
    world.copy(&[&options[..], &["--until-now"]].concat()).await;
    assert_eq!(world.landed("ORDERS").len(), 100);
}
