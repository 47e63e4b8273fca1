//! The program, the database and the emulator are killed at random while rows are written, from a seed. In the end the copy and its
//! changes make the table.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use fastrand::Rng;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rusqlite::types::Value;
use tokio::time::sleep;

use crate::program::{World, table};

const ROWS: u32 = 4_000;
const KILLS: usize = 5;
/// The content of a row without its key.
type Content = (Option<String>, i64);

/// Writes until a statement fails, because the database was killed.
async fn write(conn: &mut Conn, rng: &mut Rng, statements: usize) -> mysql_async::Result<()> {
    for _ in 0..statements {
        let id = rng.i64(0..i64::from(ROWS) * 2);
        let amount = rng.i64(-1_000_000_000..1_000_000_000);
        match rng.u8(..6) {
            0 => {
                conn.exec_drop("DELETE FROM orders WHERE id = ?", (id,))
                    .await?;
            }
            1 => {
                // A key that changes.
                let update = "UPDATE IGNORE orders SET id = id + 1 WHERE id = ?";
                conn.exec_drop(update, (id,)).await?;
            }
            2 => {
                let many = "UPDATE orders SET amount = amount + ? WHERE id BETWEEN ? AND ? + 50";
                conn.exec_drop(many, (amount, id, id)).await?;
            }
            _ => {
                let insert = "REPLACE INTO orders VALUES (?, ?, ?)";
                let note = rng.bool().then(|| format!("nöte {amount}"));
                conn.exec_drop(insert, (id, note, amount)).await?;
            }
        }
    }
    Ok(())
}

async fn source(conn: &mut Conn) -> BTreeMap<i64, Content> {
    let rows: Vec<(i64, Option<String>, i64)> = conn
        .query("SELECT id, note, amount FROM orders")
        .await
        .unwrap();
    rows.into_iter()
        .map(|(id, note, amount)| (id, (note, amount)))
        .collect()
}

fn integer(row: &BTreeMap<String, Value>, name: &str) -> i64 {
    match row.get(name) {
        Some(Value::Integer(number)) => *number,
        other => panic!("{name} is {other:?}"),
    }
}

fn content(row: &BTreeMap<String, Value>) -> (i64, Content) {
    let note = match row.get("NOTE") {
        Some(Value::Text(text)) => Some(text.clone()),
        Some(Value::Null) => None,
        other => panic!("a note is {other:?}"),
    };
    (integer(row, "ID"), (note, integer(row, "AMOUNT")))
}

/// The current state: for each key its last change, or else the copied row. Each row was copied once, and each change is
/// there once and in order.
fn current(world: &World) -> BTreeMap<i64, Content> {
    let mut current = BTreeMap::new();
    for row in world.landed("ORDERS") {
        let (id, content) = content(&row);
        assert!(
            current.insert(id, content).is_none(),
            "row {id} was copied twice"
        );
    }
    let mut last = None;
    for change in world.landed("ORDERS_CHANGES") {
        let place = ["CDC_FILE", "CDC_POSITION", "CDC_ROW"].map(|part| integer(&change, part));
        assert!(
            last < Some(place),
            "the change {place:?} comes after {last:?}"
        );
        last = Some(place);
        let (id, content) = content(&change);
        if change.get("CDC_OP") == Some(&Value::Text("D".to_owned())) {
            current.remove(&id);
        } else {
            current.insert(id, content);
        }
    }
    current
}

async fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(&["--sync-binlog=1"]).await;
    let mut conn = world.conn().await;
    let create =
        "CREATE TABLE orders (id BIGINT PRIMARY KEY, note VARCHAR(50), amount BIGINT NOT NULL)";
    conn.query_drop(create).await.unwrap();
    let fill = format!("INSERT INTO orders SELECT seq, CONCAT('n', seq), seq FROM seq_1_to_{ROWS}");
    conn.query_drop(fill).await.unwrap();
    let (orders, channels) = (table("orders"), format!("--channels={}", rng.u32(1..6)));
    let options = [orders.as_str(), channels.as_str()];
    world.make_tables(&options).await;
    let mut program = world.start_copy(&options);
    for _ in 0..KILLS {
        let statements = rng.usize(1..300);
        write(&mut conn, &mut rng, statements).await.unwrap();
        // The kills of a run at random come at times at random.
        sleep(Duration::from_millis(rng.u64(0..1_500))).await;
        let pause = Duration::from_millis(rng.u64(0..1_000));
        match rng.u8(..3) {
            0 => {
                program.kill().await.unwrap();
                program = world.start_copy(&options);
            }
            1 => {
                world.server.kill();
                sleep(pause).await;
                world.server.up().await;
                conn = world.conn().await;
            }
            _ => {
                world.kill_emulator().await;
                sleep(pause).await;
                world.emulator_up().await;
            }
        }
    }
    write(&mut conn, &mut rng, 100).await.unwrap();
    program.kill().await.unwrap();
    world
        .copy(&[orders.as_str(), channels.as_str(), "--until-now"])
        .await;
    assert_eq!(current(&world), source(&mut conn).await, "seed {seed}");
}

/// Four seeds, or those that `MYSQL_SEEDS` says: how many, or from one to another as in `7-9`.
#[tokio::test]
async fn everything_is_killed_at_random() {
    let seeds = env::var("MYSQL_SEEDS").unwrap_or_else(|_| "4".to_owned());
    let (first, last) = seeds.split_once('-').unwrap_or(("1", &seeds));
    for seed in first.parse().unwrap()..=last.parse().unwrap() {
        run(seed).await;
        eprintln!("seed {seed} is exact");
    }
}
