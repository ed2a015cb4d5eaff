-- Fields and kinds of logs that Tracebit sent and the schema does not know
WITH known (path, json_path, names) AS (
  VALUES
    ('', '$', ARRAY['discriminator', 'id', 'alert_id', 'tracebit_portal_url', 'timestamp', 'provider',
      'message', 'severity', 'canary_credential', 'canary', 'principal', 'event']),
    ('discriminator.', '$.discriminator', ARRAY['type', 'subtype']),
    ('canary_credential.', '$.canary_credential', ARRAY['name', 'type', 'issued_at', 'expires_at',
      'labels', 'aws']),
    ('canary_credential.aws.', '$.canary_credential.aws', ARRAY['access_key_id']),
    ('canary.', '$.canary', ARRAY['tracebit_id', 'provider_id', 'provider_account_id', 'name',
      'type', 'deployed_at', 'aws', 'okta', 'azure']),
    ('canary.aws.', '$.canary.aws', ARRAY['account_id', 'account_name', 'arn', 'region']),
    ('canary.okta.', '$.canary.okta', ARRAY['domain', 'organization_id']),
    ('canary.azure.', '$.canary.azure', ARRAY['subscription_id', 'subscription_name',
      'resource_id']),
    ('principal.', '$.principal', ARRAY['id', 'aws', 'okta', 'azure', 'google_cloud']),
    ('principal.aws.', '$.principal.aws', ARRAY['arn', 'type', 'account_id', 'username']),
    ('principal.okta.', '$.principal.okta', ARRAY['id', 'type', 'alternate_id']),
    ('principal.azure.', '$.principal.azure', ARRAY['app_id', 'tenant_id']),
    ('principal.google_cloud.', '$.principal.google_cloud', ARRAY['federated_identity_type',
      'federated_identity_pool', 'federated_identity_subject']),
    ('event.', '$.event', ARRAY['id', 'operation', 'request', 'resources', 'outcome']),
    ('event.request.', '$.event.request', ARRAY['user_agent', 'ip']),
    ('event.request.user_agent.', '$.event.request.user_agent', ARRAY['raw', 'label']),
    ('event.outcome.', '$.event.outcome', ARRAY['result', 'code', 'message'])
),
sent AS (
  SELECT
    known.path,
    known.names,
    json_extract_scalar(record, '$.p_event_time') AS at,
    json_extract_scalar(record, '$.alert_id') AS alert_id,
    map_keys(CAST(json_extract(record, known.json_path) AS map(varchar, json))) AS keys
  FROM tracebit_alert_text
  CROSS JOIN known
)
SELECT
  path || field AS field,
  count(*) AS logs,
  min(at) AS first_seen,
  max(at) AS last_seen,
  max_by(alert_id, at) AS alert_id
FROM sent
CROSS JOIN UNNEST(keys) AS sent_field (field)
WHERE NOT contains(names, field) AND NOT (path = '' AND substr(field, 1, 2) = 'p_')
GROUP BY path || field
UNION ALL
SELECT
  'discriminator.subtype = ' || discriminator.subtype,
  count(*),
  date_format(min(p_event_time), '%Y-%m-%d %H:%i:%s'),
  date_format(max(p_event_time), '%Y-%m-%d %H:%i:%s'),
  max_by(alert_id, p_event_time)
FROM tracebit_alert
WHERE discriminator.subtype NOT IN ('canary_resource_accessed', 'canary_credential_used')
GROUP BY discriminator.subtype
ORDER BY last_seen DESC
