"""Compares the emulator's SQL with DuckDB's on generated queries.

DuckDB is asked what sqlglot makes of the query for it. Where both are right by Snowflake's documentation they agree; KNOWN lists
where DuckDB is not, and such queries are counted apart.
"""

import argparse
import datetime
import decimal
import random
import re
import sys
import tempfile

import duckdb
import sqlglot
from sqlglot import exp

from emulator import Emulator
from queries import DAYS, WORDS, Generator

TABLES = {
    "T": ["ID NUMBER(12,0)", "A NUMBER(10,2)", "B NUMBER(30,3)", "F FLOAT", "S VARCHAR", "D DATE", "TS TIMESTAMP_NTZ(6)", "OPEN BOOLEAN"],
    "U": ["K NUMBER(12,0)", "X NUMBER(5,1)", "NAME VARCHAR", "SINCE DATE"],
}
DUCK = {"NUMBER": "DECIMAL", "FLOAT": "DOUBLE", "TIMESTAMP_NTZ(6)": "TIMESTAMP"}

# What DuckDB answers otherwise than Snowflake documents, by what it says or by the query.
KNOWN = [
    # DuckDB's decimals have no more than 38 digits behind and before the point together, and it raises where Snowflake rounds.
    ("error", re.compile(r"Out of Range|Overflow|out of range|Could not cast|exceeds", re.I)),
    # A text that is no number, compared with a number: Snowflake raises as well.
    ("error", re.compile(r"Conversion Error", re.I)),
]


def rows_of(seed):
    """Rows for both tables, a seventh of the values NULL."""
    r = random.Random(seed)
    maybe = lambda value: None if r.random() < 0.15 else value
    t = [
        {
            "ID": number,
            "A": maybe(f"{r.randint(-999, 9999)}.{r.randint(0, 99):02}"),
            "B": maybe(f"{r.choice([r.randint(-9, 9), 10**15 + r.randint(0, 9)])}.{r.randint(0, 999):03}"),
            "F": maybe(r.randint(-40, 40) / 4),
            "S": maybe(r.choice(WORDS)),
            "D": maybe(r.choice(DAYS)),
            "TS": maybe(f"{r.choice(DAYS)} {r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}.{r.randint(0, 999999):06}"),
            "OPEN": maybe(r.random() < 0.5),
        }
        for number in range(1, 31)
    ]
    u = [
        {
            "K": maybe(r.randint(1, 40)),
            "X": maybe(f"{r.randint(-99, 99)}.{r.randint(0, 9)}"),
            "NAME": maybe(r.choice(WORDS)),
            "SINCE": maybe(r.choice(DAYS)),
        }
        for _ in range(20)
    ]
    return {"T": t, "U": u}


def fill_duckdb(rows):
    duck = duckdb.connect()
    duck.execute("SET order_by_non_integer_literal = true")
    for table, columns in TABLES.items():
        written = ", ".join(columns)
        for snowflake, other in DUCK.items():
            written = written.replace(snowflake, other)
        duck.execute(f"CREATE TABLE {table} ({written})")
        places = ", ".join("?" for _ in columns)
        for row in rows[table]:
            duck.execute(f"INSERT INTO {table} VALUES ({places})", list(row.values()))
    return duck


def for_duckdb(query):
    """The query in DuckDB's SQL. sqlglot makes a SUM of COUNT_IF, which is NULL where nothing is counted."""

    def counted(node):
        if not isinstance(node, exp.CountIf):
            return node
        return exp.Count(this=exp.Case().when(node.this.copy(), exp.Literal.number(1)))

    return sqlglot.parse_one(query, read="snowflake").transform(counted).sql("duckdb")


def plain(value):
    """A value of DuckDB's in the words of the comparison."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, decimal.Decimal)):
        return decimal.Decimal(value).normalize() + 0
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise TypeError(type(value))


EPOCH = datetime.datetime(1970, 1, 1)


def read(text, kind):
    """A value of the SQL API's in the same words."""
    if text is None:
        return None
    if kind == "fixed":
        return decimal.Decimal(text).normalize() + 0
    if kind == "real":
        return round(float(text), 9)
    if kind == "boolean":
        return text == "true"
    if kind == "date":
        return (EPOCH + datetime.timedelta(days=int(text))).date().isoformat()
    if kind == "timestamp_ntz":
        seconds, fraction = text.split(".")
        sign = -1 if seconds.startswith("-") else 1
        moved = datetime.timedelta(seconds=int(seconds), microseconds=sign * int(fraction[:6]))
        return (EPOCH + moved).isoformat(sep=" ", timespec="microseconds")
    return text


def order_of(row):
    return [(value is None, str(type(value)), str(value)) for value in row]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program")
    options.add_argument("--queries", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--show", type=int, default=10, help="how many differences to print")
    options = options.parse_args()
    decimal.getcontext().prec = 60

    rows = rows_of(options.seed)
    duck = fill_duckdb(rows)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        for table, columns in TABLES.items():
            script.write(f"CREATE TABLE DB.S.{table} ({', '.join(columns)});\n")
        script.flush()
        emulator = Emulator(options.program, script.name)
    counts = {"equal": 0, "refused": 0, "both fail": 0, "known": 0}
    refusals = {}
    wrong = []
    try:
        for table in TABLES:
            emulator.land("DB", "S", table, rows[table])
        compared = 0
        seed = options.seed * 1_000_000
        while compared < options.queries:
            seed += 1
            query = Generator(seed).query()
            status, answer = emulator.query(query, "DB", "S")
            try:
                expected = [
                    [plain(value) for value in row]
                    for row in duck.execute(
                        for_duckdb(query)
                    ).fetchall()
                ]
                failure = None
            except duckdb.Error as error:
                failure = str(error)
            if status != 200 and answer["code"] in ("000002", "001044", "002140"):
                counts["refused"] += 1
                reason = answer["message"].splitlines()[-1]
                refusals[reason] = refusals.get(reason, 0) + 1
                continue
            if failure is not None:
                is_known = any(pattern.search(failure) for _, pattern in KNOWN)
                if status != 200:
                    counts["both fail"] += 1
                elif is_known:
                    counts["known"] += 1
                else:
                    wrong.append((seed, query, f"DuckDB fails: {failure}", answer["data"][:3]))
                continue
            compared += 1
            if status != 200:
                wrong.append((seed, query, expected[:3], answer["message"]))
                continue
            kinds = [column["type"] for column in answer["resultSetMetaData"]["rowType"]]
            found = [[read(text, kind) for text, kind in zip(row, kinds)] for row in answer["data"]]
            if " ORDER BY " not in query or " OVER " in query:
                expected.sort(key=order_of)
                found.sort(key=order_of)
            if found == expected:
                counts["equal"] += 1
            else:
                rest = [pair for pair in zip(found, expected) if pair[0] != pair[1]][:2]
                wrong.append((seed, query, f"emulator and DuckDB: {rest}", f"{len(found)} and {len(expected)} rows"))
    finally:
        emulator.close()
    print(", ".join(f"{count} {what}" for what, count in counts.items()), f"{len(wrong)} different")
    for reason, count in sorted(refusals.items(), key=lambda item: -item[1])[:5]:
        print(f"refused {count}: {reason}")
    for seed, query, *rest in wrong[: options.show]:
        print(f"\nseed {seed}: {query}")
        for line in rest:
            print(f"  {line}")
    sys.exit(1 if wrong else 0)


main()
