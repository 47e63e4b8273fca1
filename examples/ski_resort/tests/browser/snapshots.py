"""A state of the pipeline that no run comes to: every number is another one."""

import itertools

import written

MIB = 2**20


def distinct(live):
    """What the program would say, made of what it says, and what the page has to write for it."""
    # Far enough apart to be written differently, whatever the unit.
    numbers = itertools.count(101, 3)
    live = live | {"phase": "running", "speed": "480", "elapsed_s": 60.0 * next(numbers), "target": "an account"}
    expected = {"pipeline.elapsed": written.duration(live["elapsed_s"]), "pipeline.speed": "480 times as fast"}
    live["tables"] = [flow(row["table"], numbers, expected) for row in live["tables"]]
    rates = [row["rows_per_s"] for row in live["tables"]]
    expected["header.rows_per_s"] = expected["pipeline.rows_per_s"] = written.rows_per_s(sum(rates))
    expected["pipeline.lag"] = written.seconds(max(row["lag_s"] for row in live["tables"]))
    live["requests"] = [requests(endpoint, numbers, expected) for endpoint in ["append", "open", "status"]]
    for name in ["open", "invalidated", "reopened"]:
        live[f"channels_{name}"] = next(numbers)
        expected[f"pipeline.channels.{name}"] = written.count(live[f"channels_{name}"])
    # The budget is the largest.
    for field, name in [("bytes_sent", "bytes_sent"), ("memory_in_use", "memory.in_use"), ("memory_budget", "memory.budget")]:
        live[field] = next(numbers) * MIB
        expected[f"pipeline.{name}"] = written.mebibytes(live[field])
    live["history"] = history(numbers, expected)
    # These are the same number by definition.
    shared = {"header.rows_per_s", "pipeline.lag"}
    texts = [text for name, text in expected.items() if name not in shared and not name.endswith(".channel")]
    assert len(texts) == len(set(texts)), sorted(text for text in texts if texts.count(text) > 1)
    return live, expected


def flow(table, numbers, expected):
    """A table's rows, fewer at each stage."""
    stages = ["reopens", "rejected", "landed", "committed", "accepted", "appended", "queued", "generated"]
    counts = {name: next(numbers) for name in stages}
    for name, number in counts.items():
        expected[f"pipeline.{table}.{name}"] = written.count(number)
    rate, lag = next(numbers), next(numbers) + 0.5
    expected[f"pipeline.{table}.rows_per_s"] = written.rows_per_s(rate)
    expected[f"pipeline.{table}.lag_s"] = written.seconds(lag)
    expected[f"pipeline.{table}.channel"] = "open"
    channel = {"name": f"channel of {table}", "state": "open", "reopens": counts.pop("reopens")}
    return {"table": table, "rows_per_s": rate, "lag_s": lag, "channel": channel} | counts


def requests(endpoint, numbers, expected):
    row = {field: next(numbers) for field in ["total", "retries", "unanswered", "throttled", "refused", "failed"]}
    for field, number in row.items():
        expected[f"pipeline.requests.{endpoint}.{field}"] = written.count(number)
    row["mean_ms"] = next(numbers) + 0.25
    expected[f"pipeline.requests.{endpoint}.mean_ms"] = written.milliseconds(row["mean_ms"])
    return {"endpoint": endpoint} | row


def history(numbers, expected):
    points = {"elapsed_s": [], "rows_per_s": [], "lag_s": []}
    for at in range(1, 4):
        for (name, values), write in zip(points.items(), [written.seconds, written.rows_per_s, written.seconds]):
            values.append(next(numbers))
            expected[f"pipeline.history.{at}.{name}"] = write(values[-1])
    return points
