//! Runs that are killed repeatedly, under a paused clock, and the rows of both tables afterwards.

use snowpipe_streaming_emulator::{Endpoint, Fault};

use super::job;
use super::world::{LIVE, World};

#[tokio::test(start_paused = true)]
async fn kills_at_any_time_lose_and_duplicate_no_row() {
    // From before the channels are open to long after the first commits; no multiple of a period of client or emulator.
    for pause in [1, 13, 47, 111, 257, 391, 523, 761, 1_009] {
        let world = World::configured(job(1_500, 3), LIVE);
        let kills = world.run_with_kills(|kills| pause + kills % 7 * 150).await;
        assert!(kills > 1, "{kills} kills after {pause} ms");
        world.assert_exact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_orders_of_five_instances_are_exact_after_kills() {
    let world = World::configured(job(10_000, 5), LIVE);
    let kills = world.run_with_kills(|kills| 300 + kills * 100).await;
    assert!(kills >= 5, "{kills}");
    world.assert_exact().await;
}

#[tokio::test(start_paused = true)]
async fn kills_amid_faults_leave_both_tables_exact() {
    let world = World::configured(job(3_000, 3), LIVE);
    let faults = world.emulator.faults();
    for fault in [
        Fault::Lose,
        Fault::ApplyThenLose,
        Fault::Cut,
        Fault::ServerError(503),
        Fault::ApplyThenServerError(500),
        Fault::Throttle(None),
        Fault::Refuse,
    ] {
        faults.push(fault.on(Endpoint::Append).at_rate(0.05));
    }
    let kills = world.run_with_kills(|kills| 300 + kills % 5 * 250).await;
    assert!(kills > 2, "{kills}");
    assert!(faults.injected().len() >= 5, "{faults:?}");
    world.assert_exact().await;
}
