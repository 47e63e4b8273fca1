"""The fixtures of pytest: one emulator for a session, without rows at the start of each test."""

from __future__ import annotations

from typing import Any, Generator, Iterator, Sequence

import pytest

from ._emulator import Emulator

# The emulator that a test uses, and how much it had logged before the test.
_USED = pytest.StashKey["tuple[Emulator, int]"]()


@pytest.fixture(scope="session")
def snowpipe_emulator_arguments() -> Sequence[str]:
    """Further options of the program. Override it in ``conftest.py``, for example with ``["--ddl", "setup.sql"]``."""
    return ()


@pytest.fixture(scope="session")
def snowpipe_emulator_server(snowpipe_emulator_arguments: Sequence[str]) -> Iterator[Emulator]:
    """The emulator of this session. With pytest-xdist each worker has its own."""
    with Emulator(snowpipe_emulator_arguments) as emulator:
        yield emulator


@pytest.fixture
def snowpipe_emulator(
    snowpipe_emulator_server: Emulator, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Emulator:
    """The emulator without the rows, channels and faults of earlier tests; their tables and pipes stay.

    During the test ``SSL_CERT_FILE`` and ``AWS_ENDPOINT_URL`` are set for this process, so that clients trust the emulator.
    """
    request.node.stash[_USED] = (snowpipe_emulator_server, snowpipe_emulator_server.log_size())
    snowpipe_emulator_server.reset()
    for name, value in snowpipe_emulator_server.env.items():
        monkeypatch.setenv(name, value)
    return snowpipe_emulator_server


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Generator[None, Any, None]:
    """Adds the emulator's log to the report of a test that fails."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and _USED in item.stash and call.when != "teardown":
        emulator, start = item.stash[_USED]
        report.sections.append(("log of snowpipe-emulator", emulator.log(start)))
