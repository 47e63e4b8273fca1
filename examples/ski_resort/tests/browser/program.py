"""The program under test, in a directory of its own."""

import json
import re
import signal
import subprocess
import threading
import urllib.request
from queue import Empty, Queue

START_SECONDS = 60


class Generator:
    """`ski_resort` that only generates, until it is stopped or the end of a `with` block."""

    def __init__(self, binary, queue, *flags):
        command = [binary, "--only", "generator", "--queue", queue, *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """As Ctrl-C does; what it has generated is in the queue."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=START_SECONDS)


class Program:
    """`ski_resort` with its dashboard, until the end of a `with` block."""

    def __init__(self, binary, directory, *flags, port=0):
        self.binary = binary
        self.directory = directory
        self.flags = flags
        self.port = port
        self.lines = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.kill()
        if kind is not None:
            print(f"--- the program's output ({' '.join(map(str, self.flags))})", *self.lines[-30:], sep="\n")

    def start(self):
        """Starts it, again on the same port if it ran before, and waits for the line that names its page."""
        self.process = subprocess.Popen(
            [self.binary, "--port", str(self.port), "--serve", "always", *self.flags],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        urls = Queue()
        threading.Thread(target=self.listen, args=(self.process, urls), daemon=True).start()
        try:
            self.url = urls.get(timeout=START_SECONDS)
        except Empty:
            self.url = None
        assert self.url, "the program named no page: " + "\n".join(self.lines)
        self.port = int(re.search(r":(\d+)/", self.url)[1])

    def listen(self, process, urls):
        for line in process.stdout:
            self.lines.append(line.rstrip())
            if found := re.search(r"dashboard: (http://127\.0\.0\.1:\d+/)", line):
                urls.put(found[1])
        urls.put(None)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def pause(self):
        """As Ctrl-Z on a terminal does."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """As Ctrl-C on a terminal does; answers with the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=START_SECONDS)

    def data(self, query):
        with urllib.request.urlopen(f"{self.url}data?{query}", timeout=START_SECONDS) as answer:
            return json.load(answer)
