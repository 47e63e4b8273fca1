from snowflake.ingest.streaming import StreamingIngestClient


def test_a_ride_lands(snowpipe_emulator):
    snowpipe_emulator.ddl("CREATE OR REPLACE TABLE RESORT.PUBLIC.LIFT_RIDE (ID NUMBER NOT NULL, LIFT VARCHAR)")
    profile = snowpipe_emulator.profile
    with StreamingIngestClient.from_table("test", "RESORT", "PUBLIC", "LIFT_RIDE", profile_json=profile) as client:
        channel, _ = client.open_channel("rides-0")
        channel.append_row({"ID": 1, "LIFT": "Elkhorn"}, "1")
        snowpipe_emulator.wait("RESORT.PUBLIC.LIFT_RIDE", rows=1)
    assert snowpipe_emulator.rows("RESORT.PUBLIC.LIFT_RIDE") == [{"ID": 1, "LIFT": "Elkhorn"}]
