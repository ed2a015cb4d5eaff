//! What a message says of each kind of alert and of principal. `docs/notifications.md` shows three of them.

use serde_json::{Value, json};

use super::{alert_of, setup::Setup};

const DECOY: &str = "This is a decoy. Treat it as an intrusion until the owner confirms.";
const CREDENTIAL: &str =
    "The credential is a decoy without permissions. Whoever used it has been where it was planted.";
const PORTAL: &str = "Open Tracebit's portal and look for the alert. This log has no link that leads there.";
/// The steps after the use of a credential. None is about the identity, which is the credential itself.
const PLANTED: [&str; 2] = [
    "Isolate the place where the credential was planted. Somebody has read it there.",
    "Rotate every other secret that could be read in that place.",
];
/// Where the record is. The alert's condition follows.
const PLACES: &str = "Athena, workgroup responders: https://console.aws.amazon.com/athena/home?region=us-east-1#/query-editor\n\
                      SELECT * FROM \"security_lake\".\"tracebit_alert\" WHERE day >= '2026-11-22' AND alert_id = '";
const AUDIT_LOG: &str = "find the identity in the platform's audit log, and disable it.";

/// A kind of alert, and what people read of it.
struct Kind {
    name: &'static str,
    /// The members in which its log differs from `alert()`.
    log: Value,
    subject: String,
    /// The lines before `Do now`, apart from the time.
    lines: Vec<String>,
    /// All but the last step, which leads to the portal.
    steps: [String; 2],
}

/// The kinds of principals that touched the bucket `backups`.
fn principals() -> Vec<Kind> {
    let by = |arn: &str| json!({"id": "AIDAEXAMPLE", "aws": {"arn": arn}});
    // The kind; the principal; its shortest name; what it is; its owner; what stops it.
    let table = [
        (
            "the session of a role",
            by("arn:aws:sts::210987654321:assumed-role/Deployer/ci-7"),
            "ci-7",
            "role session Deployer/ci-7",
            "the owner of role Deployer (whoever assumes a role chooses the session's name)",
            "IAM > Roles > Deployer > Revoke sessions.",
        ),
        (
            "an IAM user",
            by("arn:aws:iam::210987654321:user/ops/rosa"),
            "rosa",
            "IAM user rosa",
            "the owner of IAM user rosa",
            "IAM > Users > rosa > deactivate the access keys and the console password.",
        ),
        (
            "the root user",
            by("arn:aws:iam::210987654321:root"),
            "root",
            "root user of account 210987654321",
            "the owner of account 210987654321",
            "reset the root user's password and MFA device, and delete its access keys.",
        ),
        (
            "a user of Identity Center",
            by("arn:aws:sts::210987654321:assumed-role/AWSReservedSSO_Support_0123456789abcdef/rosa@acme.example"),
            "rosa[@]acme[.]example",
            "Identity Center user rosa[@]acme[.]example with permission set Support",
            "the owner of Identity Center user rosa[@]acme[.]example with permission set Support",
            "IAM Identity Center > Users > rosa[@]acme[.]example > disable access and end the sessions.",
        ),
        (
            "a federated user",
            by("arn:aws:sts::210987654321:federated-user/rosa"),
            "rosa",
            "federated user rosa",
            "the owner of federated user rosa",
            "IAM > deny everything to the user who called GetFederationToken, and rotate that user's keys.",
        ),
        (
            "a user of Okta",
            json!({"id": "00u9", "okta": {"id": "00u9", "alternate_id": "rosa@acme.example"}}),
            "rosa[@]acme[.]example",
            "Okta user rosa[@]acme[.]example",
            "the owner of Okta user rosa[@]acme[.]example",
            "Okta > Directory > People > rosa[@]acme[.]example > clear the sessions, then suspend.",
        ),
        (
            "an application of Azure",
            json!({"id": "5d0c", "azure": {"app_id": "7c1e", "tenant_id": "2b4f"}}),
            "7c1e",
            "Entra application 7c1e",
            "the owner of Entra application 7c1e",
            "Entra > Enterprise applications > 7c1e > block sign-in, and remove its secrets.",
        ),
        (
            "a workload of Google Cloud",
            json!({"google_cloud": {"federated_identity_subject": "repo:acme/site"}}),
            "repo:acme/site",
            "federated workload repo:acme/site",
            "the owner of federated workload repo:acme/site",
            "IAM & Admin > Workload Identity Federation > disable the provider that this subject used.",
        ),
        (
            "a principal of a kind that no page lists",
            json!({"id": "ci/runner-7", "kubernetes": {"namespace": "ci"}}),
            "ci/runner-7",
            "ci/runner-7",
            "the owner of ci/runner-7",
            AUDIT_LOG,
        ),
        ("no principal", json!(null), "", "", "the owner of the canary's account", AUDIT_LOG),
    ];
    let kinds = table.map(|(name, principal, short, who, owner, stop)| {
        let labelled = |label: &str, value: &str| (!value.is_empty()).then(|| format!("{label}{value}"));
        let lines = [
            Some("What: GetObject on backups (s3_bucket)".to_owned()),
            labelled("Who: ", who),
            Some("From: 192.0.2.1".to_owned()),
            Some(DECOY.to_owned()),
        ];
        let by = labelled(" by ", short).unwrap_or_default();
        Kind {
            name,
            log: json!({"principal": principal}),
            subject: format!("Tracebit HIGH: GetObject on backups{by} from 192.0.2.1"),
            lines: lines.into_iter().flatten().collect(),
            steps: [ask(owner), format!("If no: {stop}")],
        }
    });
    kinds.into()
}

