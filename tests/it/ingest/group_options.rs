//! Options that a group refuses.

use snowpipe_streaming::ErrorKind;
use snowpipe_streaming::ingest;

use crate::ingest::group_rejects::Engine;
use crate::support::World;

#[tokio::test(start_paused = true)]
async fn a_group_without_rows_in_flight_or_without_a_name_is_refused() {
    let client = World::new().client().await;
    let mut engine = Engine(None);
    let nameless = ingest::group(&client, "", &mut engine).await;
    let none = ingest::group(&client, "resort", &mut engine).total_in_flight(0);
    for refused in [nameless, none.await] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}
