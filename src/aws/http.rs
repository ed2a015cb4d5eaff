//! The HTTP client of every service: the root certificates of TLS, and which connections are trusted.

use std::{
    env,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// How long a connection may be idle. S3 closes one after some 20 s, and one that dies without a word costs an attempt:
/// <https://github.com/awslabs/aws-sdk-rust/issues/1417>. The clock goes on while Lambda freezes the function:
/// <https://github.com/aws/aws-lambda-web-adapter/issues/830>.
const MAX_IDLE: Duration = Duration::from_secs(10);

const FILE: &str = "SSL_CERT_FILE";
const DIRECTORY: &str = "SSL_CERT_DIR";

/// No certificate of an authority can be read, so every connection with TLS would fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoots {
    /// In the place that the environment names.
    #[error("no root certificate is where {0} points; correct it, or remove it to use the system's certificates")]
    Named(&'static str),
    /// On this system.
    #[error("this system has no root certificates; use a runtime that has them, or point {FILE} to a file of them")]
    System,
}

/// Looks for one root certificate, in the places where the SDK reads them all.
///
/// # Errors
/// [`NoRoots`] if there is none.
pub(super) fn find_roots() -> Result<(), NoRoots> {
    let (file, directory) = (env::var_os(FILE), env::var_os(DIRECTORY));
    let likely = match (&file, &directory) {
        (Some(file), _) => Some(PathBuf::from(file)),
        (None, Some(_)) => None,
        (None, None) => openssl_probe::probe().cert_file,
    };
    // The first certificate of a file is quickly read. All of them cost a start a tenth of its time.
    if likely.is_some_and(|file| has_root(&file)) {
        return Ok(());
    }
    if rustls_native_certs::load_native_certs().certs.iter().any(is_root) {
        return Ok(());
    }
    Err(match (file, directory) {
        (Some(_), _) => NoRoots::Named(FILE),
        (None, Some(_)) => NoRoots::Named(DIRECTORY),
        (None, None) => NoRoots::System,
    })
}

fn has_root(file: &Path) -> bool {
    CertificateDer::pem_file_iter(file).is_ok_and(|mut all| all.any(|one| one.is_ok_and(|one| is_root(&one))))
}

fn is_root(certificate: &CertificateDer<'_>) -> bool {
    RootCertStore::empty().add(certificate.clone().into_owned()).is_ok()
}

/// An HTTP client. `has_roots` says whether it needs TLS and can have it.
pub(super) fn client(has_roots: bool) -> SharedHttpClient {
    SharedHttpClient::new(Connections { has_roots, pool: Arc::new(Mutex::new(Arc::new(new_pool(has_roots)))) })
}

/// TLS is rustls with *ring*: aws-lc, the SDK's default, gathers entropy for tens of milliseconds of CPU at start-up.
#[expect(clippy::expect_used, reason = "the builder of a TLS context has no error")]
fn new_pool(has_roots: bool) -> SharedHttpClient {
    let roots = TrustStore::empty().with_native_roots(has_roots);
    let tls = TlsContext::builder().with_trust_store(roots).build().expect("a context for a trust store");
    let builder = Builder::new().pool_idle_timeout(MAX_IDLE).tls_provider(Provider::Rustls(CryptoMode::Ring));
    builder.tls_context(tls).build_https()
}

type Pool = Arc<SharedHttpClient>;

/// The connections to all services. After an attempt without an answer they are replaced, because what ended one
/// connection, such as a freeze or a NAT gateway, often ended the others of its age.
#[derive(Debug, Clone)]
struct Connections {
    has_roots: bool,
    pool: Arc<Mutex<Pool>>,
}

impl Connections {
    fn pool<T>(&self, act: impl FnOnce(&mut Pool) -> T) -> T {
        act(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpClient for Connections {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let pool = self.pool(|pool| Arc::clone(pool));
        let connector = pool.http_connector(settings, components);
        SharedHttpConnector::new(Watched { connector, pool, connections: self.clone() })
    }
}

/// The connector of one attempt.
#[derive(Debug)]
struct Watched {
    connector: SharedHttpConnector,
    pool: Pool,
    connections: Connections,
}

impl HttpConnector for Watched {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.connector.call(request);
        let doubt = Doubt { pool: Some(Arc::clone(&self.pool)), connections: self.connections.clone() };
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            if answer.is_ok() {
                doubt.dismiss();
            }
            answer
        })
    }
}

/// Replaces the pool unless there is an answer. An attempt that takes too long is dropped, so this is done on drop.
struct Doubt {
    pool: Option<Pool>,
    connections: Connections,
}

impl Doubt {
    fn dismiss(mut self) {
        self.pool = None;
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        let Some(doubtful) = self.pool.take() else { return };
        self.connections.pool(|pool| {
            // Another attempt may have replaced it.
            if Arc::ptr_eq(pool, &doubtful) {
                *pool = Arc::new(new_pool(self.connections.has_roots));
            }
        });
    }
}
