"""What the pytest plugin of the wheel promises: resets, an emulator for each process, and errors that say what is wrong."""

import os
import subprocess
import sys

import pytest
from snowflake.ingest.streaming import StreamingIngestClient

from snowpipe_emulator import Emulator, EmulatorError

TABLE = "RESORT.PUBLIC.LIFT_RIDE"
DDL = "CREATE TABLE RESORT.PUBLIC.LIFT_RIDE (ID NUMBER NOT NULL, LIFT VARCHAR)"


@pytest.fixture(scope="session")
def snowpipe_emulator_arguments(tmp_path_factory):
    script = tmp_path_factory.mktemp("ddl") / "setup.sql"
    script.write_text(DDL)
    return ["--ddl", str(script), "--commit-delay", "1ms"]


def stream(emulator, rows):
    """Appends rows that are committed before this returns."""
    with StreamingIngestClient.from_table("test", "RESORT", "PUBLIC", "LIFT_RIDE", profile_json=emulator.profile) as client:
        channel, status = client.open_channel("rides-0")
        # A channel of an earlier test would have its token.
        assert status.latest_committed_offset_token is None
        for row in rows:
            channel.append_row(row, str(row["ID"]))
        last = str(rows[-1]["ID"])
        channel.wait_for_commit(lambda token: token == last, 30)


# The parameters are distributed over the workers of pytest-xdist. Each run has to see its rows alone.
@pytest.mark.parametrize("first", range(0, 4))
def test_each_test_sees_its_rows_alone(snowpipe_emulator, first):
    assert snowpipe_emulator.rows(TABLE) == []
    rows = [{"ID": first * 10 + n, "LIFT": f"lift {first}"} for n in range(3)]
    stream(snowpipe_emulator, rows)
    assert snowpipe_emulator.rows(TABLE) == rows


def test_the_environment_is_that_of_the_test(snowpipe_emulator_server, request):
    assert os.environ.get("AWS_ENDPOINT_URL") != snowpipe_emulator_server.url
    request.getfixturevalue("snowpipe_emulator")
    assert os.environ["AWS_ENDPOINT_URL"] == snowpipe_emulator_server.url


def test_more_rows_than_a_page(snowpipe_emulator):
    rows = [{"ID": n, "LIFT": "Elkhorn"} for n in range(2500)]
    stream(snowpipe_emulator, rows)
    assert snowpipe_emulator.rows(TABLE) == rows


def test_rejected_rows_faults_and_statements(snowpipe_emulator):
    snowpipe_emulator.fault("server_error", endpoint="append", times=1)
    stream(snowpipe_emulator, [{"LIFT": "no ID", "ID": None}, {"ID": 2, "LIFT": None}])
    snowpipe_emulator.wait(TABLE, rows=1, errors=1)
    assert "no ID" in snowpipe_emulator.errors(TABLE)[0]["payload"]
    assert snowpipe_emulator.sql(f"SELECT ID, LIFT FROM {TABLE}") == [{"ID": "2", "LIFT": None}]


def test_a_reset_of_one_database(snowpipe_emulator):
    stream(snowpipe_emulator, [{"ID": 1}])
    snowpipe_emulator.reset("OTHER")
    assert len(snowpipe_emulator.rows(TABLE)) == 1
    snowpipe_emulator.reset("RESORT")
    assert snowpipe_emulator.rows(TABLE) == []


def test_refusals_have_the_message_of_the_emulator(snowpipe_emulator):
    with pytest.raises(EmulatorError, match="There is no table RESORT.PUBLIC.NONE"):
        snowpipe_emulator.rows("RESORT.PUBLIC.NONE")
    with pytest.raises(EmulatorError, match="refused with 4"):
        snowpipe_emulator.ddl("CREATE TABLE")
    with pytest.raises(TimeoutError, match="has 0 rows"):
        snowpipe_emulator.wait(TABLE, rows=1, timeout=0)


def test_a_start_that_fails_says_why(tmp_path):
    with pytest.raises(EmulatorError, match="absent.sql"):
        Emulator(["--ddl", str(tmp_path / "absent.sql")])


def test_a_start_has_a_deadline(tmp_path, monkeypatch):
    program = tmp_path / "hangs"
    program.write_text("#!/bin/sh\necho it hangs >&2\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr("snowpipe_emulator._emulator.program", lambda: str(program))
    with pytest.raises(EmulatorError, match="not ready after 1 s.*\nit hangs"):
        Emulator(start_timeout=1)


def test_an_emulator_that_has_ended_says_so():
    emulator = Emulator()
    with emulator:
        emulator._process.kill()
        emulator._process.wait()
        with pytest.raises(EmulatorError, match="it has ended with code"):
            emulator.rows(TABLE)
    assert not os.path.exists(emulator.profile)


def test_variables_of_the_emulator_are_not_inherited(monkeypatch):
    monkeypatch.setenv("SNOWPIPE_EMULATOR_ADMIN_TOKEN", "another")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with Emulator() as emulator:
        emulator.reset()


def test_a_failed_test_shows_the_log(tmp_path):
    (tmp_path / "test_fails.py").write_text("def test_fails(snowpipe_emulator):\n    snowpipe_emulator.sql('SELECT')\n")
    environment = {**os.environ, "RUST_LOG": "debug"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1, run.stdout
    assert "log of snowpipe-emulator" in run.stdout
