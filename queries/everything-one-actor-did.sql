-- Every log that names one IP address, ARN, account, principal, user, e-mail address, access key or event
--
-- Oldest first, since 2024. Athena asks for the value, to be given in single quotes: an IP address, an ARN, an account,
-- a principal's id, a user name, an e-mail address, an access key, or the id of an event.
-- This lists every day of the lake. To look at some days alone, add: AND day BETWEEN '2026-03-01' AND '2026-03-31'
SELECT
  p_event_time,
  severity,
  event.operation AS operation,
  canary.name AS canary,
  principal.id AS principal,
  event.request.ip AS ip,
  event.request.user_agent.raw AS user_agent,
  message,
  alert_id,
  p_row_id
FROM (
  SELECT *, row_number() OVER (PARTITION BY p_row_id ORDER BY p_parse_time) AS delivery
  FROM tracebit_alert
  WHERE contains(flatten(ARRAY[
      coalesce(p_any_ip_addresses, ARRAY[]),
      coalesce(p_any_domain_names, ARRAY[]),
      coalesce(p_any_aws_account_ids, ARRAY[]),
      coalesce(p_any_aws_arns, ARRAY[]),
      coalesce(p_any_aws_instance_ids, ARRAY[]),
      coalesce(p_any_actor_ids, ARRAY[]),
      coalesce(p_any_usernames, ARRAY[]),
      coalesce(p_any_emails, ARRAY[]),
      coalesce(p_any_trace_ids, ARRAY[])
    ]), ?)
)
WHERE delivery = 1
ORDER BY day, p_event_time
