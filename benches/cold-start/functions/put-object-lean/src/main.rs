//! A handler that puts each request's body into S3 and does nothing else, with as little CPU as the AWS SDK's defaults
//! allow: one thread, no log lines, and only the events of function URLs.

use std::env;

use aws_config::BehaviorVersion;
use aws_sdk_s3::{Client, primitives::ByteStream};
use lambda_http::{Body, Error, Request, RequestExt as _, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let bucket = &env::var("LAKE_BUCKET")?;
    let client = &Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    run(service_fn(|request: Request| async move {
        // As deep as the lake's keys, because a server on folders has more to do for those.
        let id = request.lambda_context().request_id;
        let key = format!("put_object/day=2026-11-20/hour=02/{id}.json");
        let body = ByteStream::from(request.into_body().to_vec());
        client.put_object().bucket(bucket).key(key).body(body).send().await?;
        Ok::<_, Error>(Response::new(Body::Empty))
    }))
    .await
}
