"""Carries out one scenario with the official SDK: sdk.py SCENARIOS.json NAME PROFILE.json OUTCOMES.json

What each step comes to is written to OUTCOMES.json, in order, up to the first failure that the scenario does not expect.
"""

import datetime
import decimal
import enum
import json
import sys
import threading
import time
import uuid

from snowflake.ingest.streaming import StreamingIngestClient, StreamingIngestError, __version__

# No step takes as long as this unless something is wrong.
PATIENCE = 60


class Colour(enum.Enum):
    """For the scenario of values."""

    RED = "red"


class Session:
    """A client and its channels."""

    def __init__(self, scenario, profile):
        self.scenario = scenario
        self.profile = profile
        self.channels = {}
        self.futures = []
        self.handled = []
        self.lock = threading.Lock()
        self.connect()

    def connect(self):
        if pipe := self.scenario.get("pipe"):
            self.client = StreamingIngestClient("official", "DB", "S", pipe, profile_json=self.profile)
            return
        self.client = StreamingIngestClient.from_table(
            "official", "DB", "S", self.scenario.get("table", "T"), profile_json=self.profile
        )

    def restart(self, step):
        self.client.close(timeout_seconds=PATIENCE)
        self.channels = {}
        self.connect()

    def open(self, step):
        channel, status = self.client.open_channel(step["channel"], step.get("token"))
        self.channels[step["channel"]] = channel
        return {"token": status.latest_committed_offset_token}

    def append(self, step):
        self.channel(step).append_row(step["row"], step.get("token"))

    def append_together(self, step):
        self.channel(step).append_rows(step["rows"], step["start"], step["end"])

    def values(self, step):
        for row in step["values"]:
            # The scenarios are this test's own.
            value = eval(row["python"], {"Colour": Colour, **MODULES})
            self.channel(step).append_row({"CH": step["channel"], "ID": row["id"], row["column"]: value}, str(row["id"]))

    def many(self, step):
        for rows in batches(step):
            self.channel(step).append_rows(rows, str(rows[0]["ID"]), str(rows[-1]["ID"]))

    def flush(self, step):
        self.channel(step).wait_for_flush(PATIENCE)

    def commit(self, step):
        channel = self.channel(step)
        for _ in range(PATIENCE):
            try:
                channel.wait_for_commit(lambda token: token == step["token"], PATIENCE)
                return {"token": channel.get_latest_committed_offset_token()}
            except StreamingIngestError as error:
                # Of a channel that was dropped and opened again its cache says so until it is refreshed.
                if code_of(error) != "ChannelNotFound":
                    raise
                time.sleep(0.5)
        raise TimeoutError(step["token"])

    def status(self, step):
        return shown(self.channel(step).get_channel_status())

    def statuses(self, step):
        statuses = self.client.get_channel_statuses(step["channels"])
        return {name: shown(status) for name, status in statuses.items()}

    def tokens(self, step):
        return self.client.get_latest_committed_offset_tokens(step["channels"])

    def close(self, step):
        self.channels.pop(step["channel"]).close(timeout_seconds=PATIENCE)

    def close_and_drop(self, step):
        self.channels.pop(step["channel"]).close(drop=True, timeout_seconds=PATIENCE)

    def drop(self, step):
        self.client.drop_channel(step["channel"])

    def close_client(self, step):
        self.client.close(timeout_seconds=PATIENCE)
        self.channels = {}

    def elastic(self, step):
        self.elastic_channel = self.client.get_elastic_channel()
        self.elastic_channel.set_success_handler(self.succeeded)

    def succeeded(self, detail):
        with self.lock:
            self.handled.extend(detail.append_tokens)

    def elastic_append(self, step):
        future = self.elastic_channel.append_row_with_wait(step["row"], step.get("tag"))
        self.futures.append(future)

    def elastic_many(self, step):
        for rows in batches(step):
            self.futures.append(self.elastic_channel.append_rows_with_wait(rows, str(rows[0]["ID"])))

    def elastic_flush(self, step):
        self.elastic_channel.initiate_flush()
        self.elastic_channel.wait_for_flush(PATIENCE)
        for future in self.futures:
            future.result(PATIENCE)
        acknowledged = len(self.futures)
        self.futures = []
        return {"acknowledged": acknowledged}

    def elastic_handled(self, step):
        with self.lock:
            return sorted(str(tag) for tag in self.handled)

    # From here on there is nothing to compare with: what the official SDK says of itself has to be right.

    def check_properties(self, step):
        client = self.client
        equal((client.client_name, client.db_name, client.schema_name), ("official", "DB", "S"))
        equal(client.pipe_name, "T-STREAMING")
        equal(client.is_closed(), False)
        channel, status = client.open_channel(step["channel"])
        self.channels[step["channel"]] = channel
        equal((channel.db_name, channel.schema_name, channel.pipe_name), ("DB", "S", "T-STREAMING"))
        equal((channel.channel_name, channel.is_closed()), (step["channel"], False))
        equal((status.database_name, status.schema_name, status.pipe_name), ("DB", "S", "T-STREAMING"))
        equal((status.channel_name, status.status_code), (step["channel"], "SUCCESS"))
        age = datetime.datetime.now() - status.created_on
        equal(abs(age) < datetime.timedelta(minutes=10), True)
        equal((status.last_error_message, status.last_error_timestamp), (None, None))
        age = datetime.datetime.now() - channel.get_channel_status().last_refreshed_on
        equal(abs(age) < datetime.timedelta(minutes=1), True)
        equal(__version__, "1.9.1")

    def check_refusals(self, step):
        channel = self.channel(step)
        row = {"CH": step["channel"], "ID": 1}
        equal(refused(lambda: channel.append_rows([], "1", "1")), "InvalidRequest")
        equal(refused(lambda: channel.append_row(row, 1)), "TypeError")
        equal(refused(lambda: channel.append_row({"ID": object()}, "1")), "ValueError")
        equal(refused(lambda: channel.append_row({"NAME": "\ud800"}, "1")), "ValueError")
        equal(refused(lambda: channel.wait_for_flush(-1)), "ValueError")
        nobody = self.client.get_channel_statuses(["nobody"])["nobody"]
        equal(nobody.status_code, "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED")
        equal(refused(lambda: StreamingIngestClient.from_table("n", "DB", "S", "NONE", self.profile)), "SfApiUserError")

    def check_flushes(self, step):
        channel = self.channel(step)
        name = step["channel"]
        channel.append_row({"CH": name, "ID": 1})
        channel.initiate_flush()
        channel.wait_for_flush()
        channel.append_row({"CH": name, "ID": 2}, "2")
        self.client.initiate_flush()
        self.client.wait_for_flush(PATIENCE)
        # Not an object: it goes out as it is, and the server refuses it.
        channel.append_row([3], "3")
        channel.append_row({"CH": name, "ID": 4}, "4")
        equal(refused(lambda: channel.wait_for_commit(lambda token: token == "5", 2)), "TimeoutError")
        status = channel.get_channel_status()
        equal(status.latest_offset_token, "4")
        equal((status.rows_parsed_count, status.rows_inserted_count, status.rows_error_count), (4, 3, 1))
        equal(status.last_error_message, "100069 (22P02): Error parsing JSON: the row is not a JSON object")
        equal(status.last_error_offset_token_upper_bound, "4")
        equal(status.last_error_timestamp is None, False)
        equal(status.server_avg_processing_latency > datetime.timedelta(0), True)

    def check_endings(self, step):
        channel = self.channel(step)
        channel.close()
        equal(channel.is_closed(), True)
        equal(refused(lambda: channel.append_row({"CH": "api", "ID": 5}, "5")), "ClosedChannelError")
        again, status = self.client.open_channel(step["channel"])
        equal(status.latest_committed_offset_token, "4")
        # Dropped with what is buffered.
        again.append_row({"CH": "api", "ID": 6}, "6")
        again.close(wait_for_flush=False)
        self.client.drop_channel(step["channel"])

    def check_elastic_channel(self, step):
        channel = self.client.get_elastic_channel()
        equal(channel is self.client.get_elastic_channel(), True)
        equal((channel.channel_name, channel.pipe_name, channel.is_closed()), ("ELASTIC", "T-STREAMING", False))
        done = threading.Event()
        details = []

        def succeeded(detail):
            details.append(detail)
            if sum(len(one.append_tokens) for one in details) == 2:
                done.set()

        channel.set_success_handler(succeeded)
        channel.append_row({"CH": "ELASTIC", "ID": 1}, "one")
        channel.append_rows([{"CH": "ELASTIC", "ID": 2}, {"CH": "ELASTIC", "ID": 3}], "two")
        channel.initiate_flush()
        equal(done.wait(PATIENCE), True)
        equal(sorted(token for one in details for token in one.append_tokens), ["one", "two"])
        equal({one.retry_count for one in details}, {0})
        # There is nothing to wait for a commit with.
        for _ in range(PATIENCE):
            status = channel.get_channel_status()
            if status.rows_inserted_count == 3:
                break
            time.sleep(0.5)
        equal((status.channel_name, status.rows_parsed_count, status.rows_inserted_count), ("ELASTIC", 3, 3))
        equal(status.latest_committed_offset_token, None)

    def check_context_managers(self, step):
        with open(self.profile, encoding="utf-8") as file:
            properties = json.load(file)
        with StreamingIngestClient("managed", "DB", "S", "T-STREAMING", properties=properties) as client:
            with client.open_channel(step["channel"])[0] as channel:
                channel.append_row({"CH": step["channel"], "ID": 1}, "1")
                channel.append_rows([{"CH": step["channel"], "ID": 2}], "2", "2")
            equal(channel.is_closed(), True)
        equal(client.is_closed(), True)
        equal(refused(lambda: client.open_channel("late")), "ClosedClientError")

    def check_error_handler(self, step):
        channel = self.client.get_elastic_channel()
        failed = threading.Event()
        details = []

        def handle(detail):
            details.append(detail)
            failed.set()

        channel.set_error_handler(handle)
        future = channel.append_row_with_wait({"CH": "ELASTIC", "ID": 1}, "one")
        channel.initiate_flush()
        equal(refused(lambda: future.result(PATIENCE)), "SfApiUserError")
        equal(failed.wait(PATIENCE), True)
        error = details[0].error
        equal((error.http_status_code, error.http_status_name, bool(error.message)), (400, "Bad Request", True))
        equal(details[0].append_tokens, ("one",))
        equal(details[0].retry_count, 0)

    def channel(self, step):
        return self.channels[step["channel"]]


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r} is not {expected!r}")


