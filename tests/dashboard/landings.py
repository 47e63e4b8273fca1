"""Landings that a simulated week does not come to: a month before, and crowds."""

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
    # Riders at one to a second, on as many lifts as are given. Capacity is counted in riders of an hour.
    crowds = [("Heavenly", 3400, 3), ("Heavenly", 1500, 2), ("Keystone", 3300, 12), ("Vail", 40, 1)]
    for at, (resort, riders, lifts) in enumerate(crowds):
        database.execute(
            """WITH RECURSIVE RIDER(N) AS (SELECT 0 UNION ALL SELECT N + 1 FROM RIDER WHERE N + 1 < :riders)
               INSERT INTO LIFT_RIDE (TXID, RFID, RESORT, LIFT, RIDE_TIME, ACTIVATION_DAY_COUNT)
               SELECT 'crowd-' || :at || '-' || N, 'crowd-' || :at || '-' || N, :resort, 'Lift ' || (N % :lifts),
                      datetime(:day || ' 19:00:00', '+' || N || ' seconds') || '.000000000', 1
               FROM RIDER""",
            {"riders": riders, "at": at, "resort": resort, "lifts": lifts, "day": day},
        )
    database.commit()
    database.close()
