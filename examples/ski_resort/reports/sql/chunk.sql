-- Rows that were read from the landing and are not in the reports yet. The landing is not locked while they are included, so the
-- emulator can truncate its write-ahead log.

CREATE TEMP TABLE _NEW_PASS (RFID TEXT, PURCHASE_TIME TEXT, TXID TEXT, NAME TEXT, PRICE_USD REAL);
CREATE TEMP TABLE _NEW_TICKET (
    RFID TEXT, PURCHASE_TIME TEXT, TXID TEXT, NAME TEXT, PRICE_USD REAL, DAYS INTEGER
);
-- In the order of the groups: rows of a group are written to the same page, and grouped without another sort.
CREATE TEMP TABLE _NEW_RIDE (
    RIDE_DATE TEXT,
    RIDE_HOUR INTEGER,
    RESORT TEXT,
    RFID TEXT,
    LANDED INTEGER,
    RIDE_TIME TEXT,
    TXID TEXT,
    LIFT TEXT,
    ACTIVATION_DAY_COUNT INTEGER,
    PRIMARY KEY (RIDE_DATE, RIDE_HOUR, RESORT, RFID, LANDED)
) WITHOUT ROWID;
-- The hours of the new rides, with the last new ride of each.
CREATE TEMP TABLE _NEW_HOUR (RIDE_DATE TEXT, RIDE_HOUR INTEGER, RESORT TEXT, LAST_RIDE_TIME TEXT);
-- The latest time of all rows of a table.
CREATE TEMP TABLE _NEW_TIME (SEEN TEXT);
