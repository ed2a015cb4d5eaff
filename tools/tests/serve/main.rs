//! `serve`, as a web page, a stranger's folder and its user meet it: over HTTP, with its real keys.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test may panic, as the tests do")]

mod peer;

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use tempfile::TempDir;
use tracebit_lake_harness::s3::{ACCESS_KEY, SECRET_KEY};

use crate::peer::{BUCKET, Serve, files, form, http, soon};

/// What no answer to a stranger may hold.
const PRIVATE: &str = "the developer's private text";
const ORIGIN: &str = "Origin: https://attacker.example\r\n";

#[test]
fn the_form_of_a_web_page_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let serve = Serve::start(folder.path());
    for (id, secret) in [(ACCESS_KEY, SECRET_KEY), (&serve.id, &serve.secret)] {
        let (body, content_type) = form(id, secret);
        for origin in [ORIGIN, "Origin: null\r\n", ""] {
            let head = format!("POST /{BUCKET} HTTP/1.1\r\nHost: {}\r\n{content_type}{origin}", serve.s3);
            let (status, answer) = http(&serve.s3, &head, &body);
            assert_eq!(status, 403, "{origin}{answer}");
            if id == serve.id {
                let expected = if origin.is_empty() { "PostObject" } else { "no page may use this server" };
                assert!(answer.contains(expected), "{answer}");
            }
        }
    }
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());

    // To the function URL a form can send the bytes of a delivery, and a page that somebody let in the signature.
    let (status, answer) = serve.deliver(&serve.url, ORIGIN);
    assert_eq!(status, 403, "{answer}");
    assert!(answer.contains(r#"{"error":"this request has the header Origin"#), "{answer}");
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_foreign_host_reads_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let serve = Serve::start(folder.path());
    fs::write(serve.bucket().join("object"), PRIVATE).unwrap();
    let port = serve.s3.split_once(':').unwrap().1;
    for (host, expected) in [
        ("attacker.example", 403),
        ("localhost.attacker.example", 403),
        ("192.0.2.1", 403),
        ("127.0.0.1", 200),
        ("localhost", 200),
        ("host.docker.internal", 200),
    ] {
        // The signature is right for this host.
        let client = serve.client(&format!("{host}:{port}")).await;
        let get = client.get_object().bucket(BUCKET).key("object").presigned(soon()).await.unwrap();
        let (status, answer) = serve.send(&get, "", "");
        assert_eq!((status, answer.contains(PRIVATE)), (expected, expected == 200), "{host}: {answer}");
        let foreign = format!("{host}:{port}");
        let list = serve.client(&serve.s3).await.list_objects_v2().bucket(BUCKET).customize();
        let list = list.mutate_request(move |request| drop(request.headers_mut().insert("host", foreign.clone())));
        assert_eq!(list.send().await.is_ok(), expected == 200, "{host}");
        let put = client.put_object().bucket(BUCKET).key(format!("by-{host}")).presigned(soon()).await.unwrap();
        assert_eq!(serve.send(&put, "", "{}").0, expected, "{host}");
        assert_eq!(serve.bucket().join(format!("by-{host}")).exists(), expected == 200, "{host}");
        if expected == 403 {
            assert!(answer.contains("the Host of this request is not a name of this server"), "{answer}");
        }
        assert_eq!(serve.deliver(host, "").0, expected, "{host}");
    }
}

#[tokio::test]
async fn a_request_with_an_origin_reads_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let serve = Serve::start(folder.path());
    fs::write(serve.bucket().join("object"), PRIVATE).unwrap();
    let client = serve.client(&serve.s3).await;
    let get = client.get_object().bucket(BUCKET).key("object").presigned(soon()).await.unwrap();
    let put = client.put_object().bucket(BUCKET).key("new").presigned(soon()).await.unwrap();
    let delete = client.delete_object().bucket(BUCKET).key("object").presigned(soon()).await.unwrap();
    for request in [&get, &put, &delete] {
        let (status, answer) = serve.send(request, ORIGIN, "");
        assert_eq!(status, 403, "{answer}");
        assert!(answer.contains("this request has the header Origin") && !answer.contains(PRIVATE), "{answer}");
    }
    assert_eq!(serve.objects(), [serve.bucket().join("object")]);
    // No answer to a preflight allows a page anything.
    let preflight = format!("OPTIONS /{BUCKET}/object HTTP/1.1\r\nHost: {}\r\n{ORIGIN}", serve.s3);
    let (_, answer) = http(&serve.s3, &preflight, "");
    assert!(!answer.to_ascii_lowercase().contains("access-control-allow"), "{answer}");
    // The same without an origin.
    for (request, expected) in [(&get, 200), (&put, 200), (&delete, 204)] {
        assert_eq!(serve.send(request, "", "").0, expected, "{request:?}");
    }
}

