"""The account's reports against the fixture's expected values and against the embedded reports, cell by cell."""

import argparse
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from landing import LANDED, Account, Fixture, sqlite_landing
from script import Script, Unfit, split

EXAMPLE = Path("examples/ski_resort")
PLACES = Decimal("0.00000001")
# What distinguishes an object's rows; the clock has a single one.
KEYS = {
    "RESORT_CAPACITY": ["RESORT"],
    "DAILY_VISITS": ["VISIT_DATE", "RESORT", "RFID"],
    "HOURLY_LIFT_ACTIVITY": ["RIDE_DATE", "RIDE_HOUR", "RESORT"],
    "HOURLY_AMORTIZED_REVENUE": ["RIDE_DATE", "RIDE_HOUR", "RESORT"],
    "HOURLY_RESORT_SUMMARY": ["RIDE_DATE", "RIDE_HOUR", "RESORT"],
    "DAILY_RESORT_SUMMARY": ["RIDE_DATE", "RESORT"],
    "WEEKLY_RESORT_SUMMARY": ["WEEK_START_DATE", "RESORT"],
    "V_DAILY_REVENUE_PERFORMANCE": ["RIDE_DATE", "RESORT"],
    "V_DAILY_NETWORK_METRICS": ["RIDE_DATE"],
    "V_LIFT_PERFORMANCE": ["RESORT", "LIFT"],
    "V_WORLD_CLOCK": [],
}
SHUFFLES = 15


def plain(cell, column):
    """A cell as text that is the same wherever it comes from."""
    if cell is None or cell == "":
        return "NULL"
    if column.startswith("HAS_"):
        return str(cell in (True, 1, "true")).lower()
    if isinstance(cell, datetime):
        cell = cell.isoformat(sep=" ")
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, str) and not re.fullmatch(r"-?\d+(\.\d+)?", cell):
        cell = re.sub(r"\.0+$", "", cell)
        # DuckDB makes a timestamp of a date to which days are added.
        return cell.removesuffix(" 00:00:00") if column.endswith("_DATE") else cell
    return f"{Decimal(str(cell)).quantize(PLACES, ROUND_HALF_UP):f}"


class Comparison:
    """Counts cells, and prints each that differs."""

    def __init__(self):
        self.cells = 0
        self.differences = 0

    def differs(self, *words):
        self.differences += 1
        print(*words)

    def compare(self, where, name, expected, found):
        (columns, rows), (found_columns, found_rows) = expected, found
        if columns != found_columns:
            self.differs(f"{where}: {name}: columns {columns} expected, {found_columns} found")
            return
        wanted, given = self._by_key(where, name, columns, rows), self._by_key(where, name, columns, found_rows)
        for key in sorted(wanted.keys() | given.keys()):
            if key not in given or key not in wanted:
                self.differs(f"{where}: {name} {key}: {'missing' if key in wanted else 'not expected'}")
                continue
            for column, want, got in zip(columns, wanted[key], given[key]):
                self.cells += 1
                if want != got:
                    self.differs(f"{where}: {name} {key}: {column}: {want} expected, {got} found")

    def _by_key(self, where, name, columns, rows):
        keyed = {}
        for row in rows:
            cells = [plain(cell, column) for cell, column in zip(row, columns)]
            key = tuple(cells[columns.index(column)] for column in KEYS[name])
            if key in keyed:
                self.differs(f"{where}: {name} {key}: more than one row")
            keyed[key] = cells
        return keyed


def histories(fixture):
    """
    Orders in which the rows may land, cut into runs of the task: (name, [(rows, rows that land during the run)]). With None
    for the latter the script runs instead, and makes the streams anew.
    """
    ticket, season_pass, ride = LANDED
    yield "all at once", [(fixture.of(*LANDED), [])]
    yield "sales first", [(fixture.of(ticket, season_pass), []), (fixture.of(ride), [])]
    yield "rides first", [(fixture.of(ride), []), (fixture.of(ticket), []), (fixture.of(season_pass), [])]
    yield "rides, passes, tickets", [(fixture.of(ride), []), (fixture.of(season_pass), []), (fixture.of(ticket), [])]
    yield "all before the script", [(fixture.of(*LANDED), None)]
    yield "rides, sales past stale streams", [(fixture.of(ride), []), (fixture.of(ticket, season_pass), None)]
    yield "sales, rides past stale streams", [(fixture.of(ticket, season_pass), []), (fixture.of(ride), None)]
    yield "row by row, rides first", [([row], []) for row in fixture.of(ride, season_pass, ticket)]
    for seed in range(SHUFFLES):
        chance = random.Random(seed)
        rows = chance.sample(fixture.rows, len(fixture.rows))
        runs = []
        while rows:
            before, during = chance.randint(0, 20), chance.choice([0, 0, 3, None])
            after = before + (during or 0)
            runs.append((rows[:before], None if during is None else rows[before:after]))
            rows = rows[after:]
        yield f"shuffle {seed}", runs + [([], [])]


