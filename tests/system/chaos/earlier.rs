//! An earlier release of the functions: the same code with an earlier version of the alerts' schema.
//!
//! The schemas are embedded in the binaries, so an earlier release is another binary: this test program itself, started
//! anew with the arguments of [`ARGS`].

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use serde_json::{Value, json};
use tracebit_lake::{App, HttpEvent, Schemas, SqsEvent, drain, webhook};

/// The arguments that make this test program the function.
pub(super) const ARGS: [&str; 3] = ["--exact", "--ignored", "chaos::earlier::function"];
/// The variable that says which function it is.
pub(super) const ROLE: &str = "ROLE";

/// A severity that the earlier schema does not allow, so that the alert is a classification failure to it.
pub(super) const REFUSED_SEVERITY: &str = "Medium";

#[tokio::test]
#[ignore = "it is a function that the chaos test starts"]
async fn function() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let app = App::from_env().await?.with_schemas(schemas());
    if std::env::var(ROLE)? == "drain" {
        let app = app.without_queue();
        let answer = async |LambdaEvent { payload, context }: LambdaEvent<SqsEvent>| {
            Ok::<_, Error>(drain::handle(&app, payload, &context.into()).await)
        };
        return lambda_runtime::run(service_fn(answer)).await;
    }
    let answer = async |LambdaEvent { payload, context }: LambdaEvent<HttpEvent>| {
        Ok::<_, Error>(webhook::handle(&app, payload, &context.into()).await)
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// The alerts' schema before it was corrected: it allows one severity alone and extracts no usernames.
fn schemas() -> Schemas {
    let yaml = include_str!("../../../schemas/tracebit_alert.yml");
    let mut schema: Value = serde_saphyr::from_str(yaml).unwrap();
    schema["version"] = json!(0);
    let fields = schema["fields"].as_array_mut().unwrap();
    *field(fields, "severity") = json!({
        "name": "severity",
        "type": "string",
        "description": "High",
        "validate": {"allow": ["High"]},
    });
    let principal = field(fields, "principal")["fields"].as_array_mut().unwrap();
    let aws = field(principal, "aws")["fields"].as_array_mut().unwrap();
    field(aws, "username").as_object_mut().unwrap().remove("indicators").unwrap();
    Schemas::load(&[("tracebit_alert.yml", &schema.to_string())]).unwrap()
}

fn field<'f>(fields: &'f mut [Value], name: &str) -> &'f mut Value {
    fields.iter_mut().find(|field| field["name"] == name).unwrap()
}
