//! §8, and §3 where S3 fails: keys, the first delivery wins, nothing is acknowledged that is not stored.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use serde_json::json;
use tracebit_lake_harness::Fault;

use crate::{
    lake::{BUCKET, JSON, Lake, assert_try_again, counts, signed_event},
    payloads::GZIP,
    samples::{ALERTS, FAILURES, HEALTH_CHECKS, alert, alert_but, alert_with, health_check},
};

/// Long enough for a try again or two, with the answer's share to spare on a busy machine.
const DEADLINE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_log_is_filed_under_its_table_and_the_hour_of_its_event() {
    let lake = Lake::start().await;
    lake.deliver(alert().to_string()).await;
    let id = lake.record(ALERTS)["p_row_id"].as_str().unwrap().to_owned();
    assert_eq!(lake.key(), format!("tracebit_alert/year=2026/month=11/day=22/hour=09/20261122T095959Z-{id}.json"));

    let lake = Lake::start().await;
    lake.deliver(health_check("2026-03-01T01:30:00.5+02:00").to_string()).await;
    let id = lake.record(HEALTH_CHECKS)["p_row_id"].as_str().unwrap().to_owned();
    assert_eq!(
        lake.key(),
        format!("tracebit_healthcheck/year=2026/month=02/day=28/hour=23/20260228T233000Z-{id}.json")
    );
}

#[tokio::test]
async fn the_prefix_is_the_same_with_and_without_a_slash() {
    let body = alert().to_string();
    let mut keys = Vec::new();
    for prefix in ["", "logs", "logs/", "security/tracebit"] {
        let lake = Lake::with(&[("LAKE_PREFIX", prefix)]).await;
        assert_eq!(counts(&lake.deliver(&body).await), [1, 0, 0]);
        keys.push(lake.key());
    }
    assert_eq!(keys[1], format!("logs/{}", keys[0]));
    assert_eq!(keys[2], keys[1]);
    assert_eq!(keys[3], format!("security/tracebit/{}", keys[0]));
}

#[tokio::test]
async fn every_object_is_newline_delimited_json_and_created_never_overwritten() {
    let lake = Lake::start().await;
    lake.deliver(format!("{}\n{}\nbad", alert(), health_check("2026-11-22T09:00:00Z"))).await;
    let puts = lake.s3.puts();
    assert_eq!(puts.len(), 3);
    for put in puts {
        assert_eq!((put.bucket.as_str(), put.status), (BUCKET, 200));
        assert_eq!(put.headers["if-none-match"], "*", "{}", put.key);
        assert_eq!(lake.s3.content_type(BUCKET, &put.key).as_deref(), Some("application/x-ndjson"), "{}", put.key);
    }
    // `s3:PutObject` is all that the function's role can do; a preflight needs no right at all.
    let (all, puts, preflights) = (lake.s3.requests(), lake.s3.requests_of("PUT"), lake.s3.requests_of("OPTIONS"));
    assert_eq!((all, puts), (puts + preflights, 3));
}

#[tokio::test]
async fn a_redelivery_is_a_duplicate_and_leaves_the_first_as_it_was() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    assert_eq!(counts(&lake.deliver(&body).await), [1, 0, 0]);
    let first = lake.objects();
    for _ in 0..3 {
        assert_eq!(counts(&lake.deliver(&body).await), [0, 1, 0]);
    }
    assert_eq!(lake.s3.puts().iter().map(|put| put.status).collect::<Vec<_>>(), [200, 412, 412, 412]);

    // The same log in other words, by way of another instance, is the same log.
    let other = serde_json::to_string_pretty(&alert()).unwrap();
    let instance = lake.another_instance().await;
    let response = instance.invoke(&signed_event(&[JSON], other.as_bytes())).await.response();
    assert_eq!(counts(&response), [0, 1, 0]);
    assert_eq!(lake.objects(), first, "the first delivery wins");
}

#[tokio::test]
async fn a_replay_under_another_content_encoding_adds_a_failure_and_changes_nothing() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    assert_eq!(counts(&lake.deliver(&body).await), [1, 0, 0]);
    let first = lake.objects();
    // The signature covers the body alone.
    assert_eq!(counts(&lake.deliver_with(&[GZIP], &body).await), [0, 0, 1]);
    assert_eq!(lake.record(FAILURES)["payload"], body);
    assert_eq!(lake.records(ALERTS).len(), 1);
    assert!(first.iter().all(|(key, object)| lake.objects().get(key) == Some(object)));
}

