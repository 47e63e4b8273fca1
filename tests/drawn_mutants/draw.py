"""Which mutants are drawn, what they are called, and which of them are known to survive."""

import hashlib
import re
from collections import Counter


def named(mutants):
    """The mutants, each with a name that stays while files and lines move: those of the same name are counted."""
    seen = Counter()
    for mutant in mutants:
        name = re.sub(r"^[^:]+:\d+:\d+: ", "", mutant["name"])
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name} #{seen[name]}"), mutant


def drawn(mutants, seed, count):
    """The first of all mutants in an order of chance, which a change of the code leaves as it is for all other mutants."""
    order = sorted(named(mutants), key=lambda pair: hashlib.sha256(f"{seed} {pair[0]}".encode()).digest())
    return order[:count]


def survivors(text):
    """Each known survivor with the reason, which stands indented below it."""
    known, name = {}, None
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            known[name] = f"{known[name]} {line.strip()}".strip()
        else:
            name = line.strip()
            known[name] = ""
    return known
