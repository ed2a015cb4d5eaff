//! A text that parses as a signature is 32 bytes in a usual spelling, and it verifies only the body that it signs.
#![no_main]

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER};
use libfuzzer_sys::fuzz_target;
use tracebit_lake::core::{
    delivery::Header,
    signature::{Secret, Signature, verify},
};

const BODY: &[u8] = br#"{"hello":"canary"}"#;

fuzz_target!(|value: &str| {
    let parsed = Signature::parse(value).ok();
    let hex = parsed.map(|signature| signature.to_hex());

    // Read from a request's header, it is the same.
    let mut header = Header::default();
    header.add(value.to_owned());
    assert_eq!(header.signature().ok().map(|signature| signature.to_hex()), hex);

    let (Some(signature), Some(hex)) = (parsed, hex) else { return };
    assert_eq!(Signature::parse(&hex).map(|signature| signature.to_hex()).as_ref(), Ok(&hex));

    let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
    assert_eq!(bytes.len(), 32);
    let text = value.trim();
    let label = text.chars().take("sha256=".len()).collect::<String>().to_lowercase();
    let text = if label == "sha256=" { text["sha256=".len()..].trim() } else { text };
    let is_base64 = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD].iter().any(|form| form.encode(&bytes) == text);
    let dashed = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join("-");
    let is_hex = [&hex, &dashed].contains(&&text.to_ascii_lowercase());
    assert!(is_base64 || is_hex, "read from an unusual spelling");

    let secret = Secret::new("tracebit-lake-development-secret").unwrap();
    let is_signed = secret.sign(BODY).to_hex() == hex;
    assert_eq!(verify(BODY, &signature, &[secret]).is_some(), is_signed);
});
