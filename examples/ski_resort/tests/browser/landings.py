"""Landings that a simulated week does not come to: a month before, crowds, and numbers at a bound."""

import shutil
import sqlite3


def older_and_fuller(source, target):
    """Adds to a copy of a landing: every hundredth ride again, 31 days earlier, and a next day with crowded resorts."""
    shutil.copyfile(source, target)
    database = sqlite3.connect(target)
    (last,) = database.execute("SELECT MAX(RIDE_TIME) FROM LIFT_RIDE").fetchone()
    (day,) = database.execute("SELECT date(?, '+1 day')", (last[:10],)).fetchone()
    database.execute(
        """INSERT INTO LIFT_RIDE (TXID, RFID, RESORT, LIFT, RIDE_TIME, ACTIVATION_DAY_COUNT)
           SELECT TXID || '-before', RFID, RESORT, LIFT,
                  datetime(substr(RIDE_TIME, 1, 19), '-31 days') || substr(RIDE_TIME, 20), ACTIVATION_DAY_COUNT
           FROM LIFT_RIDE WHERE rowid % 100 = 0"""
    )
    # Capacity is counted in riders of an hour.
    crowds = [("Heavenly", 3400, 3), ("Heavenly", 1500, 2), ("Keystone", 3300, 12), ("Vail", 40, 1)]
    for at, (resort, riders, lifts) in enumerate(crowds):
        crowd(database, at, resort, f"{day} 19:00:00", riders, lifts)
    database.commit()
    database.close()


def on_bounds(source, target):
    """
    Of a copy of a landing leaves the tables alone: two days in which resorts are exactly as full as a level begins, and
    numbers change by exactly half of what is shown.
    """
    shutil.copyfile(source, target)
    database = sqlite3.connect(target)
    for table in ["RESORT_TICKET", "SEASON_PASS", "LIFT_RIDE"]:
        database.execute(f"DELETE FROM {table}")
    crowds = [
        ("Vail", "2026-02-03 17:00:00", 3600),
        ("Vail", "2026-02-03 18:00:00", 3600),
        ("Vail", "2026-02-03 19:00:00", 800),
        # 90 % of 5,000 and 70 % of 4,500.
        ("Heavenly", "2026-02-04 19:00:00", 4500),
        ("Keystone", "2026-02-04 19:00:00", 3150),
        ("Vail", "2026-02-04 19:00:00", 346),
    ]
    for at, (resort, time, riders) in enumerate(crowds):
        crowd(database, at, resort, time, riders, 7)
    # Some of the last ride again: 7,996 visitors against 8,000 are 0.05 % less, and 8,004 rides 0.05 % more.
    crowd(database, len(crowds) - 1, "Vail", "2026-02-04 19:30:00", 8, 1)
    database.commit()
    database.close()


def crowd(database, at, resort, time, riders, lifts):
    """Riders whom nobody sold anything, from a time on, one or more in each second of an hour, on so many lifts."""
    database.execute(
        """WITH RECURSIVE RIDER(N) AS (SELECT 0 UNION ALL SELECT N + 1 FROM RIDER WHERE N + 1 < :riders)
           INSERT INTO LIFT_RIDE (TXID, RFID, RESORT, LIFT, RIDE_TIME, ACTIVATION_DAY_COUNT)
           SELECT 'crowd-' || :at || '-' || N || :time, 'crowd-' || :at || '-' || N, :resort, 'Lift ' || (N % :lifts),
                  datetime(:time, '+' || (N % 3600) || ' seconds') || '.000000000', 1
           FROM RIDER""",
        {"riders": riders, "at": at, "resort": resort, "lifts": lifts, "time": time},
    )
