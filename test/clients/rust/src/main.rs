//! A workload on the Rust `spiffe` crate; ../README.md tells its commands.

use serde_json::{Value, json};
use spiffe::{JwtSource, WorkloadApiClient, X509Source, X509Svid};
use std::{error::Error, time::Duration};
use tokio::io::AsyncReadExt;

const AUDIENCE: &str = "signet-test";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "once", socket] => once(socket).await,
        [_, "watch", socket] => watch(socket).await,
        _ => Err("usage: client once|watch SOCKET".into()),
    };
    if let Err(error) = outcome {
        eprintln!("{error:?}");
        std::process::exit(1);
    }
}

async fn once(socket: &str) -> Result<(), Box<dyn Error>> {
    let client = WorkloadApiClient::connect_to(socket).await?;
    let context = client.fetch_x509_context().await?;
    let x509 = client.fetch_x509_bundles().await?;
    let jwt = client.fetch_jwt_bundles().await?;
    let token = client.fetch_jwt_svid([AUDIENCE], None).await?;
    let valid = client.validate_jwt_token(AUDIENCE, token.token()).await?;
    let x509 = x509.iter().filter(|(_, bundle)| !bundle.authorities().is_empty());
    let jwt = jwt.iter().filter(|(_, bundle)| bundle.jwt_authorities().next().is_some());
    println!(
        "{}",
        json!({
            "svids": context.svids().iter().map(|svid| show(svid)).collect::<Vec<_>>(),
            "x509": sorted(x509.map(|(name, _)| name.to_string())),
            "jwt": sorted(jwt.map(|(name, _)| name.to_string())),
            "token": token.spiffe_id().to_string(),
            "validated": valid.spiffe_id().to_string(),
        })
    );
    Ok(())
}

async fn watch(socket: &str) -> Result<(), Box<dyn Error>> {
    let source = X509Source::builder().endpoint(socket).build().await?;
    let tokens = JwtSource::builder().endpoint(socket).build().await?;
    tokens.bundle_set()?;
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0u8; 1];
    let mut last = Value::Null;
    loop {
        // The source withdraws its SVID while it has none; that is not the end.
        if let Some(svid) = source.try_svid() {
            let current = show(&svid);
            if current != last {
                println!("{current}");
                last = current;
            }
        }
        tokio::select! {
            read = stdin.read(&mut buffer) => if read? == 0 { return Ok(()) },
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
}

fn show(svid: &X509Svid) -> Value {
    let leaf = svid.leaf().as_bytes().iter().map(|byte| format!("{byte:02x}"));
    json!({
        "id": svid.spiffe_id().to_string(),
        "hint": svid.hint().unwrap_or(""),
        "leaf": leaf.collect::<String>(),
    })
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
