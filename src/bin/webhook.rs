//! The Lambda function behind the URL.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use tracebit_lake::ingest::{
    App,
    webhook::{self, HttpEvent},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let app = App::from_env().await.inspect_err(|error| tracing::error!("INIT failed: {error}"))?;
    lambda_runtime::run(service_fn(async |LambdaEvent { payload, context }: LambdaEvent<HttpEvent>| {
        Ok::<_, Error>(webhook::handle(&app, payload, &context.into()).await)
    }))
    .await
}
