//! Opens the place that a URL names.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, str::FromStr, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    local::LocalFileSystem,
    path::Path as Key,
    prefix::PrefixStore,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{OriginalError, Originals, unavailable};

const FOLDER: &str = "originals";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Without a byte in either direction; there is no limit on a whole transfer, since a client may take its time.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Within what a request may take. Whoever uploads is told to come back; ingestion tries again by itself.
const RETRY_TIMEOUT: Duration = Duration::from_secs(45);
const MAX_RETRIES: usize = 6;
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

pub(super) fn open(
    data_dir: &Path,
    url: Option<&Url>,
    options: &[(String, SecretString)],
) -> Result<Originals, OriginalError> {
    let Some(url) = url else {
        let path = data_dir.join(FOLDER);
        // Up to version 0.1.0 uploads were written there first; what is left of them is nobody's.
        let _ = fs::remove_dir_all(path.join("drafts"));
        return folder(&path);
    };
    let (scheme, prefix) = ObjectStoreScheme::parse(url).map_err(|error| unavailable(&error))?;
    match scheme {
        ObjectStoreScheme::Local => {
            let path = url.to_file_path().map_err(|()| unavailable(&"the URL names no folder of this machine"))?;
            folder(&path)
        }
        ObjectStoreScheme::AmazonS3 => s3(url, prefix, options),
        ObjectStoreScheme::MicrosoftAzure => azure(url, prefix, options),
        _ => Err(unavailable(&"the URL names no folder, S3 bucket or Azure container")),
    }
}

/// Files and folders are synced before a write counts as done.
fn folder(path: &Path) -> Result<Originals, OriginalError> {
    let make = || {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    };
    if !path.exists() {
        make().map_err(|error| unavailable(&format_args!("{}: {error}", path.display())))?;
    }
    let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true).with_automatic_cleanup(true);
    Ok(Originals { store: Arc::new(store), folder: Some(Arc::from(path)) })
}

fn s3(url: &Url, prefix: Key, options: &[(String, SecretString)]) -> Result<Originals, OriginalError> {
    let builder = AmazonS3Builder::new()
        .with_url(url.as_str())
        .with_client_options(client())
        .with_retry(retry())
        // The store compares what it received, part by part.
        .with_checksum_algorithm(Checksum::SHA256);
    let store =
        known::<AmazonS3ConfigKey>(options).fold(builder, |builder, (key, value)| builder.with_config(key, value));
    Ok(remote(store.build()?, prefix))
}

fn azure(url: &Url, prefix: Key, options: &[(String, SecretString)]) -> Result<Originals, OriginalError> {
    let builder = MicrosoftAzureBuilder::new().with_url(url.as_str()).with_client_options(client()).with_retry(retry());
    let store = known::<AzureConfigKey>(options).fold(builder, |builder, (key, value)| builder.with_config(key, value));
    Ok(remote(store.build()?, prefix))
}

/// The options that this kind of store has, of all those in the environment.
fn known<K: FromStr>(options: &[(String, SecretString)]) -> impl Iterator<Item = (K, &str)> {
    options.iter().filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.expose_secret())))
}

fn remote(store: impl ObjectStore, prefix: Key) -> Originals {
    Originals { store: Arc::new(PrefixStore::new(store, prefix)), folder: None }
}

fn client() -> ClientOptions {
    // The provider of everything in this process; it does not matter who installs it first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(SILENCE_TIMEOUT)
        .with_timeout_disabled()
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: FIRST_DELAY, max_backoff: LONGEST_DELAY, base: 2.0 },
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }
}
