-- The longest silences between health checks
--
-- In the last 30 days, including the silence up to now.
-- To look further back, write a larger number of days after INTERVAL.
-- Tracebit publishes no interval, so none is assumed: a gap stands out by its length. A health check whose event
-- time is not on its day has a wrong clock, so the time of its receipt counts.
WITH heard AS (
  SELECT
    CASE WHEN day = date_format(p_event_time, '%Y-%m-%d') THEN p_event_time ELSE p_parse_time END AS heard_at
  FROM tracebit_healthcheck
  WHERE day >= date_format(current_date - INTERVAL '30' DAY, '%Y-%m-%d')
  UNION ALL
  SELECT localtimestamp AS heard_at
),
silences AS (
  SELECT lag(heard_at) OVER (ORDER BY heard_at) AS silent_from, heard_at AS silent_until
  FROM heard
)
SELECT silent_from, silent_until, date_diff('minute', silent_from, silent_until) AS minutes
FROM silences
ORDER BY silent_from IS NULL, minutes DESC
LIMIT 20