#[tokio::test]
async fn of_two_deliveries_at_once_one_is_stored() {
    let lake = Lake::start().await;
    let others = [lake.another_instance().await, lake.another_instance().await];
    let event = signed_event(&[JSON], alert().to_string().as_bytes());
    let instances = [&lake.function, &others[0], &others[1]];
    let responses = join_all(instances.map(async |instance| instance.invoke(&event).await.response())).await;
    let mut answers: Vec<_> = responses.iter().map(counts).collect();
    answers.sort_unstable();
    assert_eq!(answers, [[0, 1, 0], [0, 1, 0], [1, 0, 0]]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn a_log_that_comes_twice_in_one_payload_is_stored_once() {
    let [one, two] = ["log-1", "log-2"].map(alert_with);
    let pretty = serde_json::to_string_pretty(&one).unwrap();
    let payload = format!("[{one},{two},{pretty},{one}]");
    let lake = Lake::start().await;
    assert_eq!(counts(&lake.deliver(&payload).await), [2, 2, 0]);
    assert_eq!(lake.records(ALERTS).len(), 2);
    assert_eq!(counts(&lake.deliver(&payload).await), [0, 4, 0]);
    assert_eq!(lake.records(ALERTS).len(), 2);
}

#[tokio::test]
async fn logs_of_one_table_and_hour_share_an_object() {
    let at = |id: &str, timestamp: &str| {
        let mut log = alert_but("/timestamp", Some(json!(timestamp)));
        log["id"] = id.into();
        log.to_string()
    };
    let logs = [
        at("a", "2026-11-22T09:30:00Z"),
        at("b", "2026-11-22T09:59:59.999Z"),
        at("c", "2026-11-22T10:00:00Z"),
        // In the hour of the first, seen from UTC; in another, as it is written.
        at("d", "2026-11-22T23:29:00+14:00"),
        health_check("2026-11-22T09:30:00Z").to_string(),
    ];
    let lake = Lake::start().await;
    assert_eq!(counts(&lake.deliver(logs.join("\n")).await), [5, 0, 0]);
    let shapes: Vec<_> = lake
        .objects()
        .iter()
        .map(|(key, body)| {
            let (folder, file) = key.rsplit_once('/').unwrap();
            let (time, id) = file.strip_suffix(".json").unwrap().split_once('-').unwrap();
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
            assert!(time.ends_with('Z'), "{key}");
            (folder.to_owned(), String::from_utf8_lossy(body).lines().count())
        })
        .collect();
    assert_eq!(
        shapes,
        [
            ("tracebit_alert/year=2026/month=11/day=22/hour=09".to_owned(), 3),
            ("tracebit_alert/year=2026/month=11/day=22/hour=10".to_owned(), 1),
            ("tracebit_healthcheck/year=2026/month=11/day=22/hour=09".to_owned(), 1),
        ]
    );
    // In any order, the same objects.
    let mut reversed = logs.to_vec();
    reversed.reverse();
    assert_eq!(counts(&lake.deliver(reversed.join("\n")).await), [0, 5, 0]);
    assert_eq!(lake.keys().len(), 3);
}

#[tokio::test]
async fn a_failure_is_filed_under_the_hour_it_was_received() {
    let lake = Lake::start().await;
    let before = chrono::Utc::now();
    let mut bad = alert();
    bad["id"] = json!(null);
    assert_eq!(counts(&lake.deliver(bad.to_string()).await), [0, 0, 1]);
    let after = chrono::Utc::now();
    let id = lake.record(FAILURES)["p_row_id"].as_str().unwrap().to_owned();
    let expected = [before, after].map(|time| {
        time.format(&format!("classification_failures/year=%Y/month=%m/day=%d/hour=%H/%Y%m%dT%H%M%SZ-{id}.json"))
            .to_string()
    });
    let key = lake.key();
    assert!(expected[0] <= key && key <= expected[1], "{key} is not between {expected:?}");
}

#[tokio::test]
async fn a_redelivered_failure_is_a_second_record_of_the_same_row() {
    let lake = Lake::start().await;
    assert_eq!(counts(&lake.deliver("hello").await), [0, 0, 1]);
    // Its key has the second in which it was received: wait for the next.
    let into_second = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    tokio::time::sleep(Duration::from_nanos(u64::from(1_000_000_000 - into_second))).await;
    assert_eq!(counts(&lake.deliver("hello").await), [0, 0, 1]);
    let records = lake.records(FAILURES);
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["p_row_id"], records[1]["p_row_id"]);
}

#[tokio::test]
async fn what_s3_asks_to_try_again_is_tried_again() {
    for fault in [
        Fault::Status { status: 409, code: "ConditionalRequestConflict" },
        Fault::Status { status: 500, code: "InternalError" },
        Fault::Status { status: 503, code: "SlowDown" },
        // By the clock of S3, which comes with it.
        Fault::Status { status: 403, code: "RequestTimeTooSkewed" },
        Fault::ResetInRequest,
        Fault::Reset,
        // The object is there, and yet it is new.
        Fault::ResetInAnswer,
        Fault::LoseAnswer,
    ] {
        let lake = Lake::start().await;
        lake.s3.fail_next(2, fault);
        assert_eq!(counts(&lake.deliver(alert().to_string()).await), [1, 0, 0], "{fault:?}");
        assert_eq!((lake.s3.puts().len(), lake.records(ALERTS).len()), (3, 1), "{fault:?}");
        assert_eq!(counts(&lake.deliver(alert().to_string()).await), [0, 1, 0], "{fault:?}");
    }
}

#[tokio::test]
async fn what_no_second_attempt_can_mend_gets_none() {
    for fault in [
        Fault::Status { status: 307, code: "TemporaryRedirect" },
        Fault::Status { status: 403, code: "AccessDenied" },
        Fault::Status { status: 404, code: "NoSuchBucket" },
        Fault::WrongChecksum,
    ] {
        let lake = Lake::start().await;
        lake.s3.fail_next(1, fault);
        assert_try_again(&lake.deliver(alert().to_string()).await);
        assert_eq!(lake.s3.puts().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn deliveries_share_a_connection_however_much_time_they_have() {
    let lake = Lake::start().await;
    for deadline in [30, 5, 3, 9].into_iter().cycle().take(20).map(Duration::from_secs) {
        assert_eq!(lake.deliver_by(deadline, alert().to_string()).await.status, 200);
    }
    assert_eq!(lake.s3.connections(), 1, "the one that INIT has opened");
}

/// Delivers under a fault that does not end, then heals and delivers again.
async fn outage(fault: Fault) {
    let lake = Lake::start().await;
    let body = format!("{}\n{}\n", alert_with("log-1"), health_check("2026-11-22T09:00:00Z"));
    lake.s3.fail_always(fault);
    assert_try_again(&lake.deliver_by(DEADLINE, &body).await);
    lake.s3.heal();
    let [stored, duplicates, failures] = counts(&lake.deliver(&body).await);
    assert_eq!((stored + duplicates, failures), (2, 0), "{fault:?}");
    let was_performed =
        matches!(fault, Fault::SlowAnswer(_) | Fault::Drip(_) | Fault::ResetInAnswer | Fault::LoseAnswer);
    assert_eq!(stored, if was_performed { 0 } else { 2 }, "{fault:?}");
    assert_eq!((lake.records(ALERTS).len(), lake.records(HEALTH_CHECKS).len()), (1, 1), "{fault:?}");
    assert_eq!(counts(&lake.deliver(&body).await), [0, 2, 0], "{fault:?}");
}

#[tokio::test]
async fn in_an_outage_the_sender_is_asked_to_come_back_and_then_everything_is_stored_once() {
    let status = |status, code| Fault::Status { status, code };
    join_all(
        [
            status(500, "InternalError"),
            status(503, "SlowDown"),
            status(409, "ConditionalRequestConflict"),
            status(403, "AccessDenied"),
            status(404, "NoSuchBucket"),
            status(307, "TemporaryRedirect"),
            status(403, "RequestTimeTooSkewed"),
            Fault::ResetInRequest,
            Fault::Reset,
            Fault::Hang,
            Fault::WrongChecksum,
            Fault::SlowAnswer(Duration::from_mins(1)),
            Fault::Drip(Duration::from_millis(100)),
            Fault::ResetInAnswer,
            Fault::LoseAnswer,
        ]
        .map(outage),
    )
    .await;
}

#[tokio::test]
async fn an_outage_costs_the_deliveries_after_it_no_attempt() {
    let down = Fault::Status { status: 500, code: "InternalError" };
    let lake = Lake::start().await;
    let hours = (0..100).map(|n| health_check(&format!("2026-01-{:02}T{:02}:00:00Z", n / 24 + 1, n % 24)).to_string());
    lake.s3.fail_always(down);
    assert_try_again(&lake.deliver_by(DEADLINE, hours.collect::<Vec<_>>().join("\n")).await);
    // The SDK's own quota is 50.
    assert!(lake.s3.puts().len() > 150, "tries again of 100 objects: {}", lake.s3.puts().len() - 100);
    lake.s3.heal();
    lake.s3.fail_next(2, down);
    assert_eq!(counts(&lake.deliver(alert().to_string()).await), [1, 0, 0]);
}

#[tokio::test]
async fn while_s3_refuses_connections_nothing_is_acknowledged() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    lake.s3.stop().await;
    assert_try_again(&lake.deliver_by(DEADLINE, &body).await);
    assert!(lake.objects().is_empty());
    lake.s3.resume();
    assert_eq!(counts(&lake.deliver(&body).await), [1, 0, 0]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn an_instance_that_starts_in_an_outage_serves_after_it() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    lake.s3.stop().await;
    let instance = lake.another_instance().await;
    let event = signed_event(&[JSON], body.as_bytes());
    assert_try_again(&instance.invoke_within(&event, DEADLINE).await.response());
    lake.s3.resume();
    assert_eq!(counts(&instance.invoke(&event).await.response()), [1, 0, 0]);
}

#[tokio::test]
async fn a_large_object_whose_connection_breaks_in_its_middle_is_sent_again_whole() {
    let lake = Lake::start().await;
    let log = alert_but("/message", Some("x".repeat(4_000_000).into())).to_string();
    lake.s3.fail_next(2, Fault::ResetInRequest);
    assert_eq!(counts(&lake.deliver(&log).await), [1, 0, 0]);
    assert_eq!((lake.s3.puts().len(), lake.lines(ALERTS).len()), (3, 1));
    assert!(lake.lines(ALERTS)[0].starts_with(&log[..log.len() - 1]));
}

#[tokio::test]
async fn a_batch_that_s3_took_in_part_is_complete_after_a_redelivery() {
    let lake = Lake::start().await;
    let hours: Vec<_> = (0..24).map(|hour| health_check(&format!("2026-11-22T{hour:02}:00:00Z")).to_string()).collect();
    let body = hours.join("\n");
    lake.s3.fail_next(1, Fault::Status { status: 403, code: "AccessDenied" });
    assert_try_again(&lake.deliver(&body).await);
    let [stored, duplicates, failures] = counts(&lake.deliver(&body).await);
    assert_eq!((stored + duplicates, failures), (24, 0));
    assert!(stored >= 1, "what was refused is stored now");
    assert_eq!((lake.keys().len(), lake.records(HEALTH_CHECKS).len()), (24, 24));
}

#[tokio::test]
async fn a_failure_is_not_acknowledged_either_before_it_is_stored() {
    let lake = Lake::start().await;
    lake.s3.fail_next(1, Fault::Status { status: 403, code: "AccessDenied" });
    assert_try_again(&lake.deliver("hello").await);
    assert_eq!(counts(&lake.deliver("hello").await), [0, 0, 1]);
    assert_eq!(lake.records(FAILURES).len(), 1);
}

#[tokio::test]
async fn a_function_that_dies_after_s3_took_the_log_loses_and_doubles_nothing() {
    let mut lake = Lake::start().await;
    let event = signed_event(&[JSON], alert().to_string().as_bytes());
    lake.s3.fail_always(Fault::SlowAnswer(Duration::from_mins(1)));
    {
        let delivery = lake.function.invoke(&event);
        let taken = async {
            while lake.objects().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = taken => {}
            outcome = delivery => panic!("{outcome:?}"),
        }
    }
    lake.function.kill().await;
    lake.s3.heal();
    let instance = lake.another_instance().await;
    assert_eq!(counts(&instance.invoke(&event).await.response()), [0, 1, 0]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn hundreds_of_hours_in_one_payload_are_hundreds_of_objects() {
    let logs: Vec<_> = (0..400)
        .map(|n| health_check(&format!("2026-01-{:02}T{:02}:00:00Z", n / 24 + 1, n % 24)).to_string())
        .collect();
    let lake = Lake::start().await;
    assert_eq!(counts(&lake.deliver(logs.join("\n")).await), [400, 0, 0]);
    assert_eq!(lake.keys().len(), 400);
}
