"""Draws mutants, tries each with the tests that come by it, and says how many of them the tests catch. See run.sh."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import draw
from tree import Tree, put_switches
from switches import plain as plainly

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    "src/base/budget.rs",
    "src/types/offset*",
    *(f"src/{part}/**" for part in ("api", "auth", "channel", "client", "config", "context", "elastic", "http", "ingest")),
]
LEAST = 92.0
MEMORY = 6 << 30
# It counts the lines of the source, of which the switches make more.
OF_THE_SOURCE = {"layers::no_source_file_is_too_long"}
ENVIRONMENT = {"RUST_BACKTRACE": "0", "PROPTEST_FAILURE_PERSISTENCE": "off", "SIM_SEEDS": os.environ.get("SIM_SEEDS", "20")}


def attempt(program, tests, cwd, seconds, **switch):
    """Runs tests of one program. Returns "passed", "failed" or "timeout", and how long it took."""
    begun = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-c", f'ulimit -v {MEMORY >> 10}; exec "$@"', "-", program, "--exact", "--test-threads=1", *tests],
        cwd=cwd, env={**os.environ, **ENVIRONMENT, **switch}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        code = process.wait(seconds)
        return ("passed" if code == 0 else "failed"), time.monotonic() - begun
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return "timeout", seconds


def names_of(program):
    said = subprocess.run([program, "--list", "--format", "terse"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    names = (line.removesuffix(": test") for line in said.splitlines() if line.endswith(": test"))
    return [name for name in names if name not in OF_THE_SOURCE]


class Judge:
    """What is known of the tests, and how mutants are tried with them."""

    def __init__(self, tree, programs, work, limit, jobs):
        self.tree, self.programs, self.work, self.limit, self.jobs = tree, programs, work, limit, jobs
        self.tests = {}  # (program, name) -> (seconds, numbers of the mutants come by)
        self.lock = threading.Lock()

    def look(self, known):
        """Runs each test once without a mutant, and notes what it comes by. Returns those that fail."""
        failed = []
        todo = [(kind, name) for kind, program in self.programs.items() for name in names_of(program)]
        (self.work / "reached").mkdir(exist_ok=True)

        def one(numbered):
            number, (kind, name) = numbered
            if f"{kind} {name}" in known:
                self.tests[kind, name] = tuple(known[f"{kind} {name}"])
                return
            path = self.work / "reached" / str(number)
            path.unlink(missing_ok=True)
            most = min(1200, 3 * self.limit)
            end, seconds = attempt(self.programs[kind], [name], self.tree.path, most, DRAWN_REACHED=str(path))
            if end == "failed":
                failed.append(name)
            if end != "passed":
                return
            reached = sorted({int(line) for line in path.read_text().split()}) if path.exists() else []
            self.tests[kind, name] = (seconds, reached)

        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(one, enumerate(todo)))
        return failed

    def chunks(self, tests):
        """The tests from the quickest to the slowest, several of a program in one go while they take no time."""
        for_program, spent = {}, {}
        for kind, name in sorted(tests, key=lambda test: self.tests[test][0]):
            seconds = self.tests[kind, name][0]
            if seconds > self.limit:
                continue
            for_program.setdefault(kind, []).append(name)
            spent[kind] = spent.get(kind, 0) + seconds
            if spent[kind] > 2 or len(for_program[kind]) == 40:
                yield kind, for_program.pop(kind), spent.pop(kind)
        for kind, names in for_program.items():
            yield kind, names, spent[kind]

    def judge(self, programs, tests, **switch):
        """What becomes of a mutant: how it ends, and at which tests."""
        for kind, names, seconds in self.chunks(tests):
            end, _ = attempt(programs[kind], names, self.tree.path, 20 + 6 * seconds, **switch)
            if end != "passed":
                return ("caught" if end == "failed" else "timeout"), f"{names[0]} (of {len(names)})"
        return "missed", ""

    def reaching(self, number):
        return [test for test, (_, reached) in self.tests.items() if number in reached]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=240)
    options.add_argument("--seed", default="1")
    options.add_argument("--limit", type=float, default=float("inf"), help="no tests that take longer than these seconds")
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--mutants", help="these as well: a file like what `cargo mutants --list --json` prints")
    options.add_argument("--again", action="store_true", help="only what the run before missed, and no new look at the tests")
    options = options.parse_args()

    work = Path(os.environ.get("MUTANTS_TARGET_DIR", ROOT / "target")).resolve() / "drawn"
    work.mkdir(parents=True, exist_ok=True)
    files = [word for file in FILES for word in ("-f", file)]
    listed = subprocess.run(
        ["cargo", "mutants", "--list", "--json", *files], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    drawn = draw.drawn(json.loads(listed), options.seed, options.count)
    if options.mutants:
        drawn = [*draw.named(json.loads(Path(options.mutants).read_text())), *drawn]
    print(f"{len(drawn)} mutants of {len(json.loads(listed))}", flush=True)

    tree = Tree(ROOT, work, "tree")
    unviable, plain = put_switches(tree, [mutant for _, mutant in drawn])
    programs = tree.build("switched") or sys.exit("the mutants do not build together")
    kept = work / "tests.json"
    names = [name for name, _ in drawn]
    known = json.loads(kept.read_text()) if options.again else {}
    judge = Judge(tree, programs, work, options.limit, options.jobs)
    # What tests come by is known for the mutants that there were.
    failed = judge.look(known.get("tests", {}) if known.get("mutants") == names else {})
    tests = {f"{kind} {name}": seen for (kind, name), seen in judge.tests.items()}
    kept.write_text(json.dumps({"mutants": names, "tests": tests}))
    if failed:
        sys.exit(f"these tests fail without any mutant: {', '.join(failed)}")
    print(f"{len(judge.tests)} tests", flush=True)

    results = work / "results.json"
    before = json.loads(results.read_text()) if options.again else {}
    ends = {}

    def note(number, end, where=""):
        name = drawn[number][0]
        with judge.lock:
            ends[name] = end
            print(f"{end:8} {drawn[number][1]['name']}{f'   {where}' if where else ''}", flush=True)
            results.write_text(json.dumps({**before, **ends}, indent=1))

    def one(number):
        name = drawn[number][0]
        if before.get(name, "missed") != "missed":
            ends[name] = before[name]
        elif number in unviable:
            note(number, "unviable")
        else:
            note(number, *judge.judge(programs, judge.reaching(number), DRAWN_MUTANT=str(number)))

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, (n for n in range(len(drawn)) if n not in plain)))

    # Those that no switch holds are built one after another.
    alone = Tree(ROOT, work, "plain") if plain else None
    for number in sorted(plain):
        name, mutant = drawn[number]
        if before.get(name, "missed") != "missed":
            ends[name] = before[name]
            continue
        original = alone.read(mutant["file"])
        alone.write(mutant["file"], plainly(original, mutant))
        programs = alone.build("plain")
        alone.write(mutant["file"], original)
        note(number, *(judge.judge(programs, list(judge.tests)) if programs else ("unviable",)))

    sys.exit(0 if tell(drawn, ends) else 1)


def tell(drawn, ends):
    """Prints what came of it. Returns whether it is good enough."""
    count = {end: sum(1 for e in ends.values() if e == end) for end in ("caught", "timeout", "missed", "unviable")}
    viable = count["caught"] + count["timeout"] + count["missed"]
    share = 100 * (count["caught"] + count["timeout"]) / viable
    known = draw.survivors(Path(__file__).with_name("survivors.txt").read_text())
    unknown = [name for name, end in ends.items() if end == "missed" and name not in known]
    for name in unknown:
        print(f"no reason is given why this one may survive: {name}")
    for name in sorted(set(known) & {name for name, end in ends.items() if end != "missed"}):
        print(f"caught, though survivors.txt has it: {name}")
    print(
        f"{len(drawn)} drawn, {count['unviable']} unviable, {count['caught']} caught, {count['timeout']} timeouts, "
        f"{count['missed']} missed: {share:.1f} % of {viable} viable ones are caught"
    )
    return not unknown and share >= LEAST


if __name__ == "__main__":
    main()
