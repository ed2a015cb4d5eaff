//! An earlier release of the functions: the same code with an earlier version of the alerts' schema.
//!
//! The schemas are embedded in the binaries, so this test program is the functions of the earlier release.

use lambda_runtime::{Error, tracing};
use serde_json::{Value, json};
use tracebit_lake::{core::schema::Schemas, ingest::App};

use crate::support::{serve_drain, serve_webhook};

/// A severity that the earlier schema does not allow, so that the alert is a classification failure to it.
pub(super) const REFUSED_SEVERITY: &str = "Medium";

/// The tests that are the functions.
pub(super) const WEBHOOK: &str = "chaos::earlier::webhook";
pub(super) const DRAIN: &str = "chaos::earlier::drain";

#[tokio::test]
#[ignore = "it is a function that the chaos test starts"]
async fn webhook() -> Result<(), Error> {
    serve_webhook(app().await?).await
}

#[tokio::test]
#[ignore = "it is a function that the chaos test starts"]
async fn drain() -> Result<(), Error> {
    serve_drain(app().await?).await
}

async fn app() -> Result<App, Error> {
    tracing::init_default_subscriber();
    Ok(App::from_env().await?.with_schemas(schemas()))
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
