"""Compares what landed with what landed elsewhere of the same rows: tables.py EXPECTED.db FOUND.db QUERY...

The rows of each query have to be the same in both files, value by value and in the same order. Then each result is damaged in
each way that a broken client could damage it, and every damage has to be found.
"""

import itertools
import sqlite3
import sys


def rows(path, query):
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def difference(expected, found):
    """The first difference in a sentence; none if all rows are the same."""
    pairs = itertools.zip_longest(expected, found)
    for number, (wanted, row) in enumerate(pairs, 1):
        if wanted != row:
            return f"{len(found)} rows instead of {len(expected)}; row {number} is\n  {row}\nand not\n  {wanted}"
    return None


def damaged(found):
    """The rows with something wrong in the middle of them, and what it is."""
    at = len(found) // 2
    before, (first, second), after = found[:at], found[at : at + 2], found[at + 2 :]
    yield "a row is lost", before + [second] + after
    yield "the last row is lost", found[:-1]
    yield "a row is there twice", before + [first, first, second] + after
    yield "a row is there twice in place of another", before + [first, first] + after
    yield "two rows are in another order", before + [second, first] + after
    for column, (value, other) in enumerate(zip(first, second)):
        if value != other:
            mixed = first[:column] + (other,) + first[column + 1 :]
            yield f"column {column} is that of another row", before + [mixed, second] + after


def main(expected_path, found_path, *queries):
    for query in queries:
        expected, found = rows(expected_path, query), rows(found_path, query)
        if not expected:
            sys.exit(f"error: {query}: there is nothing to compare")
        if wrong := difference(expected, found):
            sys.exit(f"error: {query}: {wrong}")
        damages = list(damaged(found))
        for what, rest in damages:
            if not difference(expected, rest):
                sys.exit(f"error: {query}: it is not found if {what}")
        print(f"{len(found)} rows are the same, and {len(damages)} damages are found: {query}")


if __name__ == "__main__":
    main(*sys.argv[1:])
