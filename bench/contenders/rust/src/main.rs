//! quinn as a contender of bench/run: one thread, one connection, one bidirectional stream for each call.
mod certificate;
mod client;
mod clock;
mod header;
mod pattern;
mod quic;
mod service;

use std::collections::HashMap;
use std::error::Error;
use std::io::Read;

pub type Failure = Box<dyn Error + Send + Sync>;
/// Bytes that a transfer hands over at a time.
pub const CHUNK: usize = 32 * 1024;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let command = words.first().map(String::as_str).unwrap_or("--version");
    if command == "--version" {
        let version = serde_json::json!({
            "name": "quinn", "version": env!("BENCH_QUINN_VERSION"), "encryption": format!("QUIC, {}", quic::CIPHER),
            "notes": concat!("native, one thread; ", env!("BENCH_RUSTC_VERSION")),
        });
        println!("{version}");
        return Ok(());
    }
    let options = options(&words[1..])?;
    let option = |name: &str| options.get(name).cloned().ok_or_else(|| Failure::from(format!("--{name} is missing")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let here = tokio::task::LocalSet::new();
    match command {
        "server" => {
            let address = option("listen")?.parse()?;
            let files = certificate::make()?;
            let ready = serde_json::json!({"ready": true, "credential": files.chain});
            let folder = files.folder.clone();
            runtime.block_on(async {
                let endpoint = quic::server(address, &files)?;
                println!("{ready}");
                // The harness's end of the pipe closes when it ends, however it ends.
                std::thread::spawn(move || {
                    let _ = std::io::stdin().read_to_end(&mut Vec::new());
                    let _ = std::fs::remove_dir_all(folder);
                    std::process::exit(0);
                });
                service::serve(endpoint).await;
                Ok(())
            })
        }
        "client" => {
            let (address, credential) = (option("connect")?.parse()?, option("credential")?);
            let workload: client::Workload = serde_json::from_str(&option("workload")?)?;
            let (summary, records) = here.block_on(&runtime, client::run(address, &credential, workload));
            std::fs::write(option("records")?, records)?;
            println!("{}", serde_json::to_string(&summary)?);
            Ok(())
        }
        other => Err(format!("no command {other}").into()),
    }
}

/// `--name value` and `--name=value`.
fn options(words: &[String]) -> Result<HashMap<String, String>, Failure> {
    let (mut options, mut words) = (HashMap::new(), words.iter());
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--").ok_or_else(|| format!("{word} is no option"))?;
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, value.to_string()),
            None => (name, words.next().ok_or_else(|| format!("--{name} has no value"))?.clone()),
        };
        options.insert(name.to_string(), value);
    }
    Ok(options)
}
