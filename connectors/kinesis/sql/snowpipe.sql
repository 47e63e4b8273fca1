-- For `load --snowpipe` in an account: the bucket as a stage, and a pipe that loads its objects when it is asked to.
-- Replace the bucket and the role, and create the storage integration as Snowflake's documentation describes.
CREATE STORAGE INTEGRATION IF NOT EXISTS KINESIS_SENSORS
  TYPE = EXTERNAL_STAGE
  STORAGE_PROVIDER = 'S3'
  ENABLED = TRUE
  STORAGE_AWS_ROLE_ARN = '<role>'
  STORAGE_ALLOWED_LOCATIONS = ('s3://<bucket>/');
CREATE FILE FORMAT IF NOT EXISTS SENSORS.PUBLIC.SENSORS_CSV
  TYPE = CSV
  SKIP_HEADER = 1
  FIELD_OPTIONALLY_ENCLOSED_BY = '"'
  ESCAPE_UNENCLOSED_FIELD = NONE
  EMPTY_FIELD_AS_NULL = TRUE
  NULL_IF = ()
  MULTI_LINE = TRUE;
CREATE STAGE IF NOT EXISTS SENSORS.PUBLIC.STAGINGAWS
  URL = 's3://<bucket>/'
  STORAGE_INTEGRATION = KINESIS_SENSORS;
-- Without AUTO_INGEST: the program names the objects. With it, and notifications of the bucket, the program is not needed.
CREATE PIPE IF NOT EXISTS SENSORS.PUBLIC.KINESIS_SENSORS_PIPE AS
  COPY INTO SENSORS.PUBLIC.KINESIS_SENSORS_MICROBATCH
  FROM @SENSORS.PUBLIC.STAGINGAWS/kinesiscsv/
  FILE_FORMAT = (FORMAT_NAME = 'SENSORS.PUBLIC.SENSORS_CSV');
