//! The Lambda function that watches the chain from Tracebit's list of alerts to the people who are notified.

use std::convert::Infallible;

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use tracebit_lake::watch::{self, AnyEvent, Watcher};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let watcher = Watcher::from_env().await.inspect_err(|error| tracing::error!("INIT failed: {error}"))?;
    lambda_runtime::run(service_fn(async |LambdaEvent { payload, context }: LambdaEvent<AnyEvent>| {
        Ok::<_, Infallible>(watch::handle(&watcher, payload, &context.into()).await)
    }))
    .await
}
