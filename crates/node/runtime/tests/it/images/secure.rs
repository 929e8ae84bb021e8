//! Registries that speak TLS: who is trusted is what the system says (or `SSL_CERT_FILE`), and whom the
//! operator names.
//!
//! That variable is read by the process that pulls, so each pull that it is about is a child's.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use runtime::images::{
    Authorities, ImageStore, Images, Progress, PullBehavior, RegistryAuth, Settings,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::made::{Made, layer, open, settings, store};
use super::registry::{Auth, Registry};

/// What a child is to pull, and where it tells how that went; set only for children.
const REFERENCE: &str = "LONGSHORE_TEST_PULL";
const FOLDER: &str = "LONGSHORE_TEST_PULL_FOLDER";

/// Not a test of its own: what the children of the tests below do.
#[tokio::test]
async fn child() {
    let Ok(reference) = std::env::var(REFERENCE) else { return };
    let folder = std::env::var(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let store = open(folder, PullBehavior::PreferCached);
    let user = RegistryAuth::Basic { username: "user".to_owned(), password: "secret".to_owned() };
    let outcome = store.pull(&reference.parse().unwrap(), &user, Progress::silent()).await;
    let told =
        outcome.map_or_else(|error| error.to_string(), |pulled| pulled.image.digest.to_string());
    fs::write(folder.join("told"), told).unwrap();
}

/// Pulls in a process that trusts the certificates of `roots`; answers the digest or the error.
async fn pull_trusting(reference: &str, roots: &Path, folder: &Path) -> String {
    let status = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "images::secure::child"])
        .env(REFERENCE, reference)
        .env(FOLDER, folder)
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR")
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.await.unwrap().success());
    fs::read_to_string(folder.join("told")).unwrap()
}

/// An authority of one's own, as companies have.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate for `name`, signed by the authority.
fn acceptor(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn image() -> Made {
    Made::new(&[layer(&[("a", "one")]), layer(&[("b", "two")])])
}

#[tokio::test]
async fn a_registry_with_a_trusted_certificate_is_pulled_from() {
    let authority = authority("ours");
    let made = image();
    for auth in [Auth::Anonymous, Auth::Basic, Auth::PrivateBearer] {
        let registry = Registry::start_secure(auth, acceptor(&authority, "127.0.0.1")).await;
        registry.push("team/app:v1", &made);
        let (folder, _) = store();
        let roots = folder.path().join("roots.pem");
        fs::write(&roots, authority.pem()).unwrap();
        let reference = registry.reference("team/app:v1").to_string();
        let told = pull_trusting(&reference, &roots, folder.path()).await;
        assert_eq!(told, made.digest().to_string());
    }
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused_and_named() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let (folder, _) = store();
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, ours.pem()).unwrap();
    for (acceptor, why) in [
        (acceptor(&theirs, "127.0.0.1"), "UnknownIssuer"),
        (acceptor(&ours, "registry.example"), "not valid for name"),
    ] {
        let registry = Registry::start_secure(Auth::Anonymous, acceptor).await;
        registry.push("app:v1", &image());
        let reference = registry.reference("app:v1").to_string();
        let told = pull_trusting(&reference, &roots, folder.path()).await;
        assert!(told.contains("certificate") && told.contains(why), "{told}");
        assert_eq!(registry.seen().len(), 0, "something was asked of a stranger");
    }
}

#[tokio::test]
async fn authorities_that_are_named_are_trusted_besides() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let (folder, _) = store();
    let file = folder.path().join("ca.crt");
    fs::write(&file, ours.pem()).unwrap();
    let authorities = Authorities::read(&[&file]).unwrap();
    let settings = Settings { authorities, ..settings(PullBehavior::PreferCached) };
    let images = ImageStore::open(folder.path().join("images"), settings).unwrap();
    let user = RegistryAuth::Basic { username: "user".to_owned(), password: "secret".to_owned() };
    let made = image();
    let registry = Registry::start_secure(Auth::Basic, acceptor(&ours, "127.0.0.1")).await;
    registry.push("team/app:v1", &made);
    let reference = registry.reference("team/app:v1");
    let pulled = images.pull(&reference, &user, Progress::silent()).await.unwrap();
    assert_eq!(pulled.image.digest, made.digest());
    let stranger = Registry::start_secure(Auth::Anonymous, acceptor(&theirs, "127.0.0.1")).await;
    stranger.push("app:v1", &made);
    let reference = stranger.reference("app:v1");
    let told = images.pull(&reference, &user, Progress::silent()).await.unwrap_err().to_string();
    assert!(told.contains("UnknownIssuer"), "{told}");
}
