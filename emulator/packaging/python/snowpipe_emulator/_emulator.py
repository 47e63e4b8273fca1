"""Starts and stops the emulator, and calls its endpoints."""

from __future__ import annotations

import json
import os
import queue
import secrets
import shutil
import ssl
import subprocess
import sysconfig
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Optional, Sequence

# The most rows that the emulator returns at once.
PAGE = 1000
# The most seconds that a request takes, apart from those that it is meant to wait.
REQUEST_TIMEOUT = 30
# The most characters of the log that an error quotes.
QUOTED = 4000


class EmulatorError(Exception):
    """The emulator did not start, ended, or refused a request."""


def program() -> str:
    """The path of the program ``snowpipe-emulator``: beside this interpreter, of this user, or on the ``PATH``."""
    name = "snowpipe-emulator" + (sysconfig.get_config_var("EXE") or "")
    folders = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user")]
    for folder in folders:
        found = shutil.which(name, path=folder)
        if found:
            return found
    found = shutil.which(name)
    if found:
        return found
    raise EmulatorError(f"{name} is neither in {folders[0]} nor on the PATH: reinstall the package snowpipe-emulator")


class Emulator:
    """A running emulator on a free port of this machine, with everything in memory.

    It serves HTTPS, the only protocol of the official SDK, with a certificate authority that this start creates. ``env``
    has the environment of clients that trust it. ``arguments`` are further options of the program, for example
    ``["--ddl", "setup.sql"]``.
    """

    def __init__(self, arguments: Sequence[str] = (), start_timeout: float = 30) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="snowpipe-emulator-")
        folder = Path(self._directory.name)
        self._log = folder / "log"
        #: The profile that clients connect with, a JSON file.
        self.profile = str(folder / "profile.json")
        authority = folder / "profile.ca.pem"
        command = [program(), "--tls", "--listen", "127.0.0.1:0", "--write-profile", self.profile, *arguments]
        self._token = secrets.token_urlsafe()
        # The admin interface, which changes tables, is closed to other users of this machine.
        self._admin_token = secrets.token_urlsafe()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SNOWPIPE_EMULATOR_")}
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={
                        **inherited,
                        "SNOWPIPE_EMULATOR_ACCESS_TOKEN": self._token,
                        "SNOWPIPE_EMULATOR_ADMIN_TOKEN": self._admin_token,
                    },
                )
        except OSError as why:
            self._directory.cleanup()
            raise EmulatorError(f"{command[0]} cannot be started: {why}") from why
        try:
            #: The URL that the emulator serves.
            self.url = self._address(start_timeout)
            #: The environment in which the official SDK trusts the emulator and uploads files to it.
            self.env = {"SSL_CERT_FILE": str(authority), "AWS_ENDPOINT_URL": self.url}
            trust = ssl.create_default_context(cafile=str(authority))
        except BaseException:
            self.close()
            raise
        # Requests to this machine never go through a proxy of the environment.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )

    def _address(self, timeout: float) -> str:
        """The URL in the line that the emulator prints when it is ready."""
        lines: queue.Queue[bytes] = queue.Queue()
        stdout = self._process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=timeout).decode()
        except queue.Empty:
            raise EmulatorError(f"the emulator is not ready after {timeout} s{self._quoted()}") from None
        if not line.startswith("https://"):
            self._process.wait(REQUEST_TIMEOUT)
            raise EmulatorError(f"the emulator did not start (exit code {self._process.returncode}){self._quoted()}")
        return line.split(" ", 1)[0].strip()

    def close(self) -> None:
        """Stops the emulator and deletes its files."""
        process = self._process
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._directory.cleanup()

    def __enter__(self) -> "Emulator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self, start: int = 0) -> str:
        """What the emulator has logged from the byte ``start`` on."""
        with self._log.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    def log_size(self) -> int:
        """How many bytes the emulator has logged."""
        return self._log.stat().st_size

    def ddl(self, sql: str) -> None:
        """Executes ``CREATE``, ``ALTER``, ``DROP`` and ``TRUNCATE`` of tables and pipes: all statements or none."""
        self._call("POST", "/_emulator/ddl", {"sql": sql})

    def reset(self, database: Optional[str] = None) -> None:
        """Deletes rows and channels, of one database or of all; of all also faults, files and requests."""
        self._call("POST", "/_emulator/reset", {} if database is None else {"database": database})

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The committed rows of ``DATABASE.SCHEMA.TABLE`` in the order in which they landed."""
        return self._pages(f"/_emulator/tables/{urllib.parse.quote(table, safe='')}")

    def errors(self, table: str) -> list[dict[str, Any]]:
        """The rejected rows of ``DATABASE.SCHEMA.TABLE``, with the reasons."""
        return self._pages(f"/_emulator/tables/{urllib.parse.quote(table, safe='')}/errors")

    def wait(self, table: str, rows: int, errors: int = 0, timeout: int = 30) -> None:
        """Waits until the table has so many committed and rejected rows. Raises ``TimeoutError`` after ``timeout`` s."""
        query = urllib.parse.urlencode({"table": table, "rows": rows, "errors": errors, "timeout_s": timeout})
        self._call("GET", f"/_emulator/wait?{query}", timeout=timeout + REQUEST_TIMEOUT)

    def fault(self, fault: str, **fields: Any) -> None:
        """Injects a fault into later requests, for example ``fault("throttle", endpoint="append", times=2)``."""
        self._call("POST", "/_emulator/faults", {"fault": fault, **fields})

    def sql(self, statement: str) -> list[dict[str, Optional[str]]]:
        """The rows that a ``SELECT`` returns. As in Snowflake's SQL API every value is text, or ``None`` for NULL."""
        headers = {
            "Authorization": f"Bearer {self._token}",
            "X-Snowflake-Authorization-Token-Type": "PROGRAMMATIC_ACCESS_TOKEN",
            "User-Agent": "snowpipe-emulator",
        }
        answer = self._call("POST", "/api/v2/statements", {"statement": statement}, headers)
        names = [column["name"] for column in answer["resultSetMetaData"]["rowType"]]
        return [dict(zip(names, row)) for row in answer["data"]]

    def _pages(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._call("GET", f"{path}?skip={len(found)}&limit={PAGE}")
            found += page["rows"]
            if not page["rows"] or len(found) >= page["count"]:
                return found

    def _call(
        self,
        method: str,
        path: str,
        body: Optional[dict[str, Any]] = None,
        headers: Optional[dict[str, str]] = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Any:
        request = urllib.request.Request(self.url + path, method=method, headers=headers or {})
        request.add_header("Accept", "application/json")
        if path.startswith("/_emulator/"):
            request.add_header("Authorization", f"Bearer {self._admin_token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                text = refusal.read().decode(errors="replace")
            if refusal.code == 408:
                raise TimeoutError(_message(text)) from None
            raise EmulatorError(f"{method} {path} is refused with {refusal.code}: {_message(text)}") from None
        except OSError as why:
            ended = self._process.poll()
            state = "" if ended is None else f"; it has ended with code {ended}"
            raise EmulatorError(f"the emulator did not answer {method} {path}: {why}{state}{self._quoted()}") from why

    def _quoted(self) -> str:
        """The end of the log, to append to a message."""
        tail = self.log()[-QUOTED:].strip()
        return f". Its log ends with:\n{tail}" if tail else ""


def _message(text: str) -> str:
    """The message in the JSON of a refusal."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text
