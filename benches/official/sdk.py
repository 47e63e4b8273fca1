"""One run of the official SDK against the sink: sdk.py --profile P --pool F --name C --rows N --batch N --channels N --rate N --flushes N

Appends rows of the pool over and over, and says on one line of JSON what that took. The environment names the sink:
SSL_CERT_FILE its certificate, AWS_ENDPOINT_URL its URL.
"""

import os
import sys

# The SDK logs to the standard output, which is for the result.
RESULT = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

import argparse
import array
import gc
import itertools
import json
import threading
import time

from snowflake.ingest.streaming import StreamingIngestClient, StreamingIngestError

# What a caller waits before it tries again what was refused for lack of room.
ROOM = 0.01
# Of single rows not every append is timed: to look at the clock would cost as much as some of what is measured.
TIMED = 16
# Between two flushes: each is to be a lone one.
PAUSE = 0.5
# How long the rows of a run may take to be accepted, and a flush to be committed.
PATIENCE = 600


class Stream:
    """One channel, with a thread of its own while it streams."""

    def __init__(self, client, name, pool, batch, rate):
        self.name = name
        self.channel, _ = client.open_channel(name)
        self.pool = pool
        self.batch = batch
        self.rate = rate
        # Made here, for the span is to hold nothing but appends.
        self.pieces = [pool[at : at + batch] for at in range(0, len(pool), batch)] if batch > 1 else []
        # The number of the next row, which is its token: row n is line n of the pool, over and over.
        self.next = 0
        self.latencies = array.array("Q")
        self.refused = 0
        self.failure = None

    def run(self, rows, start):
        try:
            start.wait()
            if self.batch == 1:
                self.single(rows)
            else:
                self.batches(rows)
            self.channel.wait_for_flush(PATIENCE)
        except Exception as failure:
            self.failure = failure

    def single(self, rows):
        append, clock, note = self.channel.append_row, time.perf_counter_ns, self.latencies.append
        numbers = range(self.next, self.next + rows)
        for number, row in zip(numbers, itertools.cycle(self.pool)):
            if number % TIMED == 0:
                begun = clock()
                self.patiently(append, row, str(number))
                note(clock() - begun)
                continue
            try:
                append(row, str(number))
            except StreamingIngestError as refusal:
                # Not timed: among the few that are, those that wait would be too many.
                self.wait_for_room(refusal)
                self.patiently(append, row, str(number))
        self.next += rows

    def batches(self, rows):
        append, clock = self.channel.append_rows, time.perf_counter_ns
        end, first = self.next + rows, self.next
        start = time.monotonic()
        for piece in itertools.cycle(self.pieces):
            if self.next == end:
                break
            if len(piece) > end - self.next:
                piece = piece[: end - self.next]
            last = self.next + len(piece) - 1
            begun = clock()
            self.patiently(append, piece, str(self.next), str(last))
            self.latencies.append(clock() - begun)
            self.next = last + 1
            if self.rate:
                time.sleep(max(0.0, start + (self.next - first) / self.rate - time.monotonic()))

    def patiently(self, append, *arguments):
        while True:
            try:
                return append(*arguments)
            except StreamingIngestError as refusal:
                self.wait_for_room(refusal)

    def wait_for_room(self, refusal):
        if getattr(refusal.error_code, "value", refusal.error_code) != "ReceiverSaturated":
            raise refusal
        self.refused += 1
        time.sleep(ROOM)

    def flushes(self, count):
        """Appends one batch at a time, and says when each was known to be committed."""
        known = []
        if count:
            self.wait_for_commit()
        for _ in range(count):
            time.sleep(PAUSE)
            at = self.next % len(self.pool)
            piece = self.pool[at : at + self.batch]
            # Batches are not longer than the pool, but one may reach over its end.
            piece += self.pool[: self.batch - len(piece)]
            self.channel.append_rows(piece, str(self.next), str(self.next + len(piece) - 1))
            self.next += len(piece)
            self.channel.wait_for_flush(PATIENCE)
            self.wait_for_commit()
            known.append([self.name, str(self.next - 1), time.time_ns() // 1000])
        return known

    def wait_for_commit(self):
        last = str(self.next - 1)
        self.channel.wait_for_commit(lambda token: token == last, PATIENCE)


def memory(field):
    """A field of the process's status in bytes; nothing where there is no /proc."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
    except OSError:
        return None
    return int(lines[field].split()[0]) * 1024


def forget_peak():
    """The peak begins at what is resident now: making the rows is not part of the run."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def read_pool(path):
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    # In one piece: so the rows share the texts of their keys, as those of a program would.
    return json.loads("[" + ",".join(lines) + "]")


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000 if ordered else 0


def main():
    parser = argparse.ArgumentParser()
    for name in ("profile", "pool", "name"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("rows", "batch", "channels", "rate", "flushes"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()

    pool = read_pool(args.pool)
    client = StreamingIngestClient("bench", "DB", "PUBLIC", "PIPE", profile_json=args.profile)
    streams = [Stream(client, f"{args.name}-{number}", pool, args.batch, args.rate) for number in range(args.channels)]
    start = threading.Event()
    shares = [args.rows // args.channels + (number < args.rows % args.channels) for number in range(args.channels)]
    threads = [
        threading.Thread(target=stream.run, args=(share, start)) for stream, share in zip(streams, shares, strict=True)
    ]
    for thread in threads:
        thread.start()
    gc.collect()
    # The rows stay: there is no use in looking through them again.
    gc.freeze()
    forget_peak()
    before = memory("VmRSS")

    cpu, wall = time.process_time(), time.perf_counter()
    start.set()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = memory("VmHWM")
    for stream in streams:
        if stream.failure:
            raise stream.failure

    known = streams[0].flushes(args.flushes)
    client.close(timeout_seconds=PATIENCE)
    latencies = sorted(itertools.chain.from_iterable(stream.latencies for stream in streams))
    result = {
        "rows": args.rows,
        "channels": {stream.name: stream.next for stream in streams},
        "wall_s": wall,
        "cpu_s": cpu,
        "rss_before": before,
        "rss_peak": peak,
        "append_p50_us": quantile(latencies, 0.5),
        "append_p99_us": quantile(latencies, 0.99),
        "append_max_us": quantile(latencies, 1),
        "refused": sum(stream.refused for stream in streams),
        "known": known,
    }
    print(json.dumps(result), file=RESULT, flush=True)


if __name__ == "__main__":
    main()
