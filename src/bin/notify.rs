//! The Lambda function that publishes new objects of the lake to people and machines.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use tracebit_lake::{
    aws::{
        invocation::{Received, UnexpectedEvent},
        sqs_event::SqsEvent,
    },
    notify::{self, Notifier},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let notifier = Notifier::from_env().await.inspect_err(|error| tracing::error!("INIT failed: {error}"))?;
    lambda_runtime::run(service_fn(async |LambdaEvent { payload, context }: LambdaEvent<Received<SqsEvent>>| {
        Ok::<_, UnexpectedEvent>(notify::handle(&notifier, payload.event()?, &context.into()).await)
    }))
    .await
}
