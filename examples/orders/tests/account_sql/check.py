"""The dynamic tables and the clean-up of the example orders, on rows whose results were computed by hand."""

import re
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import sqlglot

FOLDER = Path("examples/orders/sql")
DYNAMIC = re.compile(
    r"CREATE OR REPLACE DYNAMIC TABLE (\w+)\s+TARGET_LAG = (?:'1 minute'|DOWNSTREAM)\s+WAREHOUSE = COMPUTE_WH\s+AS\s+(SELECT[^;]+);"
)
FIRST, SECOND = date(2026, 1, 10), date(2026, 1, 11)
# Two orders on each day; the last one has no items yet.
FIXTURE = """
INSERT INTO ORDERS VALUES
  ('o1', 1, '2026-01-10 08:00:00', 'Completed', 100.00, 0, 5.01),
  ('o2', 1, '2026-01-10 23:59:59', 'Shipped', 999.99, 10, 10.50),
  ('o3', 2, '2026-01-11 00:00:00', 'Completed', 2000.00, 25, 0),
  ('o4', 3, '2026-01-11 12:00:00', 'Pending', 50.00, 20, 7.00);
INSERT INTO ORDER_ITEMS VALUES
  ('i1', 'o1', 1001, 'Powder Skis', 'Skis', 1, 20.00, 20.00),
  ('i2', 'o2', 1002, 'All-Mountain Skis', 'Skis', 2, 30.00, 60.00),
  ('i3', 'o2', 1005, 'Ski Boots', 'Boots', 5, 10.00, 50.00),
  ('i4', 'o2', 1001, 'Powder Skis', 'Skis', 3, 20.00, 60.00),
  ('i5', 'o3', 1001, 'Powder Skis', 'Skis', 1, 10.00, 10.00),
  ('i6', 'o3', 1002, 'All-Mountain Skis', 'Skis', 1, 1.00, 1.00);
"""
EXPECTED = {
    "SELECT ORDER_ID, DISCOUNT_AMOUNT, NET_AMOUNT, FINAL_AMOUNT, DISCOUNT_TIER, ORDER_SIZE FROM ENRICHED_ORDERS": [
        ("o1", "0", "100", "105.01", "No Discount", "Medium"),
        ("o2", "100", "899.99", "910.49", "Low", "Large"),
        ("o3", "500", "1500", "1500", "High", "Extra Large"),
        ("o4", "10", "40", "47", "Medium", "Small"),
    ],
    "SELECT ORDER_ITEM_ID, QUANTITY_TIER FROM ENRICHED_ORDER_ITEMS": [
        ("i1", "Single"), ("i2", "Few"), ("i3", "Bulk"), ("i4", "Few"), ("i5", "Single"), ("i6", "Single"),
    ],
    "SELECT ORDER_ITEM_ID, ORDER_ID, ITEMS_PER_ORDER, ORDER_ITEMS_TOTAL, FINAL_AMOUNT FROM FACT_ORDERS": [
        ("i1", "o1", "1", "20", "105.01"),
        ("i2", "o2", "3", "170", "910.49"),
        ("i3", "o2", "3", "170", "910.49"),
        ("i4", "o2", "3", "170", "910.49"),
        ("i5", "o3", "2", "11", "1500"),
        ("i6", "o3", "2", "11", "1500"),
    ],
    "SELECT * FROM DAILY_BUSINESS_METRICS": [
        (FIRST, "2", "1", "1099.99", "100", "999.99", "15.51", "1015.5", "507.75", "4", "11"),
        (SECOND, "2", "2", "2050", "510", "1540", "7", "1547", "773.5", "2", "2"),
    ],
    "SELECT * FROM PRODUCT_PERFORMANCE_METRICS": [
        ("1001", "Powder Skis", "Skis", "3", "5", "90", "16.67"),
        ("1002", "All-Mountain Skis", "Skis", "2", "3", "61", "15.5"),
        ("1005", "Ski Boots", "Boots", "1", "5", "50", "10"),
    ],
}
# Damages that the rows above have to find. The first one is that of a join with the items.
MUTANTS = [
    (
        "SELECT ORDER_ID, COUNT(*) AS ITEMS, SUM(QUANTITY) AS UNITS FROM ENRICHED_ORDER_ITEMS GROUP BY ORDER_ID",
        "SELECT ORDER_ID, 1 AS ITEMS, QUANTITY AS UNITS FROM ENRICHED_ORDER_ITEMS",
    ),
    ("LEFT JOIN (", "INNER JOIN ("),
    ("TOTAL_AMOUNT < 500 ", "TOTAL_AMOUNT < 100 "),
    ("DISCOUNT_PERCENT <= 10", "DISCOUNT_PERCENT < 10"),
    ("DISCOUNT_PERCENT <= 20", "DISCOUNT_PERCENT < 20"),
    ("QUANTITY <= 3", "QUANTITY < 3"),
    ("COUNT(DISTINCT O.CUSTOMER_ID)", "COUNT(O.CUSTOMER_ID)"),
    (" + SHIPPING_COST, 2)", ", 2)"),
    ("COUNT(DISTINCT ORDER_ID) AS TOTAL_ORDERS", "COUNT(*) + 1 AS TOTAL_ORDERS"),
]


