//! The Lambda function behind the URL: configuration and clients at INIT, then one delivery after the other.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use tracebit_lake::{
    event::{self, Event},
    handler::Lake,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let lake = Lake::from_env().await.inspect_err(|error| tracing::error!("INIT failed: {error}"))?;
    lambda_runtime::run(service_fn(async |LambdaEvent { payload, context }: LambdaEvent<Event>| {
        Ok::<_, Error>(event::answer(lake.handle(payload, context.into()).await))
    }))
    .await
}
