//! Functions that are this test program itself, started anew: the binary's own loop around an application that the
//! binary does not offer, such as one with another schema or another clock.
//!
//! Such a function is a test that is ignored and never ends. [`start`] runs that test alone.

use std::env;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use tracebit_lake::{
    aws::sqs_event::SqsEvent,
    ingest::{
        App, drain,
        webhook::{self, HttpEvent},
    },
};
use tracebit_lake_harness::runtime_api::Function;

/// Starts the test of this name as a function, ready for its first invocation.
pub(crate) async fn start(test: &str, env: &[(&str, &str)]) -> Function {
    let program = env::current_exe().unwrap();
    let function = Function::start_with_args(program, &["--exact", "--ignored", "--nocapture", test], env).await;
    function.ready().await.unwrap_or_else(|output| panic!("{output}"));
    function
}

/// The loop of the webhook's binary.
pub(crate) async fn serve_webhook(app: App) -> Result<(), Error> {
    let answer = async |LambdaEvent { payload, context }: LambdaEvent<HttpEvent>| {
        Ok::<_, Error>(webhook::handle(&app, payload, &context.into()).await)
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// The loop of the drain's binary.
pub(crate) async fn serve_drain(app: App) -> Result<(), Error> {
    let app = app.without_queue();
    let answer = async |LambdaEvent { payload, context }: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(drain::handle(&app, payload, &context.into()).await)
    };
    lambda_runtime::run(service_fn(answer)).await
}
