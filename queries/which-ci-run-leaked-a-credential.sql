-- The CI run, or the other place, that each used credential was issued to
--
-- The latest use first. For a credential that Tracebit's GitHub Action issued, this names the repository, the workflow
-- and the run, and links to the run.
WITH used AS (
  SELECT
    *,
    element_at(filter(canary_credential.labels, label -> label.name = 'github.repo'), 1).value AS repository,
    element_at(filter(canary_credential.labels, label -> label.name = 'github.workflow'), 1).value AS workflow,
    element_at(filter(canary_credential.labels, label -> label.name = 'github.run_id'), 1).value AS run_id
  FROM tracebit_alert
  WHERE canary_credential.name IS NOT NULL OR canary_credential.aws.access_key_id IS NOT NULL
)
SELECT
  alert_id,
  canary_credential.name AS credential,
  canary_credential.aws.access_key_id AS access_key,
  repository,
  workflow,
  run_id,
  'https://github.com/' || repository || '/actions/runs/' || run_id AS run,
  array_join(transform(canary_credential.labels, label -> label.name || '=' || label.value), ', ') AS labels,
  canary_credential.issued_at AS issued_at,
  p_event_time AS used_at,
  event.operation AS operation,
  event.request.ip AS ip
FROM used
ORDER BY p_event_time DESC
LIMIT 100
