//! What fails is named, and everything else is looked at all the same.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tracebit_lake_harness::{
    Fault, secrets_manager,
    secrets_manager::SecretsManager,
    tracebit_api::{TOKEN, TracebitApi},
};

use super::{
    HOURS, MINUTES,
    chain::{Chain, ago, api_log, delivered_log, listed},
};
use crate::support::{ALERTS, alert};

const SHORT: Duration = Duration::from_secs(4);

/// The problems of a round in which nothing but the list has any, and the rest is looked at.
async fn problems_of_list(chain: &Chain) -> (Value, String) {
    let answer = chain.round_within(SHORT).await;
    for name in ["unpublished", "alert_subscribers", "alarm_subscribers"] {
        assert!(answer[name].is_u64(), "{name} in {answer}");
    }
    let problems: Vec<_> = answer["problems"].as_array().unwrap().iter().map(|all| all.as_str().unwrap()).collect();
    assert!(!problems.is_empty() && problems.iter().all(|problem| problem.starts_with("listed: ")), "{answer}");
    let problems = problems.join("\n");
    let output = chain.watcher.output();
    assert!(!problems.contains(TOKEN) && !output.contains(TOKEN), "{output}");
    assert!(problems.lines().all(|problem| output.contains(&json!(problem).to_string())), "{problems} in {output}");
    (answer, problems)
}

