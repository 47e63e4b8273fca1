"""The fixture's rows, and landings of them: in DuckDB with streams, and in SQLite as the emulator leaves one."""

import csv
import sqlite3

import duckdb
from sqlglot import exp

import script

LANDED = ("RESORT_TICKET", "SEASON_PASS", "LIFT_RIDE")


class Fixture:
    """What landed, in its order, and what the reports say of it."""

    def __init__(self, folder):
        self.columns = {}
        self.rows = []  # (table, row), table after table
        for table in LANDED:
            self.columns[table], rows = read(folder / f"{table.lower()}.csv")
            self.rows += [(table, row) for row in rows]
        self.expected = {path.stem.upper(): read(path) for path in sorted((folder / "expected").glob("*.csv"))}

    def of(self, *tables):
        """The rows of these tables, in the tables' order."""
        return [row for table in tables for row in self.rows if row[0] == table]


def read(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, [[cell or None for cell in row] for row in rows]


class Account:
    """The account's tables and its script in DuckDB, where streams are tables that hold what is new."""

    def __init__(self, setup, reports, columns):
        self.db = duckdb.connect(config={"threads": 1})
        self.script = reports
        self.columns = columns
        self.unread = {table: [] for table in LANDED}
        for statement in script.split(setup):
            tree = script.parse(statement)
            if isinstance(tree, exp.Create) and tree.kind == "TABLE":
                self._create(tree)
        for tree in reports.tables:
            self._create(tree)
        for stream, table in reports.streams.items():
            self.db.execute(f"CREATE TABLE {stream} AS FROM {table} LIMIT 0")
        for _ in range(2):  # safe to run again
            for tree in reports.fills:
                self.merge(tree)
        self.call_of_script()
        for name, query in reports.reports:
            self.db.execute(f"CREATE VIEW {name} AS {script.duck(query)}")

    def _create(self, tree):
        self.db.execute(script.duck(tree))

    def land(self, rows):
        for table in LANDED:
            landed = [row for name, row in rows if name == table]
            self._insert(table, table, landed)
            self.unread[table] += landed

    def _insert(self, into, table, rows):
        names = self.columns[table]
        if rows:
            self.db.executemany(f"INSERT INTO {into} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", rows)

    def call_of_script(self):
        """What the script calls once it has made streams, which then give nothing of what is there."""
        self._fix_streams(lambda table: [])
        self._populate(True)

    def run_task(self, ahead=()):
        """A run of the task. The rows `ahead` land when its streams are fixed: their tables have them already."""
        self._fix_streams(self.unread.get)
        self.land(ahead)
        self._populate(False)

    def _fix_streams(self, given):
        for stream, table in self.script.streams.items():
            self.db.execute(f"DELETE FROM {stream}")
            self._insert(stream, table, given(table))
            self.unread[table] = []

    def _populate(self, everything):
        self.merge(self.script.procedures[self.script.task], {"EVERYTHING": everything})

    def merge(self, tree, arguments=None):
        """Snowflake takes at most one row of the source for a row of the target."""
        keys = [side for side in tree.args["on"].find_all(exp.Column) if side.table == tree.args["using"].alias]
        listed = ", ".join(script.duck(key) for key in keys)
        twice = self.db.execute(
            f"SELECT {listed} FROM {script.duck(tree.args['using'])} GROUP BY {listed} HAVING count(*) > 1",
            arguments,
        ).fetchall()
        if twice:
            raise script.Unfit(f"a MERGE has these more than once: {twice}")
        self.db.execute(script.duck(tree), arguments)

    def report(self, name):
        """The columns and the rows of an object."""
        return answer(self.db.execute(f"FROM {name}"))

    def call(self, procedure, **arguments):
        """The columns and the rows that a procedure returns."""
        return answer(self.db.execute(script.duck(self.script.procedures[procedure]), arguments))


def answer(cursor):
    return [column[0] for column in cursor.description], cursor.fetchall()


# The columns' types as the emulator keeps them; timestamps have nine decimals there.
SQLITE = {"PURCHASE_TIME": "TEXT", "RIDE_TIME": "TEXT", "PRICE_USD": "NUMERIC", "DAYS": "", "ACTIVATION_DAY_COUNT": ""}


def sqlite_landing(path, setup, fixture):
    """A landing of the fixture with all columns of the tables."""
    with sqlite3.connect(path) as db:
        for statement in script.split(setup):
            tree = script.parse(statement)
            if not (isinstance(tree, exp.Create) and tree.kind == "TABLE"):
                continue
            columns = ", ".join(f"{column.name} {SQLITE.get(column.name, 'TEXT')}" for column in tree.find_all(exp.ColumnDef))
            db.execute(f"CREATE TABLE {tree.find(exp.Table).name} ({columns})")
        for table, row in fixture.rows:
            names = fixture.columns[table]
            cells = [cell and kept(name, cell) for name, cell in zip(names, row)]
            db.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", cells)


def kept(name, cell):
    if name in ("PURCHASE_TIME", "RIDE_TIME"):
        return f"{cell}.000000000"
    if name in ("DAYS", "ACTIVATION_DAY_COUNT"):
        return int(cell)
    return cell
