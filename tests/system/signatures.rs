//! §4: the signature.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use serde_json::json;
use tracebit_lake::signature::Secret;
use tracebit_lake_harness::function_url;

use crate::{
    lake::{JSON, Lake, SECRET, SIGNATURE, counts, sign, sign_under, signed_event},
    payloads::{GZIP, bomb, gzip, zstd},
    samples::{ALERTS, alert, alert_with},
};

/// An alert whose signature, in base64, has both characters in which the two alphabets differ, and its 32 bytes.
fn telling_alert() -> (String, Vec<u8>) {
    (0..1000)
        .map(|n| alert_with(&format!("log-{n}")).to_string())
        .map(|body| (sign(&body), body))
        .map(|(signature, body)| (body, HEXLOWER.decode(signature.as_bytes()).unwrap()))
        .find(|(_, bytes)| ['+', '/'].iter().all(|&character| BASE64.encode(bytes).contains(character)))
        .unwrap()
}

#[tokio::test]
async fn every_usual_encoding_verifies() {
    let lake = Lake::start().await;
    let (body, bytes) = telling_alert();
    let hex = HEXLOWER.encode(&bytes);
    let mixed: String =
        hex.chars().enumerate().map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
    let mut seen = [0; 3];
    for encoded in [
        hex,
        HEXUPPER.encode(&bytes),
        mixed,
        BASE64.encode(&bytes),
        BASE64_NOPAD.encode(&bytes),
        BASE64URL.encode(&bytes),
        BASE64URL_NOPAD.encode(&bytes),
    ] {
        for header in
            [encoded.clone(), format!("sha256={encoded}"), format!("  {encoded}\t"), format!(" sha256={encoded} ")]
        {
            let [stored, duplicates, failures] = counts(&lake.post(&[JSON, (SIGNATURE, &header)], &body).await);
            assert_eq!((stored + duplicates, failures), (1, 0), "{header}");
            seen = [seen[0] + stored, seen[1] + duplicates, seen[2] + failures];
        }
    }
    assert_eq!(seen, [1, 27, 0]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn the_headers_name_can_be_in_any_case() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    for name in ["x-tracebit-signature-256", "X-TRACEBIT-SIGNATURE-256"] {
        // AWS makes names lower-case; other ways to the function need not.
        let mut event = function_url::event("POST", &[JSON], body.as_bytes());
        event["headers"][name] = sign(&body).into();
        assert_eq!(lake.invoke(&event).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn whatever_is_not_the_signature_is_refused() {
    let lake = Lake::start().await;
    let (body, bytes) = telling_alert();
    let [hex, base64] = [HEXLOWER.encode(&bytes), BASE64.encode(&bytes)];
    let mut flipped = bytes.clone();
    flipped[31] ^= 1;
    let mut first_flipped = bytes.clone();
    first_flipped[0] ^= 0x80;
    let mut mixed_alphabets = base64.clone();
    mixed_alphabets = mixed_alphabets.replacen('+', "-", 1);
    for header in [
        String::new(),
        " ".to_owned(),
        "sha256=".to_owned(),
        "0".repeat(64),
        HEXLOWER.encode(&flipped),
        HEXLOWER.encode(&first_flipped),
        BASE64.encode(&flipped),
        // Cut, grown, or half right.
        hex[..62].to_owned(),
        hex[..63].to_owned(),
        hex[..32].to_owned(),
        format!("{hex}00"),
        format!("{hex}{hex}"),
        base64[..42].to_owned(),
        format!("{base64}="),
        format!("={base64}"),
        mixed_alphabets,
        // Another algorithm, or another notation.
        format!("sha1={hex}"),
        format!("sha512={hex}"),
        format!("sha256={hex},v1={hex}"),
        format!("0x{hex}"),
        format!("\"{hex}\""),
        format!("{} {}", &hex[..32], &hex[32..]),
        hex.replace(|c: char| c.is_ascii_digit(), "g"),
        "é".repeat(32),
        "\u{ff10}".repeat(64),
        // Right for another body or under another secret.
        sign(format!("{body}\n")),
        sign(""),
        sign_under("the-secret-of-somebody-else", &body),
        sign_under(&format!("{SECRET} "), &body),
    ] {
        let response = lake.post(&[JSON, (SIGNATURE, &header)], &body).await;
        assert_eq!(response.status, 401, "{header:?}");
    }
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn a_header_that_comes_twice_is_refused() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    let (right, wrong) = (sign(&body), sign("another body"));
    for (first, second) in [(&right, &right), (&right, &wrong), (&wrong, &right)] {
        // A function URL joins the two with a comma.
        let joined = lake.post(&[JSON, (SIGNATURE, first), (SIGNATURE, second)], &body).await;
        assert_eq!(joined.status, 401);
        let mut apart = function_url::event("POST", &[JSON, (SIGNATURE, first)], body.as_bytes());
        apart["headers"][SIGNATURE] = second.as_str().into();
        assert_eq!(lake.invoke(&apart).await.status, 401);
    }
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn a_changed_body_does_not_verify() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    let signature = sign(&body);
    for changed in [
        body.replace("High", "Info"),
        format!("{body} "),
        format!("{body}\n"),
        format!(" {body}"),
        format!("\u{feff}{body}"),
        serde_json::to_string_pretty(&alert()).unwrap(),
        body[..body.len() - 1].to_owned(),
        String::new(),
    ] {
        let response = lake.post(&[JSON, (SIGNATURE, &signature)], &changed).await;
        assert_eq!(response.status, 401, "{changed:?}");
    }
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn the_bytes_count_however_the_event_carries_them() {
    let lake = Lake::start().await;
    let body = alert_but_not_ascii();
    let signature = sign(&body);
    let mut text = function_url::event("POST", &[JSON, (SIGNATURE, &signature)], body.as_bytes());
    assert_eq!(text["isBase64Encoded"], false);
    assert_eq!(counts(&lake.invoke(&text).await), [1, 0, 0]);
    // As AWS does for a content type that it does not know.
    let base64 = function_url::event("POST", &[(SIGNATURE, &signature)], body.as_bytes());
    assert_eq!(base64["isBase64Encoded"], true);
    assert_eq!(counts(&lake.invoke(&base64).await), [0, 1, 0]);

    // The base64 text is not what was signed.
    let encoded = BASE64.encode(body.as_bytes());
    text["headers"][SIGNATURE.to_lowercase()] = sign(&encoded).into();
    text["body"] = encoded.into();
    text["isBase64Encoded"] = true.into();
    assert_eq!(lake.invoke(&text).await.status, 401);
}

fn alert_but_not_ascii() -> String {
    let mut log = alert();
    log["message"] = json!("Zoë \u{1f426} read a canary\u{2028}");
    log.to_string()
}

#[tokio::test]
async fn the_signature_is_over_the_compressed_bytes() {
    let body = alert().to_string();
    for (name, compressed) in [("gzip", gzip(&body)), ("zstd", zstd(&body))] {
        let lake = Lake::start().await;
        let headers = |signature| [JSON, ("Content-Encoding", name), (SIGNATURE, signature)];
        let inflated = sign(&body);
        assert_eq!(lake.post(&headers(inflated.as_str()), &compressed).await.status, 401, "{name}");
        assert!(lake.s3.puts().is_empty());
        let sent = sign(&compressed);
        assert_eq!(lake.post(&headers(sent.as_str()), &compressed).await.status, 200, "{name}");
        assert_eq!(lake.records(ALERTS).len(), 1);
    }
}

#[tokio::test]
async fn nothing_is_decompressed_before_the_signature_holds() {
    const HALF_A_GIGABYTE: usize = 1 << 29;
    let lake = Lake::with(&[("MAX_PAYLOAD_BYTES", "1000000000")]).await;
    let bomb = bomb(gzip, HALF_A_GIGABYTE);
    let forged = sign("another body");
    for headers in [&[GZIP][..], &[GZIP, (SIGNATURE, &forged)], &[(SIGNATURE, &forged)]] {
        assert_eq!(lake.post(headers, &bomb).await.status, 401, "{headers:?}");
    }
    let peak = lake.peak_memory();
    assert!(peak < HALF_A_GIGABYTE / 4, "{peak} bytes");
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn there_is_no_way_to_switch_verification_off() {
    let lake = Lake::with(&[
        ("TRACEBIT_VERIFY", "false"),
        ("VERIFY_SIGNATURE", "false"),
        ("SKIP_VERIFICATION", "true"),
        ("DEBUG", "1"),
        ("ENVIRONMENT", "development"),
    ])
    .await;
    let body = alert().to_string();
    let mut event = function_url::event("POST", &[JSON, ("X-Skip-Verification", "true")], body.as_bytes());
    event["requestContext"]["authorizer"] = json!({"iam": {"accountId": "123456789012"}});
    event["requestContext"]["http"]["sourceIp"] = "127.0.0.1".into();
    assert_eq!(lake.invoke(&event).await.status, 401);
    // Good under an empty key.
    let empty = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
    assert_eq!(lake.post(&[(SIGNATURE, empty)], "").await.status, 401);
    assert_eq!(lake.invoke(&signed_event(&[JSON], body.as_bytes())).await.status, 200);
}

#[tokio::test]
async fn one_trailing_newline_of_the_secret_does_not_count() {
    let body = alert().to_string();
    let lake = Lake::with(&[("TRACEBIT_SECRET", &format!("{SECRET}\n"))]).await;
    assert_eq!(lake.deliver(&body).await.status, 200);
    // A second one does.
    let lake = Lake::with(&[("TRACEBIT_SECRET", &format!("{SECRET}\n\n"))]).await;
    assert_eq!(lake.deliver(&body).await.status, 401);
}

#[tokio::test]
async fn a_secret_is_its_utf_8_bytes() {
    let secret = "ключ-канарейки 🐦 0f";
    let lake = Lake::with(&[("TRACEBIT_SECRET", secret)]).await;
    let body = alert().to_string();
    let signature = Secret::new(secret).unwrap().sign(body.as_bytes()).to_hex();
    assert_eq!(lake.post(&[JSON, (SIGNATURE, &signature)], &body).await.status, 200);
    // Text that looks like hex or base64 is not decoded first: computed with Python's hmac over the text's bytes.
    let lake = Lake::with(&[("TRACEBIT_SECRET", "00112233445566778899aabbccddeeff")]).await;
    let known = "5450d24310a056f4306411715da7f9e0783a6f32ac57d0d55b0bd9960cbd9607";
    assert_eq!(lake.post(&[JSON, (SIGNATURE, known)], "[]").await.status, 200);
}
