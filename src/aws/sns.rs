//! A topic of SNS.

use aws_config::SdkConfig;
use aws_sdk_sns::{
    Client,
    config::{
        Builder,
        retry::{ClassifyRetry, RetryAction, RetryConfig},
    },
    operation::publish::builders::PublishFluentBuilder,
    types::MessageAttributeValue,
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;

use super::{
    call::{CallError, call},
    client::{preflight, retry_partition, warm},
    deadline::Deadline,
};

const OPERATION: &str = "Publish";

/// A client of one topic.
#[derive(Debug)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// A client of the topic with this ARN.
    #[must_use]
    pub fn new(sdk: &SdkConfig, arn: String) -> Self {
        let config = Builder::from(sdk).retry_partition(retry_partition()).retry_classifier(TooManyIsTransient).build();
        Self { client: Client::from_conf(config), arn }
    }

    /// Opens the connection that the first `Publish` will use, as `Bucket::warm` does. If SNS ignored the method, the
    /// request would publish nothing, because it names no topic and has no message.
    pub async fn warm(&self, deadline: Deadline) {
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let publish = self.client.publish().topic_arn("-").message("").customize();
        let publish = publish.mutate_request(|request| preflight(request, "POST")).config_override(once);
        warm("SNS", deadline, publish.send()).await;
    }

    /// Publishes a text for each protocol: `texts` is the JSON that SNS wants for `MessageStructure: json`. SNS
    /// delivers no attributes with it.
    ///
    /// # Errors
    /// [`CallError`]. The message may have been published.
    pub async fn publish_by_protocol(
        &self,
        subject: String,
        texts: String,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let bytes = texts.len();
        let publish = self.client.publish().message_structure("json").subject(subject).message(texts);
        self.publish(publish, bytes, deadline).await
    }

    /// Publishes one text with an attribute, by which subscriptions can filter.
    ///
    /// # Errors
    /// [`CallError`]. The message may have been published.
    pub async fn publish_with_attribute(
        &self,
        text: String,
        (name, value): (&str, &str),
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let bytes = text.len();
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
        let value = value.map_err(|error| CallError::of_answer(OPERATION, &error.to_string()))?;
        self.publish(self.client.publish().message(text).message_attributes(name, value), bytes, deadline).await
    }

    /// How many subscriptions of the topic are confirmed, so that somebody gets its messages.
    ///
    /// # Errors
    /// [`CallError`] if SNS does not say.
    pub async fn subscribers(&self, deadline: Deadline) -> Result<u64, CallError> {
        const OPERATION: &str = "GetTopicAttributes";
        let get = self.client.get_topic_attributes().topic_arn(&self.arn);
        let output = call(OPERATION, deadline, 0, |attempts| get.customize().interceptor(attempts).send()).await?;
        let confirmed = output.attributes().and_then(|all| all.get("SubscriptionsConfirmed"));
        confirmed
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| CallError::of_answer(OPERATION, "the answer has no number of confirmed subscriptions"))
    }

    async fn publish(&self, publish: PublishFluentBuilder, bytes: usize, deadline: Deadline) -> Result<(), CallError> {
        let publish = publish.topic_arn(&self.arn);
        call(OPERATION, deadline, bytes, |attempts| publish.customize().interceptor(attempts).send()).await.map(drop)
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