fn ask(owner: &str) -> String {
    format!(
        "Ask {owner} on a channel that the intruder cannot read: \"Did you just do this?\" No answer in 5 minutes means \
         no."
    )
}

fn kind(name: &'static str, log: Value, subject: &str, lines: &[&str], steps: [String; 2]) -> Kind {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    Kind { name, log, subject: subject.to_owned(), lines, steps }
}

/// The kinds of severities and of canaries, some of which no page lists.
fn alerts() -> Vec<Kind> {
    let admin = "Who: role session Admin/alice[@]example[.]com";
    let asked = || {
        let owner = "the owner of role Admin (whoever assumes a role chooses the session's name)";
        [ask(owner), "If no: IAM > Roles > Admin > Revoke sessions.".to_owned()]
    };
    let read = "What: GetObject on backups (s3_bucket)";
    let from = "From: 192.0.2.1";
    vec![
        kind(
            "a severity that is missing",
            json!({"severity": null}),
            "Tracebit alert, severity unknown: GetObject on backups by alice[@]example[.]com from 192.0.2.1",
            &[read, admin, from, DECOY],
            asked(),
        ),
        kind(
            "a severity that nobody knows",
            json!({"severity": "Urgent"}),
            "Tracebit alert, severity unknown: GetObject on backups by alice[@]example[.]com from 192.0.2.1",
            &[read, admin, from, DECOY],
            asked(),
        ),
        kind(
            "an event with its outcome",
            json!({"event": {"operation": "GetObject", "outcome": {"result": "Failure"}}, "severity": "medium"}),
            "Tracebit MEDIUM: GetObject on backups by alice[@]example[.]com",
            &["What: GetObject on backups (s3_bucket). Result: Failure", admin, DECOY],
            asked(),
        ),
        kind(
            "a canary that only the event names",
            json!({
                "canary": null,
                "event": {"operation": "GetItem", "resources": [{"id": "orders", "type": "AWS::DynamoDB::Table"}]},
            }),
            "Tracebit HIGH: GetItem on orders by alice[@]example[.]com",
            &["What: GetItem on orders (AWS::DynamoDB::Table)", admin, DECOY],
            asked(),
        ),
        kind(
            "a canary of a kind that no page lists",
            json!({
                "provider": "kubernetes",
                "canary": {"name": "payments-db", "type": "kubernetes_secret", "cluster": "prod"},
                "event": {"operation": "get", "request": {"ip": "2001:db8::7"}},
            }),
            "Tracebit HIGH: get on payments-db by alice[@]example[.]com from 2001:db8::7",
            &["What: get on payments-db (kubernetes_secret)", admin, "From: 2001:db8::7", DECOY],
            asked(),
        ),
        kind(
            "a sensor without an operation",
            json!({"canary": {"name": "edge-7", "type": "perimeter_sensor"}, "event": {"request": {"ip": "192.0.2.9"}}}),
            "Tracebit HIGH: edge-7 touched by alice[@]example[.]com from 192.0.2.9",
            &["What: edge-7 (perimeter_sensor) was touched", admin, "From: 192.0.2.9", DECOY],
            asked(),
        ),
        kind(
            "an alert that says nothing",
            json!({"canary": null, "event": null, "principal": null, "message": null, "provider": null}),
            "Tracebit HIGH: a canary was touched",
            &["What: a canary was touched", DECOY],
            [ask("the owner of the canary's account"), format!("If no: {AUDIT_LOG}")],
        ),
    ]
}

