//! Rejected rows: dead letters before rows are deleted, and the other rows in the table.

use super::*;

#[tokio::test(start_paused = true)]
async fn rejected_rows_become_dead_letters_and_the_other_rows_land() {
    let world = World::empty();
    world.add(&[pass(1, "5"), pass(2, r#""a lot""#), pass(3, "7")]);
    let ended = world.run().await;
    assert!(ended.failures.is_empty(), "{ended:?}");
    assert_eq!(world.landed(Table::SeasonPass), ["pass 1", "pass 3"]);
    let letters = world.dead_letters();
    // All rows of the window: the server does not report which row it was.
    let ids: Vec<_> = letters.iter().map(|(_, id, _)| *id).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert!(letters[0].2.contains("PRICE_USD"), "{letters:?}");
    assert_eq!(world.queue().queued().unwrap(), 0);
    let summary = world.summary(false).await;
    let passes = &summary["tables"]["SEASON_PASS"];
    assert_eq!(
        (&passes["rows_inserted"], &passes["rejected"]),
        (&2.into(), &1.into())
    );
    assert_eq!(summary["balanced"], true);
}

/// Adds a trigger to the queue's database that refuses a statement.
fn refuse(world: &World, trigger: &str) {
    let queue = rusqlite::Connection::open(world.path()).unwrap();
    let sql =
        format!("CREATE TRIGGER REFUSED {trigger} BEGIN SELECT RAISE(ABORT, 'on purpose'); END");
    queue.execute_batch(&sql).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rejected_row_is_a_dead_letter_before_it_is_deleted() {
    let world = World::empty();
    world.add(&[pass(1, "5"), pass(2, r#""a lot""#), pass(3, "7")]);
    refuse(
        &world,
        "BEFORE DELETE ON SEASON_PASS WHEN NOT EXISTS
         (SELECT 1 FROM DEAD_LETTER WHERE TABLE_NAME = 'SEASON_PASS' AND ROW_ID = 2)",
    );
    let ended = world.run().await;
    assert!(ended.failures.is_empty(), "{ended:?}");
    assert_eq!(world.queue().queued().unwrap(), 0);
    assert_eq!(world.queue().rejects(Table::SeasonPass).unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn rows_whose_dead_letters_cannot_be_kept_stay_in_the_queue() {
    let world = World::empty();
    world.add(&[pass(1, "5"), pass(2, r#""a lot""#), pass(3, "7")]);
    refuse(&world, "BEFORE INSERT ON DEAD_LETTER");
    let ended = world.run().await;
    assert_eq!(ended.failures.len(), 1, "{ended:?}");
    assert_eq!(world.queue().queued().unwrap(), 3);
    let seen = world.queue().rejects(Table::SeasonPass).unwrap();
    assert_eq!(seen, 0, "the count moves with the letters");
    assert_eq!(world.dead_letters(), []);
}

#[tokio::test(start_paused = true)]
async fn a_summary_keeps_what_was_rejected_before_it_deletes_what_is_committed() {
    let world = World::empty();
    world.add(&[pass(1, "5"), pass(2, r#""a lot""#), pass(3, "7")]);
    let copy = world.directory.path().join("copy.db");
    std::fs::copy(world.path(), &copy).unwrap();
    world.run().await;
    // Killed before the deletion, and the dead letters cannot be kept at first.
    restore(&world, &copy);
    refuse(&world, "BEFORE INSERT ON DEAD_LETTER");
    let course = Course {
        interrupted: false,
        was_finished: false,
        elapsed: Duration::from_secs(1),
    };
    let path = world.path();
    let summary = Summary::new(&world.args, &path, &world.target, course);
    let text = format!("{:?}", summary.await.map(drop));
    assert!(text.contains("on purpose"), "{text}");
    assert_eq!(world.queue().queued().unwrap(), 3);
    assert_eq!(world.queue().rejects(Table::SeasonPass).unwrap(), 0);

    restore(&world, &copy);
    for _ in 0..2 {
        world.summary(false).await;
        let letters = world.dead_letters();
        let ids: Vec<_> = letters.iter().map(|(_, id, _)| *id).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert!(letters[0].2.contains("PRICE_USD"), "{letters:?}");
        assert_eq!(world.queue().queued().unwrap(), 0);
        assert_eq!(world.queue().rejects(Table::SeasonPass).unwrap(), 1);
    }
}
