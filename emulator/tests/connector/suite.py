"""What a test suite does with Snowflake's connector, on the emulator: suite.py EMULATOR"""

import base64
import contextlib
import datetime as dt
import decimal
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request

import snowflake.connector as connector
from snowflake.connector import errors

HERE = pathlib.Path(__file__).parent
UTC = dt.timezone.utc
# The emulator, and the arguments with which it is started.
PROGRAM = sys.argv[1]
TOKEN = "a-programmatic-access-token"

# The type codes of the connector's cursor descriptions.
FIXED, REAL, TEXT, DATE, VARIANT, LTZ, TZ, NTZ, OBJECT, ARRAY, BINARY, TIME, BOOLEAN = 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13


class Emulator:
    """An emulator on a free port, until `close`."""

    def __init__(self, *arguments):
        self.files = tempfile.TemporaryDirectory()
        profile = pathlib.Path(self.files.name, "profile.json")
        command = [PROGRAM, "--ddl", HERE / "tables.sql", "--write-profile", profile, "--access-token", TOKEN]
        command += [argument.replace("DIRECTORY", self.files.name) for argument in arguments]
        environment = {**os.environ, "RUST_LOG": "warn"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.url = self.process.stdout.readline().split()[0]
        self.profile = json.loads(profile.read_text())

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()
        self.files.cleanup()

    def address(self):
        url = urllib.parse.urlsplit(self.url)
        return {"host": url.hostname, "port": url.port, "protocol": url.scheme, "account": self.profile["account"]}

    def connect(self, **settings):
        pem = self.profile["private_key"].strip().splitlines()
        known = {
            "user": self.profile["user"],
            "private_key": base64.b64decode("".join(pem[1:-1])),
            "database": "DB",
            "schema": "S",
        }
        return connector.connect(**self.address(), **{**known, **settings})

    def call(self, path, body=None):
        request = urllib.request.Request(self.url + path, headers={"Content-Type": "application/json"})
        request.data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()


class Suite:
    """The tests, for each storage."""

    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator(*cls.arguments)
        cls.addClassCleanup(cls.emulator.close)

    def setUp(self):
        self.emulator.call("/_emulator/reset", {})
        self.connection = self.emulator.connect()
        self.addCleanup(self.connection.close)
        self.cursor = self.connection.cursor()

    def rows(self, text, *values):
        return self.cursor.execute(text, *values).fetchall()

    @contextlib.contextmanager
    def refused(self, errno, sqlstate=None, kind=errors.DatabaseError):
        with self.assertRaises(kind) as raised:
            yield
        self.assertEqual(raised.exception.errno, errno, raised.exception)
        if sqlstate:
            self.assertEqual(raised.exception.sqlstate, sqlstate)

    def test_logins(self):
        with self.refused(390100):
            connector.connect(**self.emulator.address(), user="U", password="p")
        with self.refused(390303):
            connector.connect(**self.emulator.address(), user="U", authenticator="oauth", token="wrong")
        for name, value in [("autocommit", False), ("timezone", "Europe/Berlin")]:
            with self.refused(1008):
                self.emulator.connect(**{name: value})
        by_token = connector.connect(
            **self.emulator.address(), user="U", authenticator="PROGRAMMATIC_ACCESS_TOKEN", token=TOKEN
        )
        self.assertEqual(by_token.cursor().execute("SELECT COUNT(*) FROM DB.S.RIDES").fetchone(), (0,))
        by_token.close()

    def test_values_of_every_type(self):
        texts = {
            "PRICE": "1.25",
            "WIDE": "12345678901234567890.1234567891",
            "RATIO": "-1.5e3",
            "NAME": "'it''s ä\\u26c4'",
            "OK": "FALSE",
            "BYTES": "X'00FF'",
            "D": "'1969-12-31'",
            "T": "'01:02:03.456789'",
            "T3": "'01:02:03.456'",
            "N": "'2026-01-02 03:04:05.678901'",
            "N3": "'1960-01-02 03:04:05.678'",
            "N0": "'2026-01-02 03:04:05'",
            "L": "'2026-01-02 03:04:05.678901 +05:30'",
            "L3": "'1969-12-31 23:59:59.5'",
            "Z": "'2026-01-02 03:04:05.678901 +05:30'",
            "Z0": "'1969-12-31 23:59:59 -07:00'",
            "V": "PARSE_JSON('{\"a\": [1, null]}')",
            "O": "PARSE_JSON('{\"b\": true}')",
            "A": "PARSE_JSON('[\"c\"]')",
        }
        names, values = ", ".join(texts), ", ".join(texts.values())
        self.assertEqual(self.cursor.execute(f"INSERT INTO TYPES (ID, {names}) SELECT 1, {values}").rowcount, 1)
        self.rows("INSERT INTO TYPES VALUES (2" + ", NULL" * 20 + ")")

        offset = dt.timezone(dt.timedelta(hours=5, minutes=30))
        west = dt.timezone(-dt.timedelta(hours=7))
        row, nothing = self.rows("SELECT * FROM TYPES ORDER BY ID")
        self.assertEqual(nothing, (2,) + (None,) * 20)
        expected = (
            1,
            decimal.Decimal("1.25"),
            decimal.Decimal("12345678901234567890.1234567891"),
            -1500.0,
            "it's ä⛄",
            False,
            b"\x00\xff",
            dt.date(1969, 12, 31),
            dt.time(1, 2, 3, 456789),
            dt.time(1, 2, 3, 456000),
            dt.datetime(2026, 1, 2, 3, 4, 5, 678901),
            dt.datetime(1960, 1, 2, 3, 4, 5, 678000),
            dt.datetime(2026, 1, 2, 3, 4, 5),
            dt.datetime(2026, 1, 1, 21, 34, 5, 678901, tzinfo=UTC),
            dt.datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC),
            dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=offset),
            dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=west),
        )
        self.assertEqual(row[: len(expected)], expected)
        for value, wanted in zip(row[13:17], expected[13:17]):
            self.assertEqual(value.utcoffset(), wanted.utcoffset())
        semi_structured = [json.loads(text) for text in row[17:20]]
        self.assertEqual(semi_structured, [{"a": [1, None]}, {"b": True}, ["c"]])
        self.assertEqual(row[20], "by default")

        self.rows("SELECT * FROM TYPES")
        codes = [column.type_code for column in self.cursor.description]
        moments = [DATE, TIME, TIME, NTZ, NTZ, NTZ, LTZ, LTZ, TZ, TZ]
        self.assertEqual(codes, [FIXED, FIXED, FIXED, REAL, TEXT, BOOLEAN, BINARY, *moments, VARIANT, OBJECT, ARRAY, TEXT])
        price = self.cursor.description[1]
        self.assertEqual((price.name, price.precision, price.scale), ("PRICE", 10, 2))
        self.assertEqual(self.cursor.description[4].internal_size, 20)
        described = self.cursor.describe("SELECT NAME FROM TYPES")
        self.assertEqual([column.name for column in described], ["NAME"])

    def test_bindings_of_the_client(self):
        self.cursor.execute("INSERT INTO RIDES VALUES (%s, %s)", (1, "it's\\\n"))
        self.cursor.execute("INSERT INTO RIDES VALUES (%(id)s, %(lift)s)", {"id": 2, "lift": None})
        self.assertEqual(self.cursor.executemany("INSERT INTO RIDES VALUES (%s, %s)", [(3, "x"), (4, "y")]).rowcount, 2)
        self.assertEqual(self.rows("SELECT LIFT FROM RIDES WHERE ID < %s ORDER BY ID", (4,)), [("it's\\\n",), (None,), ("x",)])

    def test_bindings_of_the_server(self):
        connection = self.emulator.connect(paramstyle="qmark")
        self.addCleanup(connection.close)
        cursor = connection.cursor()
        moment = dt.datetime(1960, 1, 2, 3, 4, 5, 678000)
        values = (1, decimal.Decimal("1.25"), 1.5, "x", True, b"\x00\xff", moment.date(), moment.time(), moment, None)
        names = "ID, PRICE, RATIO, NAME, OK, BYTES, D, T3, N3, V"
        cursor.execute(f"INSERT INTO TYPES ({names}) VALUES ({', '.join('?' * 10)})", values)
        zoned = ("TIMESTAMP_LTZ", moment.replace(tzinfo=UTC))
        cursor.execute("INSERT INTO TYPES (ID, L3, V) SELECT ?, ?, PARSE_JSON(?)", (2, zoned, '{"a":1}'))
        found = cursor.execute(f"SELECT {names} FROM TYPES WHERE ID = ?", (1,)).fetchone()
        self.assertEqual(found, values)
        found = cursor.execute("SELECT L3, V FROM TYPES WHERE ID = 2").fetchone()
        self.assertEqual(found, (moment.replace(tzinfo=UTC), '{"a":1}'))
        many = [(number, None if number % 2 else "x") for number in range(10)]
        cursor.executemany("INSERT INTO RIDES VALUES (?, ?)", many)
        self.assertEqual(cursor.execute("SELECT * FROM RIDES ORDER BY ID").fetchall(), many)
        with self.refused(2049):
            cursor.execute("INSERT INTO RIDES VALUES (?, ?)", (1,))

    def test_fixtures(self):
        self.assertEqual(self.rows("CREATE OR REPLACE TABLE FIXTURE (A INT, B INT DEFAULT 2)"), [("Table FIXTURE successfully created.",)])
        self.assertEqual(self.cursor.execute("INSERT INTO FIXTURE (A) VALUES (1), (2)").rowcount, 2)
        self.rows("ALTER TABLE FIXTURE ADD COLUMN C VARCHAR DEFAULT 'c'")
        self.assertEqual(self.rows("SELECT * FROM FIXTURE ORDER BY A"), [(1, 2, "c"), (2, 2, "c")])
        self.assertEqual(self.cursor.execute("DELETE FROM FIXTURE").rowcount, 2)
        self.rows("INSERT INTO FIXTURE VALUES (1, 2, 'c')")
        self.rows("TRUNCATE TABLE FIXTURE")
        self.assertEqual(self.rows("SELECT COUNT(*) FROM FIXTURE"), [(0,)])
        self.rows("DROP TABLE FIXTURE")
        with self.refused(2003, "42S02", errors.ProgrammingError):
            self.rows("SELECT * FROM FIXTURE")

        script = "INSERT INTO DB.S.RIDES VALUES (1, 'a'); DELETE FROM DB.S.RIDES; INSERT INTO DB.S.RIDES VALUES (2, 'b')"
        self.emulator.call("/_emulator/ddl", {"sql": script})
        self.assertEqual(self.rows("SELECT * FROM RIDES"), [(2, "b")])
        lines = self.emulator.call("/_emulator/tables/DB.S.RIDES?format=ndjson")
        self.assertEqual(lines, '{"ID":2,"LIFT":"b"}\n')

    def test_refusals(self):
        for text, errno, sqlstate in [
            ("INSERT INTO RIDES VALUES (1, 'a'), (NULL, 'b')", 100072, "22000"),
            ("INSERT INTO RIDES VALUES (1, 'a'), ('x', 'b')", 100038, "22018"),
            ("INSERT INTO RIDES VALUES (1, 'longer than ten')", 100078, "22000"),
            ("INSERT INTO TYPES (ID, V) VALUES (1, '{}')", 2023, "22000"),
            ("DELETE FROM RIDES WHERE ID = 1", 2, "0A000"),
            ("UPDATE RIDES SET ID = 1", 2, "0A000"),
            ("CREATE TEMPORARY TABLE X (A INT)", 2, "0A000"),
            ("BEGIN", 2, "0A000"),
            ("SELECT 1; SELECT 2", 8, "0A000"),
            ("SELEC 1", 1003, "42000"),
            ("SELECT NONE FROM RIDES", 904, "42000"),
        ]:
            with self.subTest(text), self.refused(errno, sqlstate):
                self.rows(text)
        self.assertEqual(self.rows("SELECT COUNT(*) FROM RIDES"), [(0,)])

    def test_tables_are_shown(self):
        self.rows("INSERT INTO RIDES VALUES (1, NULL)")
        shown = self.connection.cursor(connector.DictCursor).execute("SHOW TABLES LIKE 'rides' IN DATABASE").fetchall()
        found = [(row["schema_name"], row["name"], row["rows"]) for row in shown]
        self.assertEqual(found, [("OTHER", "RIDES", 0), ("S", "RIDES", 1)])
        self.assertEqual(
            self.rows("DESC TABLE RIDES"),
            [("ID", "NUMBER(38,0)", "COLUMN", "N", None), ("LIFT", "VARCHAR(10)", "COLUMN", "Y", None)],
        )

    def test_sessions(self):
        other = self.emulator.connect()
        self.rows("USE SCHEMA OTHER")
        self.rows("INSERT INTO RIDES VALUES (7)")
        self.assertEqual((self.connection.schema, other.schema), ("OTHER", "S"))
        self.assertEqual(self.rows("SELECT * FROM RIDES"), [(7,)])
        self.assertEqual(other.cursor().execute("SELECT * FROM RIDES").fetchall(), [])
        other.commit()
        other.rollback()
        other.autocommit(False)
        with self.refused(2):
            other.rollback()
        other.close()
        with self.assertRaises(errors.Error):
            other.cursor().execute("SELECT 1")
        self.assertTrue(self.connection.is_valid())


class InMemory(Suite, unittest.TestCase):
    pass


class InFile(Suite, unittest.TestCase):
    arguments = ("--data", "DIRECTORY/emulator.db")


if __name__ == "__main__":
    print("snowflake-connector-python", connector.__version__)
    unittest.main(argv=sys.argv[:1])