#[tokio::test]
async fn whatever_the_api_answers_in_place_of_its_list_is_named() {
    let chain = Chain::start().await;
    let elsewhere = TracebitApi::start().await;
    let location = format!("{}/api/v1/alerts", elsewhere.endpoint());
    for (status, headers, body, problem) in [
        (
            401,
            &[][..],
            "no",
            "failed: 401 Unauthorized: the token is refused; it needs the permissions alerts:all:list",
        ),
        (403, &[], "no", "failed: 403 Forbidden: the token is refused"),
        (404, &[], "no", "check TRACEBIT_API_URL"),
        (302, &[("location", location.as_str())], "", "a redirect, which is not followed"),
        (308, &[("location", location.as_str())], "", "a redirect, which is not followed"),
        (429, &[("retry-after", "3600")], "", "failed: 429 Too Many Requests"),
        (503, &[("retry-after", "Fri, 31 Dec 2100 00:00:00 GMT")], "", "failed: 503 Service Unavailable"),
        (200, &[], "<html>Sign in</html>", "the answer is not the JSON that was expected"),
        (200, &[], "{\"alerts\":{}}", "the answer is not the JSON that was expected"),
        (200, &[], "", "the answer is not the JSON that was expected"),
        (204, &[], "", "an unexpected status"),
    ] {
        chain.api.answer_next(status, headers, body);
        let (answer, problems) = problems_of_list(&chain).await;
        assert!(problems.contains(problem), "{status}: {problem} in {problems}");
        assert!(!problems.contains("html"), "{problems}");
        assert_eq!((&answer["listed"], &answer["missing"]), (&json!(null), &json!(null)), "{answer}");
    }
    assert!(elsewhere.requests().is_empty(), "the token went to another host");
    assert_eq!(chain.good_round().await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let chain = Chain::start().await;
    chain.api.add(listed("alert-1", HOURS), vec![api_log("log-1", "alert-1", HOURS)]);
    chain.api.answer_next(429, &[("retry-after", "1")], "");
    chain.api.answer_next(429, &[], "");
    for status in [500, 502, 503, 504] {
        chain.api.answer_next(status, &[], "");
    }
    let begun = std::time::Instant::now();
    assert_eq!(chain.good_round().await, [1, 1, 1, 0]);
    assert!(begun.elapsed() >= Duration::from_secs(1), "Retry-After is obeyed");
    for fault in [Fault::Reset, Fault::ResetInRequest, Fault::ResetInAnswer, Fault::LoseAnswer] {
        chain.api.fail_next(1, fault);
        assert_eq!(chain.good_round().await, [1, 0, 0, 0], "{fault:?}");
    }
}

#[tokio::test]
async fn an_api_that_hangs_or_is_away_costs_its_link_alone() {
    let chain = Chain::start().await;
    chain.deliver_unheard(&[alert()], MINUTES).await;
    for fault in [Fault::Hang, Fault::Drip(Duration::from_secs(1)), Fault::Status { status: 500, code: "Broken" }] {
        chain.api.fail_always(fault);
        let (answer, _) = problems_of_list(&chain).await;
        assert_eq!(answer["unpublished"], 1, "{answer}");
        chain.api.heal();
    }
    chain.api.stop().await;
    problems_of_list(&chain).await;
    chain.api.resume();
    assert_eq!(chain.good_round().await, [0, 0, 0, 1]);
}

#[tokio::test]
async fn a_next_page_that_leads_astray_is_not_followed() {
    let chain = Chain::start().await;
    let elsewhere = TracebitApi::start().await;
    chain.api.add(listed("alert-1", HOURS), vec![api_log("log-1", "alert-1", HOURS)]);
    let list = json!({"alerts": [listed("alert-1", HOURS)]}).to_string();
    let host = chain.api.endpoint().replace("http://", "");
    for (next, problem) in [
        (format!("{}/api/v1/alerts/alert-1/logs", elsewhere.endpoint()), "on another host"),
        (format!("http://{host}@{}/", elsewhere.endpoint().replace("http://", "")), "on another host"),
        (format!("https://{host}/api/v1/alerts/alert-1/logs"), "on another host"),
        ("/api/v1/alerts/alert-1/logs".to_owned(), "leads back to a page that was read"),
        ("http://[".to_owned(), "next_page is not a URL"),
    ] {
        chain.api.answer_next(200, &[], &list);
        chain.api.answer_next(200, &[], &json!({"logs": [], "next_page": next}).to_string());
        let (answer, problems) = problems_of_list(&chain).await;
        assert!(problems.contains(problem), "{problem} in {problems}");
        assert_eq!((&answer["missing"], &answer["stored"]), (&json!(1), &json!(0)), "{answer}");
    }
    // The logs before such a page are stored all the same.
    let page = json!({"logs": [api_log("log-0", "alert-1", HOURS)], "next_page": elsewhere.endpoint()}).to_string();
    chain.api.answer_next(200, &[], &list);
    chain.api.answer_next(200, &[], &page);
    let (answer, _) = problems_of_list(&chain).await;
    assert_eq!((&answer["missing"], &answer["stored"]), (&json!(1), &json!(1)), "{answer}");
    assert!(elsewhere.requests().is_empty(), "the token went to another host");
    assert_eq!(chain.good_round().await, [1, 0, 1, 0]);
}

#[tokio::test]
async fn a_list_that_does_not_cover_the_days_is_said() {
    let chain = Chain::start().await;
    for n in 0..1000 {
        chain.api.add(listed(&format!("alert-{n}"), TimeDelta::minutes(30)), vec![]);
    }
    let (answer, problems) = problems_of_list(&chain).await;
    assert!(problems.contains("1000 alerts do not cover the last 7 days"), "{problems}");
    assert_eq!((&answer["listed"], &answer["missing"]), (&json!(1000), &json!(0)), "{answer}");
}

#[tokio::test]
async fn a_thousand_alerts_that_cover_the_days_are_no_problem() {
    let chain = Chain::start().await;
    for n in 0..1000 {
        let days = if n < 999 { 1 } else { 9 };
        chain.api.add(listed(&format!("alert-{n}"), TimeDelta::minutes(days * 24 * 60)), vec![]);
    }
    let logs: Vec<_> =
        (0..999).map(|n| delivered_log(&format!("log-{n}"), &format!("alert-{n}"), TimeDelta::days(1))).collect();
    for logs in logs.chunks(400) {
        chain.setup.publish(logs).await;
    }
    assert_eq!(chain.good_round().await, [999, 0, 0, 0]);
}

#[tokio::test]
async fn an_entry_that_is_no_alert_hides_no_other() {
    let chain = Chain::start().await;
    chain.api.add(listed("alert-1", HOURS), vec![api_log("log-1", "alert-1", HOURS)]);
    let long = listed(&"x".repeat(201), HOURS);
    for odd in [json!({"id": 7}), json!("alert"), json!({"id": "a", "start_time": "soon"}), long] {
        chain.api.add(odd, vec![]);
    }
    let (answer, problems) = problems_of_list(&chain).await;
    assert!(problems.contains("4 entries of the list are not alerts that can be read"), "{problems}");
    assert_eq!([&answer["listed"], &answer["missing"], &answer["stored"]], [1, 1, 1], "{answer}");
}

#[tokio::test]
async fn odd_ids_stay_in_their_place() {
    let chain = Chain::start().await;
    for id in ["..", "a/../../admin", "a?b=c#d", "\"quoted\""] {
        chain.api.add(listed(id, HOURS), vec![]);
    }
    problems_of_list(&chain).await;
    let asked: Vec<_> = chain.api.requests().into_iter().map(|asked| asked.path).collect();
    assert!(
        asked.iter().skip(1).all(|path| path.starts_with("/api/v1/alerts/") && path.ends_with("/logs")),
        "{asked:?}"
    );
    assert!(asked.iter().all(|path| path.matches('/').count() <= 5), "{asked:?}");
}

#[tokio::test]
async fn an_alert_without_logs_is_named_and_looked_for_again() {
    let chain = Chain::start().await;
    chain.api.add(listed("alert-1", HOURS), vec![]);
    let (answer, problems) = problems_of_list(&chain).await;
    assert!(problems.contains("alert \"alert-1\" is not in the lake and lists no log"), "{problems}");
    assert_eq!(answer["missing"], 1);
    chain.api.add(json!({"id": "alert-1", "start_time": ago(HOURS)}), vec![api_log("log-1", "alert-1", HOURS)]);
    assert_eq!(chain.good_round().await, [1, 1, 1, 0]);
}

#[tokio::test]
async fn a_lake_that_cannot_be_read_hides_no_other_link() {
    let chain = Chain::start().await;
    chain.api.add(listed("alert-9", HOURS), vec![api_log("log-1", "alert-9", HOURS)]);
    chain.deliver_unheard(&[alert()], MINUTES).await;
    for fault in [Fault::Status { status: 403, code: "AccessDenied" }, Fault::Hang] {
        chain.setup.lake.s3.fail_reads(1000, fault);
        let answer = chain.round_within(SHORT).await;
        assert_eq!((&answer["listed"], &answer["alert_subscribers"]), (&json!(1), &json!(1)), "{answer}");
        for name in ["missing", "stored", "unpublished"] {
            assert_eq!(answer[name], json!(null), "{name} in {answer}");
        }
        let problems = answer["problems"].to_string();
        assert!(problems.contains("published: ") && problems.contains("listed: "), "{answer}");
        chain.setup.lake.s3.heal_reads();
    }
    assert_eq!(chain.good_round().await, [1, 1, 1, 1]);
}

#[tokio::test]
async fn what_was_stored_in_part_is_completed_in_the_next_round() {
    let chain = Chain::start().await;
    let logs = (1..=4).map(|n| api_log(&format!("log-{n}"), "alert-1", HOURS)).collect();
    chain.api.add(listed("alert-1", HOURS), logs);
    chain.setup.lake.s3.fail_next(3, Fault::Status { status: 403, code: "AccessDenied" });
    let (answer, problems) = problems_of_list(&chain).await;
    assert_eq!((&answer["missing"], &answer["stored"]), (&json!(1), &json!(1)), "{answer}");
    assert!(problems.contains("is not in the lake whole"), "{problems}");
    assert_eq!(chain.good_round().await, [1, 0, 3, 0]);
    assert_eq!(chain.setup.lake.records(ALERTS).len(), 4);
}

#[tokio::test]
async fn topics_and_queues_that_fail_are_named() {
    let chain = Chain::start().await;
    chain.deliver_unheard(&[alert()], MINUTES).await;
    chain.setup.sns.fail_always(Fault::Status { status: 403, code: "AuthorizationError" });
    chain.queue.fail_always(Fault::Status { status: 403, code: "AccessDenied" });
    let answer = chain.round_within(SHORT).await;
    assert_eq!((&answer["alert_subscribers"], &answer["alarm_subscribers"]), (&json!(null), &json!(null)), "{answer}");
    assert_eq!(answer["unpublished"], 1, "{answer}");
    let problems = answer["problems"].to_string();
    for problem in
        ["heard: subscriptions for alerts: GetTopicAttributes failed: 403", "published: the notifier's queue: "]
    {
        assert!(problems.contains(problem), "{problem} in {problems}");
    }
    chain.setup.sns.heal();
    chain.queue.heal();
    assert_eq!(chain.good_round().await, [0, 0, 0, 1]);
    assert_eq!(chain.queue.messages().len(), 1, "what could not be sent is sent in the next round");
}

#[tokio::test]
async fn the_token_is_read_anew_for_each_round() {
    let secrets = SecretsManager::start().await;
    let endpoint = secrets.endpoint();
    let chain = Chain::with_env(&[
        ("TRACEBIT_API_TOKEN", ""),
        ("TRACEBIT_API_TOKEN_ARN", secrets_manager::ARN),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &endpoint),
    ])
    .await;
    for (secret, problem) in [
        ("not set yet: run the command in the output ApiTokenCommand", "it is not a token"),
        ("an-old-token", "the token is refused"),
    ] {
        secrets.set(secret, None);
        let (_, problems) = problems_of_list(&chain).await;
        assert!(problems.contains(problem) && !problems.contains(secret), "{problem} in {problems}");
    }
    secrets.set(TOKEN, None);
    assert_eq!(chain.good_round().await, [0, 0, 0, 0]);
}
