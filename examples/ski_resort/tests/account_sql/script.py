"""Takes the account's script apart into what can be run elsewhere."""

import functools
import logging
import re

import sqlglot
from sqlglot import exp
from sqlglot.tokens import TokenType

# What the parser takes as mere text is recognized by these forms, and nothing else may be.
AS_TEXT = {
    "stream": re.compile(r"CREATE STREAM IF NOT EXISTS (\w+) ON TABLE (\w+) APPEND_ONLY = TRUE"),
    "task": re.compile(
        r"CREATE OR REPLACE TASK (\w+) WAREHOUSE = \w+ USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS = 10"
        r" WHEN (.+) AS CALL (\w+)\(FALSE\)"
    ),
    "resume": re.compile(r"ALTER TASK (\w+) RESUME"),
    "call": re.compile(r"CALL (\w+)\(TRUE\)"),
}

# How a procedure of the script may be written: one statement between these.
BEFORE_AND_AFTER = re.compile(r"END|DECLARE \w+ RESULTSET|RETURN .+")
ASSIGNED = re.compile(r"\w+ := \((.+)\)", re.DOTALL)


class Unfit(Exception):
    """The script is not as it should be."""


class Script:
    """What the script makes, in its order."""

    def __init__(self, text):
        self.tables = []  # CREATE TABLE
        self.fills = []  # MERGE beside procedures
        self.streams = {}  # name -> table
        self.reports = []  # (name, SELECT): dynamic tables and views
        self.procedures = {}  # name -> MERGE or SELECT
        self.task = None  # the procedure that it calls
        for statement in split(text):
            self._take(statement)

    def _take(self, text):
        tree = parse(text)
        if isinstance(tree, exp.Command):
            self._take_text(text)
        elif isinstance(tree, exp.Merge):
            self.fills.append(tree)
        elif isinstance(tree, exp.Create) and tree.kind == "PROCEDURE":
            self.procedures[tree.this.this.name] = body(text)
        elif isinstance(tree, exp.Create) and isinstance(tree.expression, exp.Query):
            self.reports.append((tree.this.name, tree.expression))
        elif isinstance(tree, exp.Create) and tree.kind == "TABLE":
            self.tables.append(tree)
        elif not isinstance(tree, (exp.Use, exp.Grant)):
            raise Unfit(f"a statement of an unknown kind: {text[:80]}")

    def _take_text(self, text):
        flat = " ".join(text.split())
        for kind, form in AS_TEXT.items():
            found = form.fullmatch(flat)
            if not found:
                continue
            if kind == "stream":
                self.streams[found[1]] = found[2]
            elif kind == "task":
                self._take_task(found[2], found[3])
            return
        raise Unfit(f"a statement that is not understood: {flat[:80]}")

    def _take_task(self, when, procedure):
        condition = parse(f"SELECT {when}").selects[0]
        watched = [call.expressions[0].name for call in condition.find_all(exp.Anonymous) if call.name == "SYSTEM$STREAM_HAS_DATA"]
        if sorted(watched) != sorted(self.streams):
            raise Unfit(f"the task waits for {watched}, and the streams are {list(self.streams)}")
        if procedure not in self.procedures:
            raise Unfit(f"the task calls {procedure}, which is not there")
        self.task = procedure


def split(text):
    """The statements of a script; a semicolon in a procedure's body ends none."""
    start = None
    for token in sqlglot.tokenize(text, read="snowflake"):
        if token.token_type is TokenType.SEMICOLON:
            if start is not None:
                yield text[start : token.start]
            start = None
        elif start is None:
            start = token.start
    if start is not None:
        yield text[start:]


def parse(text):
    """One statement; what the parser does not know becomes a Command, which the caller judges."""
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    return sqlglot.parse_one(text, read="snowflake")


def body(text):
    """The one MERGE or SELECT of a procedure."""
    found = []
    for statement in split(text.split("$$")[1]):
        statement = re.sub(r"^BEGIN\s+", "", statement.strip())
        if BEFORE_AND_AFTER.fullmatch(" ".join(statement.split())):
            continue
        assigned = ASSIGNED.fullmatch(statement)
        found.append(parse(assigned[1] if assigned else statement))
    if len(found) != 1 or not isinstance(found[0], (exp.Merge, exp.Query)):
        raise Unfit(f"a procedure with more than one statement, or of another kind: {text[:80]}")
    return found[0]


@functools.cache
def duck(tree):
    """The statement in DuckDB's words."""
    return tree.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)
