//! The client of the SNS topic for people.

use aws_config::SdkConfig;
use aws_sdk_sns::{
    Client,
    config::{
        Builder,
        retry::{ClassifyRetry, RetryAction},
    },
    types::MessageAttributeValue,
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;

use super::message::First;
use crate::aws::{
    self, Attempts,
    deadline::{CallPolicy, Deadline},
};

/// The message attribute of a message that is for chat alone. The e-mail subscription's filter wants it absent. SNS does
/// not deliver attributes with `MessageStructure: json`, so the first message of an alert has none.
const FORM: &str = "form";

/// A message could not be published.
#[derive(Debug, thiserror::Error)]
pub(super) enum TopicError {
    /// The time for it ran out. The message may have been published.
    #[error("Publish {0}")]
    TimedOut(String),
    /// SNS refused it, or could not be reached.
    #[error("Publish failed: {0}")]
    Failed(String),
}

/// A client of the topic.
#[derive(Debug)]
pub(super) struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    pub(super) fn new(sdk: &SdkConfig, arn: String) -> Self {
        let config =
            Builder::from(sdk).retry_partition(aws::retry_partition()).retry_classifier(TooManyIsTransient).build();
        Self { client: Client::from_conf(config), arn }
    }

    /// Publishes the first message of an alert on a day.
    pub(super) async fn publish_first(&self, first: First, deadline: Deadline) -> Result<(), TopicError> {
        let publish = self.client.publish().message_structure("json").subject(first.subject.0).message(first.message.0);
        self.send(publish, deadline).await
    }

    /// Publishes a message for chat alone.
    pub(super) async fn publish_chat(&self, chat: String, deadline: Deadline) -> Result<(), TopicError> {
        let form = MessageAttributeValue::builder().data_type("String").string_value("chat").build();
        let form = form.map_err(|error| TopicError::Failed(error.to_string()))?;
        self.send(self.client.publish().message(chat).message_attributes(FORM, form), deadline).await
    }

    async fn send(
        &self,
        publish: aws_sdk_sns::operation::publish::builders::PublishFluentBuilder,
        deadline: Deadline,
    ) -> Result<(), TopicError> {
        let attempts = Attempts::default();
        let timed_out = || TopicError::TimedOut(attempts.timed_out());
        let bytes = publish.get_message().as_ref().map_or(0, String::len);
        let CallPolicy { timeouts, retries } = deadline.call(bytes).ok_or_else(timed_out)?;
        let publish = publish
            .topic_arn(&self.arn)
            .customize()
            .config_override(Builder::new().timeout_config(timeouts).retry_config(retries))
            .interceptor(attempts.clone());
        match deadline.bound(publish.send()).await.ok_or_else(timed_out)? {
            Ok(_) => Ok(()),
            Err(error) => Err(TopicError::Failed(aws::service_error(&error))),
        }
    }
}

/// SNS throttles with status 429 and the code `Throttled`, which the SDK does not retry.
#[derive(Debug)]
struct TooManyIsTransient;

impl ClassifyRetry for TooManyIsTransient {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response() {
            Some(response) if response.status().as_u16() == 429 => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "too many requests is transient"
    }
}