def snowflake(sql):
    """Statements of Snowflake as DuckDB reads them."""
    return ";\n".join(sqlglot.transpile(sql, read="snowflake", write="duckdb"))


def tables():
    """A database with the tables of RAW, without their keys: an account does not enforce them."""
    setup = (FOLDER / "setup.sql").read_text().split("CREATE SCHEMA IF NOT EXISTS STAGING")[0]
    database = duckdb.connect()
    for statement in sqlglot.parse(setup.replace(" PRIMARY KEY", ""), read="snowflake"):
        if statement is not None and statement.key == "create" and statement.args["kind"] == "TABLE":
            database.execute(statement.sql(dialect="duckdb"))
    database.execute(FIXTURE)
    return database


def plain(cell):
    if isinstance(cell, (int, float, Decimal)):
        text = f"{Decimal(str(cell)):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return cell


def differences(script):
    """What the dynamic tables of a script have other than expected."""
    database = tables()
    views = DYNAMIC.findall(script)
    if len(views) != script.count("DYNAMIC TABLE "):
        return ["a dynamic table is written in another way"]
    for name, select in views:
        database.execute(f"CREATE VIEW {name} AS {snowflake(select)}")
    found = []
    for query, expected in EXPECTED.items():
        rows = sorted(tuple(plain(cell) for cell in row) for row in database.execute(query).fetchall())
        if rows != expected:
            found.append(f"{query}\n  expected {expected}\n  found    {rows}")
    return found


def clean():
    """Runs the clean-up twice on copies, orders without items, and items without an order."""
    script = (FOLDER / "clean.sql").read_text()
    script = re.sub(r"(?m)^USE SCHEMA .*;$", "", script)
    database = tables()
    database.execute(
        "DELETE FROM ORDERS WHERE ORDER_ID = 'o4';"
        "CREATE TABLE WANTED_ORDERS AS SELECT * FROM ORDERS; CREATE TABLE WANTED_ITEMS AS SELECT * FROM ORDER_ITEMS;"
        "INSERT INTO ORDERS SELECT * FROM ORDERS WHERE ORDER_ID <> 'o3'; INSERT INTO ORDERS SELECT * FROM ORDERS WHERE ORDER_ID = 'o1';"
        "INSERT INTO ORDER_ITEMS SELECT * FROM ORDER_ITEMS WHERE ORDER_ITEM_ID < 'i4';"
        "INSERT INTO ORDERS (ORDER_ID) VALUES ('lonely'), (NULL);"
        "INSERT INTO ORDER_ITEMS (ORDER_ITEM_ID, ORDER_ID) VALUES ('orphan', 'none'), ('another', NULL);"
    )
    for _ in range(2):
        database.execute(snowflake(script))
        for table, wanted in (("ORDERS", "WANTED_ORDERS"), ("ORDER_ITEMS", "WANTED_ITEMS")):
            rows = [database.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in (table, wanted)]
            if rows[0] != rows[1]:
                return [f"{table} after the clean-up: {rows[0]}, not {rows[1]}"]
    return []


def main():
    script = (FOLDER / "downstream.sql").read_text()
    found = differences(script) + clean()
    for original, damaged in MUTANTS:
        if original not in script:
            found.append(f"not in the script: {original}")
        elif not differences(script.replace(original, damaged)):
            found.append(f"not found: {damaged} instead of {original}")
    print("\n".join(found))
    if found:
        sys.exit(1)
    print(f"{len(EXPECTED)} tables are as computed by hand, and {len(MUTANTS)} damages are found; the clean-up keeps one copy")


main()
