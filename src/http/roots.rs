//! Loads the certificates that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, in the same way on every operating system.

use std::env;
use std::ffi::OsStr;
use std::path::Path;

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls_native_certs::load_certs_from_paths;

use crate::types::error::{Error, ErrorKind, Result};

/// The certificates from the environment, which replace the operating system's. `None` if neither variable is set.
pub(super) fn from_environment() -> Result<Option<Vec<Certificate>>> {
    named(
        env::var_os("SSL_CERT_FILE").as_deref(),
        env::var_os("SSL_CERT_DIR").as_deref(),
    )
}

/// The certificates of the file and of all files in the folders: the union, as observed of the official SDK 1.9.1.
fn named(file: Option<&OsStr>, folders: Option<&OsStr>) -> Result<Option<Vec<Certificate>>> {
    let file = file.filter(|file| !file.is_empty()).map(Path::new);
    let folders: Vec<_> = folders
        .iter()
        .flat_map(env::split_paths)
        .filter(|folder| !folder.as_os_str().is_empty())
        .collect();
    if file.is_none() && folders.is_empty() {
        return Ok(None);
    }
    let mut found = vec![load_certs_from_paths(file, None)];
    found.extend(
        folders
            .iter()
            .map(|folder| load_certs_from_paths(None, Some(folder))),
    );
    let mut roots = Vec::new();
    let mut problems = Vec::new();
    for result in found {
        for certificate in result.certs {
            // An unusable certificate must not prevent the use of the others.
            match RootCertStore::empty().add(certificate.clone()) {
                Ok(()) => roots.extend(Certificate::from_der(&certificate)),
                Err(why) => problems.push(why.to_string()),
            }
        }
        problems.extend(result.errors.iter().map(ToString::to_string));
    }
    for problem in &problems {
        tracing::warn!(
            problem,
            "a certificate named by SSL_CERT_FILE or SSL_CERT_DIR cannot be used"
        );
    }
    if roots.is_empty() {
        let why = problems
            .first()
            .map_or("there are no certificates", String::as_str);
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "SSL_CERT_FILE and SSL_CERT_DIR name no usable certificate ({why}); correct them, or unset them to trust the operating system's certificates"
            ),
        ));
    }
    Ok(Some(roots))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;

    use super::named;

    fn certificate() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    fn count(file: Option<&OsStr>, folders: Option<&OsStr>) -> Option<usize> {
        named(file, folders).unwrap().map(|roots| roots.len())
    }

    #[test]
    fn certificates_of_file_and_folders_are_combined() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = one.path().join("bundle.pem");
        fs::write(&file, certificate() + &certificate()).unwrap();
        fs::write(two.path().join("a.pem"), certificate()).unwrap();
        fs::write(two.path().join("README"), "no certificate").unwrap();
        let folders = std::env::join_paths([one.path(), two.path()]).unwrap();
        let (file, folder) = (file.as_os_str(), two.path().as_os_str());
        assert_eq!(count(Some(file), None), Some(2));
        assert_eq!(count(None, Some(folder)), Some(1));
        assert_eq!(count(Some(file), Some(folder)), Some(3));
        assert_eq!(count(None, Some(&folders)), Some(3));
        assert_eq!(count(Some(OsStr::new("")), Some(OsStr::new(""))), None);
        assert_eq!(count(None, None), None);
    }

    #[test]
    fn variables_without_a_certificate_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.pem");
        let error = named(Some(missing.as_os_str()), None).unwrap_err();
        assert!(error.to_string().contains("missing.pem"), "{error}");
        let error = named(None, Some(folder.path().as_os_str())).unwrap_err();
        assert!(
            error.to_string().contains("there are no certificates"),
            "{error}"
        );
    }
}
