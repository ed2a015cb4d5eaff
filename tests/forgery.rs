//! Forgeries: ten thousand deliveries that Tracebit never signed. None may be accepted.
//!
//! Each forgery takes a genuine body and signature and changes one of the two. The seed is fixed, so that a failure can
//! be repeated. docs/evidence.md quotes the output of `cargo test --test forgery -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test should fail loudly")]

use std::cell::Cell;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use sha2::{Digest as _, Sha256};
use tracebit_lake::core::signature::{Secret, Signature, verify};

const FORGERIES: u32 = 10_000;
const SEED: &[u8; 32] = b"tracebit-lake: ten thousand lies";

const CURRENT: &str = "the secret that Tracebit signs with";
const PREVIOUS: &str = "the secret before the last rotation";
/// Secrets that an attacker might try who knows something about the right one.
const NEAR_MISSES: [&str; 6] = [
    "the secret that Tracebit signs wit",
    "the secret that Tracebit signs with ",
    "The secret that Tracebit signs with",
    " the secret that Tracebit signs with",
    "dGhlIHNlY3JldCB0aGF0IFRyYWNlYml0IHNpZ25zIHdpdGg=",
    "tracebit-lake-development-secret",
];

const BODIES: [&[u8]; 5] = [
    include_bytes!("../events/logs/alert-aws.json"),
    include_bytes!("../events/logs/alert-okta.json"),
    include_bytes!("../events/logs/health-check.json"),
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
    b"",
];

/// A change of the signature, or of the body under a genuine signature.
#[derive(Debug, Clone, Copy)]
enum Tampering {
    BitsFlipped,
    BytesSwapped,
    OneByteRepeated,
    Random,
    OfAnotherBody,
    OfAnotherSecret,
    Unkeyed,
    CharacterReplaced,
    Cut,
    Grown,
    BodyBitsFlipped,
    BodyBytesSwapped,
    BodyCut,
    BodyGrown,
    BodyReplaced,
}

use Tampering::*;

const TAMPERINGS: [Tampering; 15] = [
    BitsFlipped,
    BytesSwapped,
    OneByteRepeated,
    Random,
    OfAnotherBody,
    OfAnotherSecret,
    Unkeyed,
    CharacterReplaced,
    Cut,
    Grown,
    BodyBitsFlipped,
    BodyBytesSwapped,
    BodyCut,
    BodyGrown,
    BodyReplaced,
];

