-- What was read from the landing and is not in the reports yet. The landing is not held while it is taken in: the emulator
-- can shorten its write-ahead log.

CREATE TEMP TABLE _NEW_PASS (RFID TEXT, PURCHASE_TIME TEXT, TXID TEXT, NAME TEXT, PRICE_USD REAL);
CREATE TEMP TABLE _NEW_TICKET (
    RFID TEXT, PURCHASE_TIME TEXT, TXID TEXT, NAME TEXT, PRICE_USD REAL, DAYS INTEGER
);
-- In the order of what they are counted in: neighbours are written to the same page, and grouped without sorting again.
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
-- The hours in which they are, with the last of the new rides of each.
CREATE TEMP TABLE _NEW_HOUR (RIDE_DATE TEXT, RIDE_HOUR INTEGER, RESORT TEXT, LAST_RIDE_TIME TEXT);
-- The latest time of all rows of a table, whoever they belong to.
CREATE TEMP TABLE _NEW_TIME (SEEN TEXT);
