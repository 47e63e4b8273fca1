"""The emulator in a process of its own: what a server has seen of a stream, which nothing on the page is made from."""

import json
import os
import subprocess
import urllib.request
from collections import Counter

from program import START_SECONDS

# A client per table asks for the host name when it begins, and one more at the end, to reconcile.
STREAMS = 3
PAGE = 1000


class Emulator:
    """`snowpipe-emulator`, until the end of a `with` block."""

    def __init__(self, binary, directory, ddl):
        self.profile = directory / "profile.json"
        self.process = subprocess.Popen(
            [binary, "--ddl", ddl, "--data", "emulator.db", "--write-profile", self.profile],
            cwd=directory,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"RUST_LOG": "warn"},
        )
        self.url = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, path, body=None):
        request = urllib.request.Request(
            f"{self.url}/_emulator/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
            return json.load(answer)

    def log(self):
        """All requests so far."""
        log, last = [], 0
        while found := self.ask(f"requests?after={last}&limit={PAGE}")["requests"]:
            log += found
            last = found[-1]["number"]
        assert not log or log[0]["number"] == 1, "the first requests are forgotten"
        return log

    def seen(self):
        """What the streams asked for: the requests by endpoint as the page counts them, and the bytes of their rows."""
        log = self.log()
        begun = [at for at, request in enumerate(log) if request["endpoint"] == "hostname"]
        endpoints, sent = {}, 0
        for request in log[: begun[STREAMS]]:
            row = endpoints.setdefault(request["endpoint"], Counter())
            row.update(["total", kind(request)])
            row["retries"] += request["query"].get("retryCount", "0") != "0"
            if request["endpoint"] == "append":
                sent += request["body_bytes"]
        return endpoints, sent


def kind(request):
    """What the page calls a request that was answered so. What a fault says in the server's place has no status here."""
    status, fault = request["status"], request["fault"]
    if status is None:
        return "failed" if fault == "server_error" else "unanswered"
    if status == 429:
        return "throttled"
    return "answered" if status < 400 else "refused" if status < 500 else "failed"
