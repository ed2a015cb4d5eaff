-- The tables of a lake in DuckDB 1.4 or newer, with the columns and types of the Athena tables. First say where the lake is,
-- a folder or s3://BUCKET/PREFIX, with a slash at its end:
--
--   SET VARIABLE lake = 'lake/tracebit-lake-local/';
--
-- Written by cargo xtask generate.

SET VARIABLE tracebit_alert = (SELECT CASE WHEN count(*) > 0 THEN $$
  SELECT "discriminator", "id", "alert_id", "tracebit_portal_url", "timestamp", "provider", "message", "severity", "canary_credential", "canary", "principal", "event", "p_log_type", "p_event_time", "p_parse_time", "p_row_id", "p_schema_version", "p_source_id", "p_source_label", "p_any_ip_addresses", "p_any_domain_names", "p_any_aws_account_ids", "p_any_aws_arns", "p_any_aws_instance_ids", "p_any_actor_ids", "p_any_usernames", "p_any_emails", "p_any_trace_ids", day
  FROM read_json(getvariable('lake') || 'tracebit_alert/**/*.json', format = 'newline_delimited',
    maximum_object_size = 33554432, timestampformat = '%Y-%m-%d %H:%M:%S.%g',
    hive_partitioning = true, hive_types = {'day': VARCHAR}, columns = {
      'discriminator': 'STRUCT("type" VARCHAR, "subtype" VARCHAR)',
      'id': 'VARCHAR',
      'alert_id': 'VARCHAR',
      'tracebit_portal_url': 'VARCHAR',
      'timestamp': 'VARCHAR',
      'provider': 'VARCHAR',
      'message': 'VARCHAR',
      'severity': 'VARCHAR',
      'canary_credential': 'STRUCT("name" VARCHAR, "type" VARCHAR, "issued_at" VARCHAR, "expires_at" VARCHAR, "labels" STRUCT("name" VARCHAR, "value" VARCHAR)[], "aws" STRUCT("access_key_id" VARCHAR))',
      'canary': 'STRUCT("tracebit_id" VARCHAR, "provider_id" VARCHAR, "provider_account_id" VARCHAR, "name" VARCHAR, "type" VARCHAR, "deployed_at" VARCHAR, "aws" STRUCT("account_id" VARCHAR, "account_name" VARCHAR, "arn" VARCHAR, "region" VARCHAR), "okta" STRUCT("domain" VARCHAR, "organization_id" VARCHAR), "azure" STRUCT("subscription_id" VARCHAR, "subscription_name" VARCHAR, "resource_id" VARCHAR))',
      'principal': 'STRUCT("id" VARCHAR, "aws" STRUCT("arn" VARCHAR, "type" VARCHAR, "account_id" VARCHAR, "username" VARCHAR), "okta" STRUCT("id" VARCHAR, "type" VARCHAR, "alternate_id" VARCHAR), "azure" STRUCT("app_id" VARCHAR, "tenant_id" VARCHAR), "google_cloud" STRUCT("federated_identity_type" VARCHAR, "federated_identity_pool" VARCHAR, "federated_identity_subject" VARCHAR))',
      'event': 'STRUCT("id" VARCHAR, "operation" VARCHAR, "request" STRUCT("user_agent" STRUCT("raw" VARCHAR, "label" VARCHAR), "ip" VARCHAR), "resources" STRUCT("id" VARCHAR, "type" VARCHAR)[], "outcome" STRUCT("result" VARCHAR, "code" VARCHAR, "message" VARCHAR))',
      'p_log_type': 'VARCHAR',
      'p_event_time': 'TIMESTAMP',
      'p_parse_time': 'TIMESTAMP',
      'p_row_id': 'VARCHAR',
      'p_schema_version': 'INTEGER',
      'p_source_id': 'VARCHAR',
      'p_source_label': 'VARCHAR',
      'p_any_ip_addresses': 'VARCHAR[]',
      'p_any_domain_names': 'VARCHAR[]',
      'p_any_aws_account_ids': 'VARCHAR[]',
      'p_any_aws_arns': 'VARCHAR[]',
      'p_any_aws_instance_ids': 'VARCHAR[]',
      'p_any_actor_ids': 'VARCHAR[]',
      'p_any_usernames': 'VARCHAR[]',
      'p_any_emails': 'VARCHAR[]',
      'p_any_trace_ids': 'VARCHAR[]'
  })
$$ ELSE $$
  SELECT none.* FROM (SELECT unnest(CAST([] AS STRUCT(
    "discriminator" STRUCT("type" VARCHAR, "subtype" VARCHAR),
    "id" VARCHAR,
    "alert_id" VARCHAR,
    "tracebit_portal_url" VARCHAR,
    "timestamp" VARCHAR,
    "provider" VARCHAR,
    "message" VARCHAR,
    "severity" VARCHAR,
    "canary_credential" STRUCT("name" VARCHAR, "type" VARCHAR, "issued_at" VARCHAR, "expires_at" VARCHAR, "labels" STRUCT("name" VARCHAR, "value" VARCHAR)[], "aws" STRUCT("access_key_id" VARCHAR)),
    "canary" STRUCT("tracebit_id" VARCHAR, "provider_id" VARCHAR, "provider_account_id" VARCHAR, "name" VARCHAR, "type" VARCHAR, "deployed_at" VARCHAR, "aws" STRUCT("account_id" VARCHAR, "account_name" VARCHAR, "arn" VARCHAR, "region" VARCHAR), "okta" STRUCT("domain" VARCHAR, "organization_id" VARCHAR), "azure" STRUCT("subscription_id" VARCHAR, "subscription_name" VARCHAR, "resource_id" VARCHAR)),
    "principal" STRUCT("id" VARCHAR, "aws" STRUCT("arn" VARCHAR, "type" VARCHAR, "account_id" VARCHAR, "username" VARCHAR), "okta" STRUCT("id" VARCHAR, "type" VARCHAR, "alternate_id" VARCHAR), "azure" STRUCT("app_id" VARCHAR, "tenant_id" VARCHAR), "google_cloud" STRUCT("federated_identity_type" VARCHAR, "federated_identity_pool" VARCHAR, "federated_identity_subject" VARCHAR)),
    "event" STRUCT("id" VARCHAR, "operation" VARCHAR, "request" STRUCT("user_agent" STRUCT("raw" VARCHAR, "label" VARCHAR), "ip" VARCHAR), "resources" STRUCT("id" VARCHAR, "type" VARCHAR)[], "outcome" STRUCT("result" VARCHAR, "code" VARCHAR, "message" VARCHAR)),
    "p_log_type" VARCHAR,
    "p_event_time" TIMESTAMP,
    "p_parse_time" TIMESTAMP,
    "p_row_id" VARCHAR,
    "p_schema_version" INTEGER,
    "p_source_id" VARCHAR,
    "p_source_label" VARCHAR,
    "p_any_ip_addresses" VARCHAR[],
    "p_any_domain_names" VARCHAR[],
    "p_any_aws_account_ids" VARCHAR[],
    "p_any_aws_arns" VARCHAR[],
    "p_any_aws_instance_ids" VARCHAR[],
    "p_any_actor_ids" VARCHAR[],
    "p_any_usernames" VARCHAR[],
    "p_any_emails" VARCHAR[],
    "p_any_trace_ids" VARCHAR[],
    "day" VARCHAR
  )[])) AS none)
$$ END FROM glob(getvariable('lake') || 'tracebit_alert/**/*.json'));
CREATE OR REPLACE VIEW tracebit_alert AS FROM query(getvariable('tracebit_alert'));

