-- Alerts and logs per day, by severity
--
-- For the last 90 days. An alert counts on each day that it was active.
-- To look further back, write a larger number of days after INTERVAL.
SELECT
  day,
  severity,
  count(DISTINCT alert_id) AS alerts,
  count(DISTINCT p_row_id) AS logs
FROM tracebit_alert
WHERE day >= date_format(current_date - INTERVAL '90' DAY, '%Y-%m-%d')
GROUP BY day, severity
ORDER BY day DESC, severity
