//! Signature: which requests verify, and which get 401.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use serde_json::json;
use tracebit_lake::core::signature::Secret;
use tracebit_lake_harness::function_url;

use crate::support::{
    ALERTS, GZIP, JSON, SECRET, SIGNATURE, TestLake, alert, alert_with_id, assert_is_json, bomb, counts, gzip, sign,
    sign_with, signed_event, zstd,
};

/// An alert with the 32 bytes of its signature, whose base64 has both characters in which the two alphabets differ.
fn alert_that_tells_alphabets_apart() -> (String, Vec<u8>) {
    (0..1000)
        .map(|n| alert_with_id(&format!("log-{n}")).to_string())
        .map(|body| (sign(&body), body))
        .map(|(signature, body)| (body, HEXLOWER.decode(signature.as_bytes()).unwrap()))
        .find(|(_, bytes)| ['+', '/'].iter().all(|&character| BASE64.encode(bytes).contains(character)))
        .unwrap()
}

#[tokio::test]
async fn every_usual_encoding_verifies() {
    let lake = TestLake::start().await;
    let (body, bytes) = alert_that_tells_alphabets_apart();
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
async fn the_header_name_can_be_in_any_case() {
    let lake = TestLake::start().await;
    let body = alert().to_string();
    for name in ["x-tracebit-signature-256", "X-TRACEBIT-SIGNATURE-256"] {
        // A function URL sends lower-case names; other callers of the function may not.
        let mut event = function_url::event("POST", &[JSON], body.as_bytes());
        event["headers"][name] = sign(&body).into();
        assert_eq!(lake.invoke(&event).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn anything_but_the_signature_gets_401() {
    let lake = TestLake::start().await;
    let (body, bytes) = alert_that_tells_alphabets_apart();
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
        "rubbish".to_owned(),
        "sha256=".to_owned(),
        "0".repeat(64),
        HEXLOWER.encode(&flipped),
        HEXLOWER.encode(&first_flipped),
        BASE64.encode(&flipped),
        // Too short, too long, or right in part.
        hex[..62].to_owned(),
        hex[..63].to_owned(),
        hex[..32].to_owned(),
        format!("{hex}00"),
        format!("{hex}{hex}"),
        base64[..42].to_owned(),
        format!("{base64}="),
        format!("={base64}"),
        mixed_alphabets,
        // Another algorithm or notation.
        format!("sha1={hex}"),
        format!("sha512={hex}"),
        format!("sha256={hex},v1={hex}"),
        format!("0x{hex}"),
        format!("\"{hex}\""),
        format!("{} {}", &hex[..32], &hex[32..]),
        hex.replace(|c: char| c.is_ascii_digit(), "g"),
        "é".repeat(32),
        "\u{ff10}".repeat(64),
        // Right for another body or secret.
        sign(format!("{body}\n")),
        sign(""),
        sign_with("another-secret-than-tracebits", &body),
        sign_with(&format!("{SECRET} "), &body),
    ] {
        let response = lake.post(&[JSON, (SIGNATURE, &header)], &body).await;
        assert_eq!(response.status, 401, "{header:?}");
        assert_is_json(&response);
    }
    let without_header = lake.post(&[JSON], &body).await;
    assert_eq!(without_header.status, 401);
    assert_is_json(&without_header);
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn a_repeated_signature_header_gets_401() {
    let lake = TestLake::start().await;
    let body = alert().to_string();
    let (right, wrong) = (sign(&body), sign("another body"));
    for (first, second) in [(&right, &right), (&right, &wrong), (&wrong, &right)] {
        // A function URL joins the two headers with a comma.
        let joined = lake.post(&[JSON, (SIGNATURE, first), (SIGNATURE, second)], &body).await;
        assert_eq!(joined.status, 401);
        let mut apart = function_url::event("POST", &[JSON, (SIGNATURE, first)], body.as_bytes());
        apart["headers"][SIGNATURE] = second.as_str().into();
        assert_eq!(lake.invoke(&apart).await.status, 401);
    }
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn a_changed_body_gets_401() {
    let lake = TestLake::start().await;
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
async fn the_signature_covers_the_decoded_bytes_of_the_event() {
    let lake = TestLake::start().await;
    let body = alert_but_not_ascii();
    let signature = sign(&body);
    let mut text = function_url::event("POST", &[JSON, (SIGNATURE, &signature)], body.as_bytes());
    assert_eq!(text["isBase64Encoded"], false);
    assert_eq!(counts(&lake.invoke(&text).await), [1, 0, 0]);
    // AWS encodes a body whose content type it does not know.
    let base64 = function_url::event("POST", &[(SIGNATURE, &signature)], body.as_bytes());
    assert_eq!(base64["isBase64Encoded"], true);
    assert_eq!(counts(&lake.invoke(&base64).await), [0, 1, 0]);

    // A signature of the base64 text does not verify.
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
async fn the_signature_covers_the_compressed_bytes() {
    let body = alert().to_string();
    for (name, compressed) in [("gzip", gzip(&body)), ("zstd", zstd(&body))] {
        let lake = TestLake::start().await;
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
async fn nothing_is_decompressed_before_the_signature_verifies() {
    const HALF_A_GIGABYTE: usize = 1 << 29;
    let lake = TestLake::with_env(&[("MAX_PAYLOAD_BYTES", "1000000000")]).await;
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
async fn nothing_switches_verification_off() {
    let lake = TestLake::with_env(&[
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
    // The signature of the empty body with an empty key.
    let empty = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
    assert_eq!(lake.post(&[(SIGNATURE, empty)], "").await.status, 401);
    assert_eq!(lake.invoke(&signed_event(&[JSON], body.as_bytes())).await.status, 200);
}

#[tokio::test]
async fn the_key_is_the_utf_8_bytes_of_the_secret() {
    let secret = "ключ-канарейки 🐦 0f";
    let lake = TestLake::with_env(&[("TRACEBIT_SECRET", secret)]).await;
    let body = alert().to_string();
    let signature = Secret::new(secret).unwrap().sign(body.as_bytes()).to_hex();
    assert_eq!(lake.post(&[JSON, (SIGNATURE, &signature)], &body).await.status, 200);
    // A secret that looks like hex is not decoded. Python's hmac computed the signature from the text's bytes.
    let lake = TestLake::with_env(&[("TRACEBIT_SECRET", "00112233445566778899aabbccddeeff")]).await;
    let known = "5450d24310a056f4306411715da7f9e0783a6f32ac57d0d55b0bd9960cbd9607";
    assert_eq!(lake.post(&[JSON, (SIGNATURE, known)], "[]").await.status, 200);
}