/// A notation of the signature: its prefix, and the encoding of its bytes.
type Notation = (&'static str, Encoding);

fn notations() -> impl Strategy<Value = Notation> {
    let encodings = vec![HEXLOWER, HEXUPPER, BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD];
    (select(&["", "sha256=", " sha256= "][..]), select(encodings))
}

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn bytes(signature: &Signature) -> Vec<u8> {
    HEXLOWER.decode(signature.to_hex().as_bytes()).unwrap()
}

/// Body and header of a forgery. `noise` says where and how they differ from the genuine ones.
fn forge(tampering: Tampering, body: &[u8], signer: &Secret, notation: &Notation, noise: &Noise) -> (Vec<u8>, String) {
    let genuine = bytes(&signer.sign(body));
    let write = |signature: &[u8]| format!("{}{}", notation.0, notation.1.encode(signature));
    // Without padding, because base64 verifies with and without it.
    let text = write(&genuine).trim_end_matches('=').to_owned();
    let character = char::from(noise.alphanumeric);
    match tampering {
        BitsFlipped => (body.to_vec(), write(&flipped(&genuine, noise))),
        BytesSwapped => (body.to_vec(), write(&swapped(&genuine, noise))),
        OneByteRepeated => (body.to_vec(), write(&[noise.flip; 32])),
        Random => (body.to_vec(), write(&noise.bytes)),
        OfAnotherBody => (body.to_vec(), write(&bytes(&signer.sign(&swapped(body, noise))))),
        OfAnotherSecret => (body.to_vec(), write(&bytes(&secret(noise.at.get::<&str>(&NEAR_MISSES)).sign(body)))),
        Unkeyed => {
            let key = *noise.at.get::<&str>(&["", CURRENT]);
            (body.to_vec(), write(&Sha256::new().chain_update(key).chain_update(body).finalize()))
        }
        CharacterReplaced => {
            let mut text = text.into_bytes();
            let at = noise.at.index(text.len());
            text[at] = if text[at].eq_ignore_ascii_case(&noise.alphanumeric) { b'.' } else { noise.alphanumeric };
            (body.to_vec(), String::from_utf8(text).unwrap())
        }
        Cut => (body.to_vec(), text[..noise.at.index(text.trim_end().len())].to_owned()),
        Grown => (body.to_vec(), format!("{text}{character}")),
        BodyBitsFlipped => (flipped(body, noise), write(&genuine)),
        BodyBytesSwapped => (swapped(body, noise), write(&genuine)),
        BodyCut if body.is_empty() => (b"\n".to_vec(), write(&genuine)),
        BodyCut => (body[..noise.at.index(body.len())].to_vec(), write(&genuine)),
        BodyGrown => ([body, &noise.bytes[noise.at.index(32)..]].concat(), write(&genuine)),
        BodyReplaced => (noise.bytes.to_vec(), write(&genuine)),
    }
}

#[derive(Debug)]
struct Noise {
    at: Index,
    other: Index,
    flip: u8,
    alphanumeric: u8,
    bytes: [u8; 32],
}

fn noise() -> impl Strategy<Value = Noise> {
    let alphanumeric: Vec<u8> = (0..128u8).filter(u8::is_ascii_alphanumeric).collect();
    (any::<Index>(), any::<Index>(), 1u8.., select(alphanumeric), any::<[u8; 32]>())
        .prop_map(|(at, other, flip, alphanumeric, bytes)| Noise { at, other, flip, alphanumeric, bytes })
}

/// Changes one byte; an empty slice becomes one byte.
fn flipped(bytes: &[u8], noise: &Noise) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![noise.flip];
    }
    let at = noise.at.index(bytes.len());
    let mut bytes = bytes.to_vec();
    bytes[at] ^= noise.flip;
    bytes
}

/// Swaps two bytes; if they are equal, changes one byte.
fn swapped(bytes: &[u8], noise: &Noise) -> Vec<u8> {
    let mut swapped = bytes.to_vec();
    if !bytes.is_empty() {
        let [at, other] = [noise.at, noise.other].map(|index| index.index(bytes.len()));
        swapped.swap(at, other);
    }
    if swapped == bytes { flipped(bytes, noise) } else { swapped }
}

#[test]
fn none_of_ten_thousand_forgeries_is_accepted() {
    let secrets = [secret(CURRENT), secret(PREVIOUS)];
    let (tried, malformed) = (Cell::new(0u32), Cell::new(0u32));
    let config = Config { cases: FORGERIES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, SEED));

    let cases = (select(&TAMPERINGS[..]), select(&BODIES[..]), 0..secrets.len(), notations(), noise());
    let outcome = runner.run(&cases, |(tampering, body, signer, notation, noise)| {
        let signer = &secrets[signer];
        let genuine = format!("{}{}", notation.0, notation.1.encode(&bytes(&signer.sign(body))));
        let genuine = Signature::parse(&genuine).unwrap();
        prop_assert!(verify(body, &genuine, &secrets).is_some(), "the genuine delivery was rejected");

        let (forged, header) = forge(tampering, body, signer, &notation, &noise);
        tried.set(tried.get() + 1);
        match Signature::parse(&header) {
            Ok(signature) => prop_assert!(verify(&forged, &signature, &secrets).is_none(), "accepted: {}", header),
            Err(_) => malformed.set(malformed.get() + 1),
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));

    let (tried, malformed) = (tried.get(), malformed.get());
    println!("{tried} forgeries, none accepted: {malformed} malformed, {} well-formed and wrong", tried - malformed);
    assert_eq!(tried, FORGERIES);
    assert!(malformed < FORGERIES / 2, "most forgeries should reach the comparison");
}
