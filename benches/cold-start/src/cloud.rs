//! S3, Secrets Manager, SNS and EventBridge on loopback, over TLS, as the functions see them.
//!
//! The certificate authority made for the run stands in one file with the system's own roots, so that a function that
//! loads the system's roots has as much to load as in production.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};
use tracebit_lake_harness::{
    DEVELOPMENT_SECRET,
    eventbridge::EventBridge,
    s3::S3,
    secrets_manager::{ARN, SecretsManager},
    sns::{Sns, TOPIC_ARN},
};

pub(crate) const BUCKET: &str = "lake";

/// The services, and what a function knows of them.
pub(crate) struct Cloud {
    environment: Vec<(String, String)>,
    pub(crate) s3: S3,
    pub(crate) sns: Sns,
    pub(crate) bus: EventBridge,
    _secrets: SecretsManager,
    _folder: TempDir,
}

impl Cloud {
    pub(crate) async fn start() -> Result<Self> {
        // In memory where there is such a folder: no disk is to be measured.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let (acceptor, authority) = certificates()?;
        let bundle = folder.path().join("roots.pem");
        fs::write(&bundle, format!("{}{authority}", system_roots()))?;
        let own_authority = folder.path().join("authority.pem");
        fs::write(&own_authority, authority)?;

        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let s3 = S3::on_folder(folder.path().join("s3"), any_port).await;
        s3.create_bucket(BUCKET);
        let secrets = SecretsManager::start().await;
        secrets.set(DEVELOPMENT_SECRET, None);
        let s3_url = terminate_tls(&s3.endpoint(), acceptor.clone()).await?;
        let secrets_url = terminate_tls(&secrets.endpoint(), acceptor.clone()).await?;
        let (sns, bus) = (Sns::start().await, EventBridge::start().await);
        let sns_url = terminate_tls(&sns.endpoint(), acceptor.clone()).await?;
        let bus_url = terminate_tls(&bus.endpoint(), acceptor).await?;

        let text = |path: PathBuf| path.to_str().map(str::to_owned).context("a folder with a UTF-8 name");
        let (bundle, own_authority) = (text(bundle)?, text(own_authority)?);
        let environment = [
            ("LAKE_BUCKET", BUCKET),
            ("AWS_ENDPOINT_URL_S3", &s3_url),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets_url),
            ("ALERT_TOPIC_ARN", TOPIC_ARN),
            ("AWS_ENDPOINT_URL_SNS", &sns_url),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", &bus_url),
            // Rust and boto3 take a file with all roots; Node takes one more than its own.
            ("SSL_CERT_FILE", &bundle),
            ("AWS_CA_BUNDLE", &bundle),
            ("NODE_EXTRA_CA_CERTS", &own_authority),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Ok(Self { environment, s3, sns, bus, _secrets: secrets, _folder: folder })
    }

    /// The environment of a function: as deployed, the secret comes from Secrets Manager; one that knows no such
    /// service gets the secret itself.
    pub(crate) fn environment(&self, fetches_secret: bool) -> Vec<(&str, &str)> {
        let secret =
            if fetches_secret { ("TRACEBIT_SECRET_ARN", ARN) } else { ("TRACEBIT_SECRET", DEVELOPMENT_SECRET) };
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([secret]).collect()
    }
}

/// A server's certificate for 127.0.0.1, and the authority that vouches for it, as PEM.
fn certificates() -> Result<(TlsAcceptor, String)> {
    let mut params = CertificateParams::new(vec![])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // Another name than the server's, or OpenSSL takes that for self-signed.
    params.distinguished_name.push(DnType::CommonName, "tracebit-lake's benchmark");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![Ipv4Addr::LOCALHOST.to_string()])?;
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &authority)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}

fn system_roots() -> String {
    let roots = rustls_native_certs::load_native_certs().certs;
    if roots.is_empty() {
        eprintln!("This system has no root certificates to load: functions start faster than they would in Lambda.");
    }
    roots.iter().map(|root| pem(root)).collect()
}

fn pem(certificate: &[u8]) -> String {
    let text = BASE64.encode(certificate);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Serves TLS on a port of its own, in front of a server that speaks plain HTTP.
async fn terminate_tls(plain: &str, acceptor: TlsAcceptor) -> Result<String> {
    let plain = plain.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("https://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, plain) = (acceptor.clone(), plain.clone());
            // A connection that ends early is a function that was killed.
            tokio::spawn(async move {
                socket.set_nodelay(true).ok();
                let mut outside = acceptor.accept(socket).await.ok()?;
                let mut inside = TcpStream::connect(plain).await.ok()?;
                inside.set_nodelay(true).ok();
                copy_bidirectional(&mut outside, &mut inside).await.ok()
            });
        }
    });
    Ok(url)
}
