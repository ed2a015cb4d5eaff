-- Everything that the principal, the access key or the address of one alert did a day before and after
--
-- Oldest first, from a day before each log of the alert to a day after it. Athena asks for the alert_id; give it in
-- single quotes.
-- CloudTrail's table is large. Before you run this, add a filter on its partitions (timestamp or region, say).
WITH alert AS (
  SELECT
    principal.aws.arn AS arn,
    canary_credential.aws.access_key_id AS access_key,
    event.request.ip AS ip,
    date_format(p_event_time - INTERVAL '1' DAY, '%Y-%m-%dT%H:%i:%sZ') AS since,
    date_format(p_event_time + INTERVAL '1' DAY, '%Y-%m-%dT%H:%i:%sZ') AS until
  FROM tracebit_alert
  WHERE alert_id = ?
)
SELECT DISTINCT
  trail.eventtime,
  trail.eventsource,
  trail.eventname,
  trail.awsregion,
  trail.useridentity.arn AS arn,
  trail.useridentity.accesskeyid AS access_key,
  trail.sourceipaddress,
  trail.useragent,
  trail.errorcode,
  trail.requestparameters,
  trail.eventid
FROM ${CloudTrailTable} trail
JOIN alert ON
  trail.eventtime BETWEEN alert.since AND alert.until
  AND (
    trail.useridentity.arn = alert.arn
    OR trail.useridentity.accesskeyid = alert.access_key
    OR trail.sourceipaddress = alert.ip
  )
ORDER BY trail.eventtime