#[tokio::test]
async fn symbolic_links_are_not_followed() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(outside.path().join("secret.json"), PRIVATE).unwrap();
    let serve = Serve::start(folder.path());
    symlink(outside.path().join("secret.json"), serve.bucket().join("file.json")).unwrap();
    symlink(outside.path(), serve.bucket().join("folder")).unwrap();
    // A link within the folder is one as well.
    symlink(serve.bucket(), serve.bucket().join("loop")).unwrap();

    let client = serve.client(&serve.s3).await;
    for key in ["file.json", "folder/secret.json", "folder/deep/secret.json", "loop/file.json"] {
        let (status, answer) = serve.get(BUCKET, key).await;
        assert_eq!((status, answer.contains(PRIVATE)), (403, false), "{key}: {answer}");
        assert!(answer.contains("a symbolic link is on the way to this object"), "{answer}");
        let put = client.put_object().bucket(BUCKET).key(key).presigned(soon()).await.unwrap();
        assert_eq!(serve.send(&put, "", "{}").0, 403, "{key}");
        let delete = client.delete_object().bucket(BUCKET).key(key).presigned(soon()).await.unwrap();
        assert_eq!(serve.send(&delete, "", "").0, 403, "{key}");
    }
    let listed = client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    let keys: Vec<_> = listed.contents().iter().filter_map(|object| object.key()).collect();
    assert!(!keys.iter().any(|key| key.ends_with("secret.json")), "{keys:?}");
    assert_eq!(files(outside.path()), [outside.path().join("secret.json")]);
    assert_eq!(fs::read_to_string(outside.path().join("secret.json")).unwrap(), PRIVATE);
}

#[tokio::test]
async fn a_folder_beside_the_bucket_is_no_bucket() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("neighbour")).unwrap();
    fs::write(folder.path().join("neighbour/object"), PRIVATE).unwrap();
    fs::write(folder.path().join("file"), PRIVATE).unwrap();
    let serve = Serve::start(folder.path());
    let client = serve.client(&serve.s3).await;

    let (status, answer) = serve.get("neighbour", "object").await;
    assert_eq!((status, answer.contains(PRIVATE)), (404, false), "{answer}");
    assert!(answer.contains("NoSuchBucket"), "{answer}");
    assert!(client.list_objects_v2().bucket("neighbour").send().await.is_err());
    let put = client.put_object().bucket("neighbour").key("new").presigned(soon()).await.unwrap();
    assert_eq!(serve.send(&put, "", "{}").0, 404);
    let absolute = folder.path().canonicalize().unwrap().join("neighbour/object");
    for key in ["../neighbour/object", "../file", "a/../../file", absolute.to_str().unwrap()] {
        let (status, answer) = serve.get(BUCKET, key).await;
        assert_eq!((status, answer.contains(PRIVATE)), (403, false), "{key}: {answer}");
        let put = client.put_object().bucket(BUCKET).key(key).presigned(soon()).await.unwrap();
        assert_eq!(serve.send(&put, "", "{}").0, 403, "{key}");
    }
    // These would name the neighbour, or another object by a way that no rule sees.
    let buckets = client.list_buckets().send().await.unwrap_err();
    assert_eq!(buckets.raw_response().unwrap().status().as_u16(), 403);
    let copy =
        client.copy_object().bucket(BUCKET).key("copy").copy_source("neighbour/object").send().await.unwrap_err();
    assert_eq!(copy.raw_response().unwrap().status().as_u16(), 403);
    let new = client.create_bucket().bucket("another").send().await.unwrap_err();
    assert_eq!(new.raw_response().unwrap().status().as_u16(), 403);
    assert_eq!(serve.objects(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_to_string(folder.path().join("neighbour/object")).unwrap(), PRIVATE);
}

#[tokio::test]
async fn its_user_delivers_and_reads_with_the_keys_of_this_start() {
    let folder = TempDir::new().unwrap();
    let serve = Serve::start(folder.path());
    let (status, answer) = serve.deliver(&serve.url, "");
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(r#"{"stored":1,"duplicates":0,"failures":0}"#), "{answer}");

    let client = serve.client(&serve.s3).await;
    let listed = client.list_objects_v2().bucket(BUCKET).prefix("tracebit_alert/").send().await.unwrap();
    let [object] = listed.contents() else { panic!("{listed:?}") };
    let key = object.key().unwrap();
    let read = client.get_object().bucket(BUCKET).key(key).send().await.unwrap().body.collect().await.unwrap();
    assert_eq!(read.into_bytes(), fs::read(serve.bucket().join(key)).unwrap());
    client.put_object().bucket(BUCKET).key("a/b c.json").body(b"{}".to_vec().into()).send().await.unwrap();
    assert_eq!(fs::read(serve.bucket().join("a/b c.json")).unwrap(), b"{}");
    client.delete_object().bucket(BUCKET).key("a/b c.json").send().await.unwrap();

    // Neither the keys that are published nor those of another start open it.
    let another = Serve::start(folder.path());
    for (id, secret) in [(ACCESS_KEY, SECRET_KEY), (&another.id, &another.secret), (&serve.id, &another.secret)] {
        assert_ne!(secret, serve.secret);
        let client = peer::client(&serve.s3, id, secret).await;
        let get = client.get_object().bucket(BUCKET).key(key).presigned(soon()).await.unwrap();
        let (status, answer) = serve.send(&get, "", "");
        assert_eq!(status, 403, "{answer}");
        assert_eq!(answer.contains("use the one that it printed at its last start"), *id != serve.id, "{answer}");
    }
    assert_eq!(another.get(BUCKET, key).await.0, 200);
}
