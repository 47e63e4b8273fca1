"""The SQL of the current state against histories that are drawn and replayed here."""

import random
import re
import sys
from pathlib import Path

import duckdb
import sqlglot

SCRIPT = Path("tests/current_state/orders.sql")
HISTORIES = 300
COLUMNS = ["REGION", "ORDER", "TWO WORDS", "EXTRA"]


def statements():
    """The tables, and the queries of the view and of the dynamic table."""
    text = SCRIPT.read_text()
    text = text.replace(" ENABLE_SCHEMA_EVOLUTION = TRUE", "")
    creates, queries = [], {}
    for statement in filter(None, map(str.strip, text.split(";\n"))):
        kind, query = re.fullmatch(
            r"CREATE (?:TABLE IF NOT EXISTS|OR REPLACE (VIEW|DYNAMIC TABLE)) .*?(?:AS\n(SELECT.*))?", statement, re.DOTALL
        ).groups()
        if kind:
            queries[kind] = translated(query)
        else:
            creates.append(translated(statement))
    assert len(creates) == 2 and set(queries) == {"VIEW", "DYNAMIC TABLE"}, (creates, queries)
    return creates, queries


def translated(statement):
    [translation] = sqlglot.transpile(statement, read="snowflake", write="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)
    return translation


def row(draw, key):
    return [*key, draw.choice([None, draw.randrange(1000)]), draw.choice([None, '{"a": 1}'])]


def drawn(draw):
    """Pages, changes in any order, and the table that they make."""
    keys = [(region, order) for region in ["CH", "ch", ""] for order in [1, 2, 2**64 - 1]]
    table = {key: row(draw, key) for key in keys if draw.random() < 0.5}
    pages, changes = [], []
    file, position = draw.choice([(1, 4), (999_999, 2**32 - 50)])
    # Each key has its page read at some time after the start.
    read_at = {key: draw.randrange(12) for key in keys}
    for time in range(12):
        number = 0
        for _ in range(draw.randrange(3)):
            key = draw.choice(keys)
            number += 1
            place = [file, position, number]
            if key not in table:
                table[key] = row(draw, key)
                changes.append([*table[key], "I", *place])
            elif draw.random() < 0.4:
                changes.append([*table.pop(key), "D", *place])
            else:
                table[key] = row(draw, key)
                changes.append([*table[key], "U", *place])
        pages += [table[key] for key in keys if read_at[key] == time and key in table]
        position += 40
        if draw.random() < 0.2:
            file, position = file + 1, 4
    draw.shuffle(changes)
    draw.shuffle(pages)
    return pages, changes, table


def main():
    creates, queries = statements()
    rows = 0
    for seed in range(HISTORIES):
        pages, changes, table = drawn(random.Random(seed))
        account = duckdb.connect()
        account.execute("ATTACH ':memory:' AS \"DB\"; CREATE SCHEMA \"DB\".\"PUBLIC\"")
        for create in creates:
            account.execute(create)
        for page in pages:
            account.execute('INSERT INTO "DB"."PUBLIC"."ORDERS" VALUES (?, ?, ?, ?)', page)
        for change in changes:
            values = ", ".join("?" for _ in change)
            account.execute(f'INSERT INTO "DB"."PUBLIC"."ORDERS_CHANGES" VALUES ({values}, NULL, NULL)', change)
        for kind, query in queries.items():
            found = account.execute(query).fetchall()
            assert [column[0] for column in account.description] == COLUMNS, account.description
            expected = [tuple(row) for row in table.values()]
            if sorted(found, key=str) != sorted(expected, key=str):
                sys.exit(f"the {kind} of seed {seed}:\n{found}\ninstead of\n{expected}")
            rows += len(found)
        account.close()
    print(f"{rows} rows of {HISTORIES} histories are as they were replayed")


if __name__ == "__main__":
    main()
