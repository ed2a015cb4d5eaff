//! The Lambda function behind the spill queue: files what S3 did not take when it came, through the same pipeline.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use tracebit_lake::{
    handler::{Invocation, Lake},
    spill::{Batch, Undrained},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let lake = Lake::from_env().await.inspect_err(|error| tracing::error!("INIT failed: {error}"))?;
    lambda_runtime::run(service_fn(async |LambdaEvent { payload, context }: LambdaEvent<Batch>| {
        let invocation = Invocation::from(context);
        let mut undrained = Undrained::default();
        for message in payload.messages {
            if !lake.drain(&message.body, &invocation).await {
                undrained.add(message.id);
            }
        }
        Ok::<_, Error>(undrained)
    }))
    .await
}
