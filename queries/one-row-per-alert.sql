-- One row per alert of the last 90 days, with its logs combined, the last active first
--
-- To look further back, write a larger number of days after INTERVAL.
-- Logs are counted by p_row_id, because a log that is delivered again in another batch can be stored twice.
SELECT
  alert_id,
  max_by(severity, p_event_time) AS severity,
  min(p_event_time) AS first_seen,
  max(p_event_time) AS last_seen,
  count(DISTINCT p_row_id) AS logs,
  max_by(message, p_event_time) AS message,
  array_join(array_agg(DISTINCT canary.name), ', ') AS canaries,
  array_join(array_agg(DISTINCT principal.id), ', ') AS principals,
  array_join(array_agg(DISTINCT event.request.ip), ', ') AS ips,
  max_by(tracebit_portal_url, p_event_time) AS tracebit_portal_url
FROM tracebit_alert
WHERE day >= date_format(current_date - INTERVAL '90' DAY, '%Y-%m-%d')
GROUP BY alert_id
ORDER BY last_seen DESC