def refused(call):
    """The name of the error that a call ends in."""
    try:
        return f"no error, but {call()!r}"
    except StreamingIngestError as error:
        return code_of(error)
    except (TimeoutError, TypeError, ValueError) as error:
        return type(error).__name__


def code_of(error):
    return str(getattr(error.error_code, "value", error.error_code))


MODULES = {"datetime": datetime, "decimal": decimal, "uuid": uuid}


def batches(step):
    """The rows FIRST to LAST, EACH at a time, with a text of LENGTH."""
    text = step.get("text", "x") * step.get("length", 1)
    name = step.get("channel", "ELASTIC")
    rows = [{"CH": name, "ID": number, "NAME": text} for number in range(step["first"], step["last"] + 1)]
    return [rows[at : at + step["each"]] for at in range(0, len(rows), step["each"])]


def shown(status):
    return {
        "code": status.status_code,
        "token": status.latest_committed_offset_token,
        "parsed": status.rows_parsed_count,
        "inserted": status.rows_inserted_count,
        "errors": status.rows_error_count,
        "last_error": status.last_error_offset_token_upper_bound,
    }


def outcome(session, step):
    try:
        return getattr(session, step["do"])(step)
    except StreamingIngestError as error:
        return {"error": code_of(error), "message": str(error)}
    except (TimeoutError, TypeError, ValueError) as error:
        return {"error": type(error).__name__, "message": str(error)}


def main(scenarios, name, profile, written):
    with open(scenarios, encoding="utf-8") as file:
        scenario = next(one for one in json.load(file) if one["name"] == name)
    session = Session(scenario, profile)
    outcomes = []
    for step in scenario["steps"]:
        outcomes.append(outcome(session, step))
        failed = isinstance(outcomes[-1], dict) and "error" in outcomes[-1]
        if failed and "expect" not in step and "expect_sdk" not in step:
            break
    with open(written, "w", encoding="utf-8") as file:
        json.dump(outcomes, file)
    session.client.close(wait_for_flush=False, timeout_seconds=PATIENCE)


if __name__ == "__main__":
    main(*sys.argv[1:])