/// The kinds of planted credentials that were used, some of which no page lists.
fn credentials() -> Vec<Kind> {
    let planted = || PLANTED.map(str::to_owned);
    let mut kinds = vec![
        kind(
            "a planted credential of AWS",
            json!({
                "canary": null,
                "canary_credential": {
                    "name": "laptop of rosa",
                    "type": "aws_temporary_security_credentials",
                    "labels": [{"name": "source", "value": "laptop-17"}, {"name": "source_type", "value": "endpoint"}],
                },
                "event": {"operation": "GetCallerIdentity", "request": {"ip": "192.0.2.146"}},
            }),
            "Tracebit HIGH: planted credential \"laptop of rosa\" used, GetCallerIdentity from 192.0.2.146",
            &[
                "What: planted credential laptop of rosa (aws_temporary_security_credentials) was used: \
                 GetCallerIdentity",
                "Who: role session Admin/alice[@]example[.]com",
                "From: 192.0.2.146",
                "Planted in: source=laptop-17, source_type=endpoint",
                CREDENTIAL,
            ],
            planted(),
        ),
        kind(
            "a planted credential without a name",
            json!({"canary": null, "canary_credential": {}, "event": null, "principal": null}),
            "Tracebit HIGH: planted credential used",
            &["What: planted credential was used", CREDENTIAL],
            planted(),
        ),
    ];
    kinds.extend(["ssh", "gitlab-cookie", "npm-token", "e-mail"].map(|of| Kind {
        name: "a planted credential of a kind that no page lists",
        log: json!({"canary": null, "canary_credential": {"name": "runner", "type": of}, "principal": null}),
        subject: "Tracebit HIGH: planted credential \"runner\" used, GetObject from 192.0.2.1".to_owned(),
        lines: vec![
            format!("What: planted credential runner ({of}) was used: GetObject"),
            "From: 192.0.2.1".to_owned(),
            CREDENTIAL.to_owned(),
        ],
        steps: planted(),
    }));
    kinds
}

/// The log of a kind, whose alert is `alert_id`. Its link does not lead to Tracebit.
fn log_of(kind: &Kind, alert_id: &str) -> Value {
    let mut log = alert_of(alert_id, alert_id);
    for (name, value) in kind.log.as_object().unwrap() {
        log[name] = value.clone();
    }
    log
}

