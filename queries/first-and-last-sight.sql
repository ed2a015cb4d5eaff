-- When CloudTrail first and last saw the principal, the access key and the address of one alert
--
-- And how much each did. Athena asks for the alert_id; give it in single quotes.
-- CloudTrail's table is large. Before you run this, add a filter on its partitions (timestamp or region, say).
WITH alert AS (
  SELECT
    principal.aws.arn AS arn,
    canary_credential.aws.access_key_id AS access_key,
    event.request.ip AS ip
  FROM tracebit_alert
  WHERE alert_id = ?
),
known AS (
  SELECT DISTINCT
    kind.what,
    CASE kind.what WHEN 'principal' THEN arn WHEN 'access key' THEN access_key ELSE ip END AS value
  FROM alert
  CROSS JOIN (VALUES 'principal', 'access key', 'address') AS kind (what)
)
SELECT
  known.what,
  known.value,
  min(trail.eventtime) AS first_seen,
  max(trail.eventtime) AS last_seen,
  count(DISTINCT trail.eventid) AS events,
  count(DISTINCT trail.eventname) AS operations
FROM ${CloudTrailTable} trail
JOIN known ON known.value = CASE known.what
  WHEN 'principal' THEN trail.useridentity.arn
  WHEN 'access key' THEN trail.useridentity.accesskeyid
  ELSE trail.sourceipaddress
END
GROUP BY known.what, known.value
ORDER BY first_seen, what
