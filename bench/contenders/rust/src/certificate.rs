//! A self-signed certificate for the server of one run.
use crate::Failure;
use std::fs::File;
use std::io::BufReader;
use std::process::{Command, Stdio};

pub struct Files {
    pub folder: String,
    pub key: String,
    pub chain: String,
}

pub fn make() -> Result<Files, Failure> {
    let folder = std::env::temp_dir().join(format!("bench-certificate-{}", std::process::id())).to_string_lossy().into_owned();
    std::fs::create_dir_all(&folder)?;
    let files = Files { key: format!("{folder}/key.pem"), chain: format!("{folder}/certificate.pem"), folder };
    // webpki takes no authority's certificate for a server's.
    let arguments = [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=bench",
        "-addext", "subjectAltName=DNS:bench", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &files.key, "-out", &files.chain,
    ];
    if !Command::new("openssl").args(arguments).stderr(Stdio::null()).status()?.success() {
        return Err("openssl made no certificate".into());
    }
    Ok(files)
}

pub fn chain(path: &str) -> Result<Vec<rustls::Certificate>, Failure> {
    Ok(rustls_pemfile::certs(&mut BufReader::new(File::open(path)?))?.into_iter().map(rustls::Certificate).collect())
}

pub fn key(path: &str) -> Result<rustls::PrivateKey, Failure> {
    let keys = rustls_pemfile::pkcs8_private_keys(&mut BufReader::new(File::open(path)?))?;
    keys.into_iter().next().map(rustls::PrivateKey).ok_or_else(|| "no key in the file".into())
}
