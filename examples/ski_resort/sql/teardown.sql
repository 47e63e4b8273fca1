-- Removes everything that setup.sql and dynamic_tables.sql created, with all rows. The queue on your machine then no longer
-- matches the account: delete ski_resort_data before you stream again.

USE ROLE ACCOUNTADMIN;

DROP DATABASE IF EXISTS STREAMING_INGEST;
DROP USER IF EXISTS STREAMING_INGEST;
DROP ROLE IF EXISTS STREAMING_INGEST;
DROP WAREHOUSE IF EXISTS STREAMING_INGEST;
