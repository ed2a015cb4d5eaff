-- Signed payloads that fit no schema, by error
--
-- Of the last 30 days. A payload that was delivered again is one payload.
-- To look further back, write a larger number of days after INTERVAL.
SELECT
  error,
  log_type,
  count(DISTINCT p_row_id) AS payloads,
  count(*) AS deliveries,
  min(p_parse_time) AS first_seen,
  max(p_parse_time) AS last_seen,
  max_by(substr(payload, 1, 200), p_parse_time) AS latest_payload
FROM classification_failures
WHERE day >= date_format(current_date - INTERVAL '30' DAY, '%Y-%m-%d')
GROUP BY error, log_type
ORDER BY payloads DESC, last_seen DESC
