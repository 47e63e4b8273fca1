"""The copy of the code in which mutants are tried: what is in it, how it is built, which of them compile."""

import json
import os
import re
import shutil
import subprocess

import switches

# No time goes into debug information.
CARGO = {"CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_TERM_COLOR": "never", "CARGO_INCREMENTAL": "1"}
TESTS = ["it", "doctor"]
TARGETS = ["--lib", *(word for test in TESTS for word in ("--test", test))]
# What a replacement does that has no such value or operator: these do not compile anywhere. Of the others the switch may be
# the reason, which puts two bodies where one was.
UNVIABLE = {"E0004", "E0061", "E0107", "E0277", "E0282", "E0283", "E0369", "E0423", "E0425", "E0433", "E0599", "E0600", "E0603", "E0614"}


class Tree:
    def __init__(self, root, work, name):
        self.path = work / name
        self.path.mkdir(parents=True, exist_ok=True)
        self.work = work
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, check=True
        ).stdout.decode()
        files = [file for file in listed.split("\0") if (root / file).is_file()]
        for file in files:
            # Unchanged files keep their time, so that only what has changed is compiled.
            source, copy = root / file, self.path / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                shutil.copy(source, copy)
        for path in [path for path in self.path.rglob("*") if path.is_file()]:
            if str(path.relative_to(self.path)) not in files:
                path.unlink()
        manifest = self.path / "Cargo.toml"
        self.write("Cargo.toml", re.sub(r"(?ms)^\[lints\.\w+\]\n.*?\n\n", "", manifest.read_text()))

    def read(self, file):
        return (self.path / file).read_text()

    def write(self, file, text):
        path = self.path / file
        if path.read_text() != text:
            path.write_text(text)

    def cargo(self, *words):
        return subprocess.run(
            ["cargo", *words, "--locked", "--message-format=json"],
            cwd=self.path, env={**os.environ, **CARGO, "CARGO_TARGET_DIR": str(self.work / "target")},
            capture_output=True, text=True,
        )  # fmt: skip

    def errors(self, *words):
        """The errors of the compiler, each with its code and the places it names."""
        run = self.cargo(*words)
        found = []
        for line in run.stdout.splitlines():
            message = json.loads(line).get("message") or {}
            if message.get("level") == "error" and message.get("spans"):
                code = (message.get("code") or {}).get("code")
                found.append((code, [span_of(span) for span in message["spans"]], message["rendered"]))
        if run.returncode and not found:
            raise SystemExit(run.stderr[-4000:])
        return found

    def build(self, name):
        """The test programs, copied to where no later build replaces them."""
        run = self.cargo("test", "--no-run", *TARGETS)
        if run.returncode:
            return None
        programs = {}
        for line in run.stdout.splitlines():
            said = json.loads(line)
            if said.get("executable") and said["profile"]["test"]:
                kind = "lib" if "lib" in said["target"]["kind"] else said["target"]["name"]
                programs[kind] = self.work / f"{name}-{kind}"
                shutil.copy2(said["executable"], programs[kind])
        return programs


def span_of(span):
    """Where a place in the code stands in the file, out of all macros."""
    while span.get("expansion"):
        span = span["expansion"]["span"]
    return span["file_name"], span["line_start"]


def put_switches(tree, mutants):
    """Writes the mutants into the tree. Returns those that do not compile, and those that no switch can hold."""
    originals = {mutant["file"]: tree.read(mutant["file"]) for mutant in mutants}
    library = tree.read("src/lib.rs") + switches.MODULE.replace("COUNT", str(len(mutants)))
    tree.write("src/lib.rs", library)
    unviable, plain, held = set(), set(), dict(enumerate(mutants))
    for number, mutant in enumerate(mutants):
        if not can_switch(originals[mutant["file"]], mutant):
            plain.add(number)
            del held[number]
    while True:
        lines = {}
        for file, text in originals.items():
            inside = [(number, mutant) for number, mutant in held.items() if mutant["file"] == file]
            written, lines[file] = switches.switched(text, inside)
            tree.write(file, written)
        errors = tree.errors("check", "--profile", "test", "--lib")
        if not errors:
            return unviable, plain
        gone = set()
        for code, places, rendered in errors:
            hit = {n for file, line in places for n, first, last in lines.get(file, ()) if first <= line <= last}
            if not hit:
                raise SystemExit(rendered)
            for number in hit & set(held):
                (unviable if code in UNVIABLE else plain).add(number)
                gone.add(number)
        for number in gone:
            del held[number]
        print(f"{len(unviable)} do not compile, {len(plain)} are built by themselves", flush=True)


def can_switch(text, mutant):
    """Whether the mutant is in a function that is not evaluated by the compiler."""
    if not mutant["function"]:
        return False
    cut = switches.Text(text)
    span = mutant["function"]["span"]
    start, end = cut.at(span["start"]), cut.at(span["end"])
    body, _ = switches.body_of(text, start, end)
    return not re.search(r"\bconst\b.*\bfn\b", text[start:body])