SET VARIABLE tracebit_healthcheck = (SELECT CASE WHEN count(*) > 0 THEN $$
  SELECT "discriminator", "timestamp", "is_healthy", "p_log_type", "p_event_time", "p_parse_time", "p_row_id", "p_schema_version", "p_source_id", "p_source_label", day
  FROM read_json(getvariable('lake') || 'tracebit_healthcheck/**/*.json', format = 'newline_delimited',
    maximum_object_size = 33554432, timestampformat = '%Y-%m-%d %H:%M:%S.%g',
    hive_partitioning = true, hive_types = {'day': VARCHAR}, columns = {
      'discriminator': 'STRUCT("type" VARCHAR, "subtype" VARCHAR)',
      'timestamp': 'VARCHAR',
      'is_healthy': 'BOOLEAN',
      'p_log_type': 'VARCHAR',
      'p_event_time': 'TIMESTAMP',
      'p_parse_time': 'TIMESTAMP',
      'p_row_id': 'VARCHAR',
      'p_schema_version': 'INTEGER',
      'p_source_id': 'VARCHAR',
      'p_source_label': 'VARCHAR'
  })
$$ ELSE $$
  SELECT none.* FROM (SELECT unnest(CAST([] AS STRUCT(
    "discriminator" STRUCT("type" VARCHAR, "subtype" VARCHAR),
    "timestamp" VARCHAR,
    "is_healthy" BOOLEAN,
    "p_log_type" VARCHAR,
    "p_event_time" TIMESTAMP,
    "p_parse_time" TIMESTAMP,
    "p_row_id" VARCHAR,
    "p_schema_version" INTEGER,
    "p_source_id" VARCHAR,
    "p_source_label" VARCHAR,
    "day" VARCHAR
  )[])) AS none)
$$ END FROM glob(getvariable('lake') || 'tracebit_healthcheck/**/*.json'));
CREATE OR REPLACE VIEW tracebit_healthcheck AS FROM query(getvariable('tracebit_healthcheck'));

SET VARIABLE classification_failures = (SELECT CASE WHEN count(*) > 0 THEN $$
  SELECT "error", "payload", "payload_encoding", "log_type", "p_parse_time", "p_row_id", "p_source_id", "p_source_label", day
  FROM read_json(getvariable('lake') || 'classification_failures/**/*.json', format = 'newline_delimited',
    maximum_object_size = 134217728, timestampformat = '%Y-%m-%d %H:%M:%S.%g',
    hive_partitioning = true, hive_types = {'day': VARCHAR}, columns = {
      'error': 'VARCHAR',
      'payload': 'VARCHAR',
      'payload_encoding': 'VARCHAR',
      'log_type': 'VARCHAR',
      'p_parse_time': 'TIMESTAMP',
      'p_row_id': 'VARCHAR',
      'p_source_id': 'VARCHAR',
      'p_source_label': 'VARCHAR'
  })
$$ ELSE $$
  SELECT none.* FROM (SELECT unnest(CAST([] AS STRUCT(
    "error" VARCHAR,
    "payload" VARCHAR,
    "payload_encoding" VARCHAR,
    "log_type" VARCHAR,
    "p_parse_time" TIMESTAMP,
    "p_row_id" VARCHAR,
    "p_source_id" VARCHAR,
    "p_source_label" VARCHAR,
    "day" VARCHAR
  )[])) AS none)
$$ END FROM glob(getvariable('lake') || 'classification_failures/**/*.json'));
CREATE OR REPLACE VIEW classification_failures AS FROM query(getvariable('classification_failures'));
