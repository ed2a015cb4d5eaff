//! The Lambda function behind the URL.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use tracebit_lake::{
    aws::invocation::{Received, UnexpectedEvent},
    ingest::{
        App,
        webhook::{self, HttpEvent},
    },
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let app = App::from_env().await.inspect_err(|error| tracing::error!("INIT failed: {error}"))?;
    lambda_runtime::run(service_fn(async |LambdaEvent { payload, context }: LambdaEvent<Received<HttpEvent>>| {
        Ok::<_, UnexpectedEvent>(webhook::handle(&app, payload.event()?, &context.into()).await)
    }))
    .await
}
