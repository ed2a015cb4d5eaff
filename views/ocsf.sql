-- An alert's logs as Detection Findings of OCSF (class 2004, profile cloud), valid against OCSF 1.1 to 1.8
--
-- Behind each column stands its type, and what it means. `cargo xtask generate` makes the view in template.yaml of it.
SELECT
  1 AS activity_id, -- integer
  CAST('Create' AS varchar) AS activity_name, -- varchar
  2 AS category_uid, -- integer
  CAST('Findings' AS varchar) AS category_name, -- varchar
  2004 AS class_uid, -- integer
  CAST('Detection Finding' AS varchar) AS class_name, -- varchar
  200401 AS type_uid, -- integer
  CAST('Detection Finding: Create' AS varchar) AS type_name, -- varchar
  date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', p_event_time) AS time,
  -- bigint: When the canary was touched, in milliseconds since 1970
  CASE lower(severity) WHEN 'info' THEN 1 WHEN 'low' THEN 2 WHEN 'medium' THEN 3 WHEN 'high' THEN 4
  WHEN 'critical' THEN 5 ELSE IF(severity IS NULL, 0, 99) END AS severity_id,
  -- integer: 1 Informational, 2 Low, 3 Medium, 4 High, 5 Critical, 0 not sent, 99 any other
  CASE lower(severity) WHEN 'info' THEN 'Informational' WHEN 'low' THEN 'Low' WHEN 'medium' THEN 'Medium'
  WHEN 'high' THEN 'High' WHEN 'critical' THEN 'Critical' ELSE coalesce(severity, 'Unknown') END AS severity,
  -- varchar
  message, -- varchar: The alert in one sentence for people
  CAST(ROW(
  '1.1.0',
  ARRAY['cloud'],
  CAST(ROW('Tracebit', 'Tracebit') AS ROW(name varchar, vendor_name varchar)),
  p_row_id,
  p_log_type,
  date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', p_parse_time))
  AS ROW(version varchar, profiles array(varchar), product ROW(name varchar, vendor_name varchar),
  uid varchar, log_name varchar, logged_time bigint)) AS metadata,
  -- row(version varchar, profiles array(varchar), product row(name varchar, vendor_name varchar), uid varchar, log_name varchar, logged_time bigint): Version of OCSF, product, and the record that the row is made of (uid is its p_row_id)
  CAST(ROW(
  alert_id,
  coalesce(message, canary.name, 'Tracebit alert'),
  tracebit_portal_url,
  IF(discriminator.subtype IS NULL, NULL, ARRAY[discriminator.subtype]))
  AS ROW(uid varchar, title varchar, src_url varchar, types array(varchar))) AS finding_info,
  -- row(uid varchar, title varchar, src_url varchar, types array(varchar)): The alert (uid is its alert_id)
  CAST(ROW(
  CASE provider WHEN 'aws' THEN 'AWS' WHEN 'azure' THEN 'Azure' WHEN 'google_cloud' THEN 'GCP'
  ELSE coalesce(provider, 'Unknown') END,
  canary.aws.region,
  IF(coalesce(canary.aws.account_id, canary.provider_account_id) IS NULL, NULL,
  CAST(ROW(
  coalesce(canary.aws.account_id, canary.provider_account_id),
  coalesce(canary.aws.account_name, canary.azure.subscription_name))
  AS ROW(uid varchar, name varchar))))
  AS ROW(provider varchar, region varchar, account ROW(uid varchar, name varchar))) AS cloud,
  -- row(provider varchar, region varchar, account row(uid varchar, name varchar)): The cloud and the account of the canary
  concat(
  IF(coalesce(canary.aws.arn, canary.azure.resource_id, canary.provider_id, canary.name) IS NULL,
  ARRAY[], ARRAY[CAST(ROW(
  coalesce(canary.aws.arn, canary.azure.resource_id, canary.provider_id, canary.name),
  canary.name,
  canary.type)
  AS ROW(uid varchar, name varchar, type varchar))]),
  transform(filter(coalesce(event.resources, ARRAY[]), r -> r.id IS NOT NULL),
  r -> CAST(ROW(r.id, r.id, r.type) AS ROW(uid varchar, name varchar, type varchar)))) AS resources,
  -- array(row(uid varchar, name varchar, type varchar)): The canary, and what else the event names
  IF(coalesce(principal.id, nullif(event.request.ip, ''), event.operation) IS NULL, ARRAY[],
  ARRAY[CAST(ROW(
  IF(principal.id IS NULL, NULL, CAST(ROW(CAST(ROW(
  principal.id,
  coalesce(principal.aws.username, principal.okta.alternate_id))
  AS ROW(uid varchar, name varchar)))
  AS ROW(user ROW(uid varchar, name varchar)))),
  IF(coalesce(event.request.ip, '') = '', NULL, CAST(ROW(
  IF(contains(coalesce(p_any_ip_addresses, ARRAY[]), lower(event.request.ip)), event.request.ip, NULL),
  IF(NOT contains(coalesce(p_any_ip_addresses, ARRAY[]), lower(event.request.ip)) AND regexp_like(event.request.ip,
  '^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?[.])+[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?$'), event.request.ip, NULL),
  event.request.ip)
  AS ROW(ip varchar, hostname varchar, name varchar))),
  IF(event.operation IS NULL, NULL, CAST(ROW(event.operation) AS ROW(operation varchar))))
  AS ROW(actor ROW(user ROW(uid varchar, name varchar)), src_endpoint ROW(ip varchar, hostname varchar, name varchar),
  api ROW(operation varchar)))]) AS evidences,
  -- array(row(actor row(user row(uid varchar, name varchar)), src_endpoint row(ip varchar, hostname varchar, name varchar), api row(operation varchar))): Who did what, from where
  concat(
  transform(coalesce(p_any_ip_addresses, ARRAY[]), v ->
  CAST(ROW('p_any_ip_addresses', 2, 'IP Address', v)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))),
  transform(coalesce(p_any_domain_names, ARRAY[]), v ->
  CAST(ROW('p_any_domain_names', 1, 'Hostname', v)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))),
  transform(coalesce(p_any_usernames, ARRAY[]), v ->
  CAST(ROW('p_any_usernames', 4, 'User Name', v)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))),
  transform(coalesce(p_any_emails, ARRAY[]), v ->
  CAST(ROW('p_any_emails', 5, 'Email Address', v)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))),
  transform(coalesce(p_any_aws_arns, ARRAY[]), v ->
  CAST(ROW('p_any_aws_arns', 10, 'Resource UID', v)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))),
  transform(coalesce(p_any_aws_instance_ids, ARRAY[]), v ->
  CAST(ROW('p_any_aws_instance_ids', 10, 'Resource UID', v)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))),
  transform(coalesce(p_any_aws_account_ids, ARRAY[]), v ->
  CAST(ROW('p_any_aws_account_ids', 99, 'AWS account', v)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))),
  transform(coalesce(p_any_actor_ids, ARRAY[]), v ->
  CAST(ROW('p_any_actor_ids', 99, 'Actor', v)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))),
  transform(filter(coalesce(p_any_trace_ids, ARRAY[]),
  v -> v <> coalesce(canary_credential.aws.access_key_id, '')), v ->
  CAST(ROW('p_any_trace_ids', 99, 'Event ID', v)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))),
  IF(canary_credential.aws.access_key_id IS NULL, ARRAY[], ARRAY[
  CAST(ROW('canary_credential.aws.access_key_id', 99, 'AWS access key',
  canary_credential.aws.access_key_id)
  AS ROW(name varchar, type_id integer, type varchar, value varchar))])) AS observables
  -- array(row(name varchar, type_id integer, type varchar, value varchar)): The indicators
FROM tracebit_alert
