//! The Lambda function: configuration and clients at INIT, then one delivery after the other.

use std::time::{Duration, SystemTime};

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use tracebit_lake::{
    config::Config,
    event::{self, Event},
    handler::{Invocation, Lake},
    metrics::Metrics,
    sdk,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let lake = init().await.inspect_err(|error| tracing::error!("INIT failed: {error}"))?;
    lambda_runtime::run(service_fn(async |LambdaEvent { payload, context }: LambdaEvent<Event>| {
        let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
        let invocation = Invocation { request_id: context.request_id, deadline };
        Ok::<_, Error>(event::answer(lake.handle(payload, invocation).await))
    }))
    .await
}

async fn init() -> Result<Lake, Error> {
    let config = Config::from_env()?;
    let sdk = sdk::loader().load().await;
    Ok(Lake::init(config, &sdk, Metrics::to_stdout()).await?)
}
