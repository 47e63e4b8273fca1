"""What the schema does not say about examples/ski_resort/compose.yaml: compose.sh runs this."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[4]
EXAMPLE = ROOT / "examples/ski_resort"
PROGRAMS = Path(sys.argv[1]).resolve()
PATIENCE_S = 60

compose = YAML(typ="safe").load(EXAMPLE / "compose.yaml")
services = compose["services"]
dockerfile = (EXAMPLE / "Dockerfile").read_text()


def interpolated(text, environment):
    """As Compose does it: ${NAME:-default}, and $$ for one dollar."""

    def value(match):
        return "$" if match[0] == "$$" else environment.get(match[1], match[2])

    return re.sub(r"\$\$|\$\{(\w+):-(\w+)\}", value, text)


def check_services():
    assert set(services) == {"emulator", "generator", "streamer"}
    assert list(compose["volumes"]) == ["data"]
    for name, service in services.items():
        assert service["volumes"] == ["data:/data"], name
        assert "ports" not in service and "user" not in service, name
        build = service["build"]
        context = (EXAMPLE / build["context"]).resolve()
        assert context == ROOT and context / build["dockerfile"] == EXAMPLE / "Dockerfile", name
    assert "network_mode" not in services["emulator"]
    for name in ("generator", "streamer"):
        assert services[name]["network_mode"] == "service:emulator"
        assert services[name]["restart"] == "on-failure", "what ended with 0 must not run again"
    assert services["streamer"]["depends_on"]["emulator"]["condition"] == "service_healthy"
    assert services["emulator"]["restart"] == "unless-stopped"


def check_image():
    """That it has the programs and files the commands name, and is built from what there is."""
    for source in re.findall(r"^COPY (?!--from)(\S+) ", dockerfile, re.M):
        assert (ROOT / source).exists(), source
    allowed = (EXAMPLE / "Dockerfile.dockerignore").read_text().splitlines()
    for line in allowed:
        assert not line.startswith("!") or (ROOT / line[1:]).exists(), line
    assert "USER ski" in dockerfile and "WORKDIR /data" in dockerfile
    assert "/usr/local/share/ski_resort/setup.sql" in dockerfile
    metadata = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"]
    packages = json.loads(subprocess.run(metadata, cwd=ROOT, capture_output=True, check=True).stdout)["packages"]
    highest = max((version(package["rust_version"] or "1.0"), package["name"]) for package in packages)
    built_with = re.search(r"^FROM rust:([\d.]+)-", dockerfile, re.M)[1]
    assert version(built_with) >= highest[0], (built_with, highest)


def version(text):
    return [int(part) for part in text.split(".")[:2]]


def check_flags():
    for name, service in services.items():
        text = "\n".join(service["command"])
        program = "snowpipe-emulator" if name == "emulator" else "examples/ski_resort"
        assert Path(program).name in text and f"target/release/{program}" in dockerfile, name
        flags = re.findall(r"--[a-z-]+", text)
        assert flags, name
        said = subprocess.run([PROGRAMS / program, "--help"], capture_output=True, text=True, check=True).stdout
        for flag in flags:
            assert re.search(rf"{flag}\b(?!-)", said), f"{program} has no {flag}"


def until(what, holds):
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, f"{what}: not in {PATIENCE_S} s"
        time.sleep(0.05)


def run(directory):
    """Runs the three commands as they stand, with this directory for the volume; the emulator is killed once."""
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        port = any_port.getsockname()[1]
    places = {
        "/usr/local/share/ski_resort": str(EXAMPLE / "sql"),
        "/data": directory,
        "127.0.0.1:8213": f"127.0.0.1:{port}",
    }
    path = f"{PROGRAMS}:{PROGRAMS / 'examples'}:{os.environ['PATH']}"

    def here(text):
        text = interpolated(text, {"SKI_RESORT_SPEED": "max"})
        for there, place in places.items():
            text = text.replace(there, place)
        return text

    def start(name):
        command = [here(argument) for argument in services[name]["command"]]
        return subprocess.Popen(command, env={**os.environ, "PATH": path}, start_new_session=True)

    def is_healthy():
        no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with no_proxy.open(here(services["emulator"]["healthcheck"]["test"][-1]), timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def emulator_id():
        return int(Path(directory, "landing.db.lock").read_text() or 0)

    def is_gone():
        try:
            os.kill(killed, 0)
        except ProcessLookupError:
            return True
        return False

    running = {"emulator": start("emulator")}
    try:
        until("ready", lambda: is_healthy() and Path(directory, "profile.json").exists())
        for name in ("generator", "streamer"):
            running[name] = start(name)
        killed = emulator_id()
        os.kill(killed, signal.SIGKILL)
        until("healthy again", lambda: emulator_id() not in (0, killed) and is_healthy())
        for name in ("generator", "streamer"):
            assert running[name].wait(PATIENCE_S) == 0, name
        killed = emulator_id()
        running["emulator"].terminate()
        running["emulator"].wait(PATIENCE_S)
        assert is_gone(), "the emulator outlives its container's command"
    finally:
        for process in running.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    summary = json.loads(Path(directory, "summary.json").read_text())
    landed = {table: line["landed"] for table, line in summary["tables"].items()}
    assert summary["balanced"] and landed == {"RESORT_TICKET": 16000, "SEASON_PASS": 799, "LIFT_RIDE": 84143}, summary


check_services()
check_image()
check_flags()
with tempfile.TemporaryDirectory() as directory:
    run(directory)
