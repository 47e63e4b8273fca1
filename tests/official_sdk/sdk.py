"""Carries out one scenario with the official SDK: sdk.py SCENARIOS.json NAME PROFILE.json OUTCOMES.json

What each step comes to is written to OUTCOMES.json, in order, up to the first failure that the scenario does not expect.
"""

import datetime
import decimal
import enum
import json
import sys
import threading
import uuid

from snowflake.ingest.streaming import StreamingIngestClient, StreamingIngestError

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
        channel.wait_for_commit(lambda token: token == step["token"], PATIENCE)
        return {"token": channel.get_latest_committed_offset_token()}

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

    def channel(self, step):
        return self.channels[step["channel"]]


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
        code = getattr(error.error_code, "value", error.error_code)
        return {"error": str(code), "message": str(error)}
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