#[tokio::test]
async fn each_kind_has_its_subject_its_lines_and_its_steps() {
    let kinds: Vec<_> = [principals(), alerts(), credentials()].into_iter().flatten().collect();
    let setup = Setup::with_env(&[
        ("ATHENA_DATABASE", "security_lake"),
        ("ATHENA_WORKGROUP", "responders"),
        ("RUNBOOK_URL", "https://acme.example/runbook"),
        ("STACK_NAME", "canaries"),
    ])
    .await;
    let logs: Vec<_> = kinds.iter().enumerate().map(|(n, kind)| log_of(kind, &format!("alert-{n}"))).collect();
    setup.publish(&logs).await;
    let (emails, chats) = (setup.emails(), setup.chats());
    assert_eq!((emails.len(), chats.len()), (kinds.len(), kinds.len()));
    for (n, Kind { name, subject, lines, steps, .. }) in kinds.iter().enumerate() {
        let condition = format!("alert_id = 'alert-{n}'\n");
        let email = emails.iter().find(|email| email.text("email").contains(&condition)).unwrap();
        assert_eq!(email.subject.as_deref(), Some(subject.as_str()), "{name}");
        assert!(subject.len() <= 99 && subject.is_ascii(), "{name}");
        assert_eq!(email.text("sms"), *subject, "{name}");

        let text = email.text("email");
        let (first, rest) = text.split_once("\n\nDo now\n").unwrap();
        assert_eq!(without_time(first), *lines, "{name}");
        let (numbered, more) = rest.split_once("\nMore\n").unwrap();
        let expected = format!("1. {}\n2. {}\n3. {PORTAL}\n", steps[0], steps[1]);
        assert_eq!(numbered, expected, "{name}");
        assert!(
            more.contains(PLACES)
                && more.contains("\nStack: canaries, account 123456789012\nRunbook: https://acme.example/runbook\n"),
            "{more}"
        );

        // Chat has the same in its own form, and no SQL.
        let chat = chats.iter().find(|chat| chat["metadata"]["threadId"] == format!("alert-{n}")).unwrap();
        let content = &chat["content"];
        assert_eq!(content["title"], *subject, "{name}");
        let description = content["description"].as_str().unwrap();
        assert_eq!(without_time(description), *lines, "{name}");
        assert_eq!(content["nextSteps"], json!([steps[0], steps[1], PORTAL]), "{name}");
        assert!(!chat.to_string().contains("SELECT"), "{name}");
    }
}

/// The lines of a text but for `When`, which each must have.
fn without_time(text: &str) -> Vec<&str> {
    let (when, others): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("When: "));
    assert!(matches!(when[..], [when] if when.starts_with("When: 2026-11-22 09:59:59 UTC, received ")), "{text}");
    others
}

#[tokio::test]
async fn the_longest_value_is_cut_and_the_address_never() {
    let setup = Setup::start().await;
    let mut log = alert_of("log-1", "alert-1");
    log["canary"]["name"] = json!(format!("payroll-{}-exports", "x".repeat(300)));
    log["event"]["request"]["ip"] = json!("2001:db8:1111:2222:3333:4444:5555:6666");
    setup.publish(&[log]).await;
    let [email] = setup.emails().try_into().unwrap();
    let (subject, sms) = (email.subject.clone().unwrap(), email.text("sms"));
    for (text, length) in [(&subject, 99), (&sms, 140)] {
        assert_eq!(text.len(), length, "{text}");
        assert!(text.starts_with("Tracebit HIGH: GetObject on payr"), "{text}");
        assert!(text.ends_with(" from 2001:db8:1111:2222:3333:4444:5555:6666"), "{text}");
    }
}

#[tokio::test]
async fn an_alert_in_an_unknown_format_has_the_steps_that_read_it() {
    let setup = Setup::start().await;
    let mut log = alert_of("log-1", "alert-1");
    log["canary"]["name"] = json!(["backups"]);
    setup.publish(&[log]).await;
    let subject = "Tracebit alert in a format that this lake does not know";
    let [email] = setup.emails().try_into().unwrap();
    assert_eq!((email.subject.as_deref(), email.text("sms").as_str()), (Some(subject), subject));
    let steps = [
        PORTAL,
        "Read the record: the SQL in the e-mail finds it.",
        "If Tracebit changed its format, upgrade this lake, as its page Operate says under classification-failures.",
    ];
    let text = email.text("email");
    let numbered = format!("\nDo now\n1. {}\n2. {}\n3. {}\n\nMore\n", steps[0], steps[1], steps[2]);
    let problem = "(s3_bucket)\nProblem: canary[.]name: expected string, found array\nWho: role session Admin/";
    assert!(text.contains(problem) && text.contains(&numbered), "{text}");
    let [chat] = setup.chats().try_into().unwrap();
    assert_eq!((&chat["content"]["title"], &chat["content"]["nextSteps"]), (&json!(subject), &json!(steps)));
}
