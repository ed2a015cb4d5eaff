-- The events of one alert as CloudTrail recorded them, with their parameters and outcome
--
-- Athena asks for the alert_id; give it in single quotes.
-- Tracebit's event.id is CloudTrail's eventid. CloudTrail has reads of objects only if it records data events.
-- CloudTrail's table is large. Before you run this, add a filter on its partitions (timestamp or region, say).
WITH alert AS (
  SELECT DISTINCT event.id AS event_id FROM tracebit_alert WHERE alert_id = ?
)
SELECT DISTINCT
  trail.eventtime,
  trail.eventsource,
  trail.eventname,
  trail.awsregion,
  trail.sourceipaddress,
  trail.useragent,
  trail.useridentity.type AS identity_type,
  trail.useridentity.arn AS arn,
  trail.useridentity.accesskeyid AS access_key,
  trail.errorcode,
  trail.requestparameters,
  trail.responseelements,
  trail.eventid
FROM alert
JOIN ${CloudTrailTable} trail ON trail.eventid = alert.event_id
ORDER BY trail.eventtime