# What does not go with the database that it is in.
OF_ACCOUNT = re.compile(r"(?:CREATE|DROP) (DATABASE|ROLE|USER|WAREHOUSE) IF (?:NOT )?EXISTS (\w+)")
OWNED = re.compile(r"GRANT OWNERSHIP ON .+ TO ROLE (\w+)(.*)")


def check_rights(setup, teardown, comparison):
    """ACCOUNTADMIN can run setup.sql a second time, and teardown.sql after it; the latter leaves nothing."""
    made, dropped = ([" ".join(statement.split()) for statement in split(text)] for text in (setup, teardown))
    things = [{found.groups() for found in map(OF_ACCOUNT.match, script) if found} for script in (made, dropped)]
    if things[0] != things[1] or not things[0]:
        comparison.differs(f"setup.sql makes {sorted(things[0])}, teardown.sql drops {sorted(things[1])}")
    for statement in made:
        owned = OWNED.fullmatch(statement)
        if owned and owned[2] != " COPY CURRENT GRANTS":
            comparison.differs(f"fails once anybody was granted anything: {statement}")
        if owned and f"GRANT ROLE {owned[1]} TO ROLE SYSADMIN" not in made[: made.index(statement)]:
            comparison.differs(f"ACCOUNTADMIN loses what it makes: {statement}")


def check_account(fixture, setup, reports, comparison):
    """The account's objects after every history."""
    for where, runs in histories(fixture):
        account = Account(setup, reports, fixture.columns)
        for rows, during in runs:
            account.land(rows)
            if during is None:
                account.call_of_script()
            else:
                account.run_task(during)
        for name, expected in fixture.expected.items():
            comparison.compare(where, name, expected, account.report(name))
        check_procedure(where, fixture, account, comparison)


def check_procedure(where, fixture, account, comparison):
    """The procedure gives a resort's lifts in the order of their rank."""
    columns, rows = fixture.expected["V_LIFT_PERFORMANCE"]
    rank, resort = columns.index("USAGE_RANK_IN_RESORT"), columns.index("RESORT")
    for name in sorted({row[resort] for row in rows}):
        ranked = sorted((row for row in rows if row[resort] == name), key=lambda row: int(row[rank]))
        found = account.call("GET_RESORT_LIFT_PERFORMANCE", RESORT=name)
        comparison.compare(where, "V_LIFT_PERFORMANCE", (columns, ranked), found)
        if [row[rank] for row in found[1]] != list(range(1, len(ranked) + 1)):
            comparison.differs(f"{where}: GET_RESORT_LIFT_PERFORMANCE {name}: not in the order of rank")


def round_away(number, places=0):
    """ROUND as the reports mean it, for views that are read here; SQLite's own rounds the binary number."""
    if number is None:
        return None
    return float(Decimal(repr(number)).quantize(PLACES, ROUND_HALF_UP).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


def check_embedded(fixture, setup, comparison):
    """The embedded reports of the same rows."""
    with tempfile.TemporaryDirectory() as folder:
        landed, reports = Path(folder, "landing.db"), Path(folder, "reports.db")
        sqlite_landing(landed, setup, fixture)
        subprocess.run(
            ["cargo", "run", "--locked", "--quiet", "--example", "ski_resort", "--"]
            + ["--only", "reports", "--no-dashboard", "--landing", str(landed), "--reports", str(reports)],
            check=True,
        )
        db = sqlite3.connect(f"{reports.as_uri()}?mode=ro", uri=True)
        db.create_function("round", 1, round_away, deterministic=True)
        db.create_function("round", 2, round_away, deterministic=True)
        for name, expected in fixture.expected.items():
            cursor = db.execute(f"SELECT * FROM {name}")
            found = [column[0] for column in cursor.description], cursor.fetchall()
            comparison.compare("embedded", name, expected, found)
        db.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-embedded", action="store_true", help="leave the embedded reports out")
    options = parser.parse_args()

    setup = (EXAMPLE / "sql/setup.sql").read_text()
    fixture = Fixture(EXAMPLE / "tests/fixture")
    if sorted(fixture.expected) != sorted(KEYS):
        raise Unfit(f"the fixture has {sorted(fixture.expected)}")
    comparison = Comparison()
    check_rights(setup, (EXAMPLE / "sql/teardown.sql").read_text(), comparison)
    check_account(fixture, setup, Script((EXAMPLE / "sql/dynamic_tables.sql").read_text()), comparison)
    if not options.without_embedded:
        check_embedded(fixture, setup, comparison)
    print(f"{comparison.cells} cells of {len(fixture.expected)} objects compared, {comparison.differences} differences.")
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unfit as problem:
        sys.exit(f"error: {problem}")
