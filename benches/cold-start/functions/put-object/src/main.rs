//! A handler that puts each request's body into S3 and does nothing else, with the AWS SDK's defaults in everything, as
//! its documentation shows it: no signature, no schema, no metrics.

use std::env;

use aws_config::BehaviorVersion;
use aws_sdk_s3::{Client, primitives::ByteStream};
use lambda_http::{Body, Error, Request, RequestExt as _, Response, run, service_fn, tracing};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
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
