-- Logs of alerts of the last 30 days, newest first
--
-- To look further back, write a larger number of days after INTERVAL.
SELECT
  p_event_time,
  severity,
  message,
  canary.name AS canary,
  principal.id AS principal,
  event.operation AS operation,
  event.request.ip AS ip,
  alert_id,
  tracebit_portal_url,
  p_row_id
FROM (
  SELECT *, row_number() OVER (PARTITION BY p_row_id ORDER BY p_parse_time) AS delivery
  FROM tracebit_alert
  WHERE day >= date_format(current_date - INTERVAL '30' DAY, '%Y-%m-%d')
)
WHERE delivery = 1
ORDER BY day DESC, p_event_time DESC
LIMIT 100
