"""Checks emulator/packaging/Containerfile without an engine: containerfile.py CONTAINERFILE PROGRAM

What it copies exists, and is all that cargo looks for. The entry point and the command start on a free port in an empty
directory; the health check fails before, succeeds then, and fails with another token; SIGTERM ends the program.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

CONTAINERFILE = Path(sys.argv[1]).resolve()
PROGRAM = Path(sys.argv[2]).resolve()
ROOT = CONTAINERFILE.parents[2]
TIMEOUT_S = 60

text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.M))


def instruction(name):
    """The text of the last instruction of that name."""
    return re.findall(rf"^{name} (.*)$", text, re.M)[-1]


def check_build(scratch):
    for *sources, target in (line.split() for line in re.findall(r"^COPY (?!--)(.*)$", text, re.M)):
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, scratch / target)
            else:
                shutil.copy(ROOT / source, scratch / target / source)
    # Unlike `cargo metadata`, it fails where a build fails because a file of a target is missing.
    subprocess.run(["cargo", "fetch", "--locked"], cwd=scratch, check=True)
    metadata = ["cargo", "metadata", "--locked", "--no-deps", "--format-version=1"]
    packages = json.loads(subprocess.run(metadata, cwd=scratch, capture_output=True, check=True).stdout)["packages"]
    built_with = re.search(r"^FROM rust:([\d.]+)-", text, re.M)[1]
    build = r"^RUN cargo build --locked --release -p (\S+) --features (\S+)$"
    name, features = re.search(build, text, re.M).groups()
    package = next(package for package in packages if package["name"] == name)
    assert package["rust_version"] == built_with, "the image has another Rust than the package states"
    program = next(target for target in package["targets"] if target["name"] == PROGRAM.name)
    assert program["required-features"] == [features]
    assert f"COPY --from=build /build/target/release/{PROGRAM.name} /usr/local/bin/" in text


def check_run(scratch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    exposed = instruction("EXPOSE")
    parts = json.loads(instruction("ENTRYPOINT")) + json.loads(instruction("CMD"))
    arguments = [part.replace(exposed, port) for part in parts]
    health = re.search(r" CMD (.*)$", instruction("HEALTHCHECK"))[1].replace(exposed, port)
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "SNOWPIPE_EMULATOR_ADMIN_TOKEN": "secret", "PATH": path}

    def is_healthy(**changes):
        run = subprocess.run(["sh", "-c", health], env={**environment, **changes}, capture_output=True, timeout=TIMEOUT_S)
        return run.returncode == 0

    without = {name: value for name, value in environment.items() if name != "SNOWPIPE_EMULATOR_ADMIN_TOKEN"}
    refused = subprocess.run(arguments, cwd=scratch, env=without, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert refused.returncode == 2 and "--admin-token" in refused.stderr, refused
    assert not is_healthy()
    emulator = subprocess.Popen(arguments, cwd=scratch, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        url = emulator.stdout.readline().split()[0]
        assert is_healthy()
        assert not is_healthy(SNOWPIPE_EMULATOR_ADMIN_TOKEN="another")
        profile = json.loads((scratch / "profile.json").read_text())
        assert profile["url"] == url == f"https://localhost:{port}", (profile["url"], url)
        certificate = str(scratch / "profile.ca.pem")
        trusting = ["curl", "-fsS", "--noproxy", "*", "--cacert", certificate]
        asked = [*trusting, "-H", "Authorization: Bearer secret", f"{url}/_emulator/health"]
        answer = subprocess.run(asked, capture_output=True, check=True, timeout=TIMEOUT_S).stdout
        assert json.loads(answer)["status"] == "ok"
        emulator.terminate()
        assert emulator.wait(TIMEOUT_S) == 0
    finally:
        emulator.kill()


for check in (check_build, check_run):
    with tempfile.TemporaryDirectory() as folder:
        check(Path(folder))
print("the commands of the Containerfile work")
