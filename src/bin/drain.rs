//! The Lambda function behind the spill queue.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use tracebit_lake::{
    aws::{
        invocation::{Received, UnexpectedEvent},
        sqs_event::SqsEvent,
    },
    ingest::{App, drain},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let app = App::from_env().await.inspect_err(|error| tracing::error!("INIT failed: {error}"))?.without_queue();
    lambda_runtime::run(service_fn(async |LambdaEvent { payload, context }: LambdaEvent<Received<SqsEvent>>| {
        Ok::<_, UnexpectedEvent>(drain::handle(&app, payload.event()?, &context.into()).await)
    }))
    .await
}
