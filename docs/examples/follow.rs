use spiffe::X509Source;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The socket is the one that SPIFFE_ENDPOINT_SOCKET names; the source follows every rotation.
    let source = X509Source::new().await?;
    let mut updates = source.updated();
    loop {
        if let Some(svid) = source.try_svid() {
            println!("{} {} certificates", svid.spiffe_id(), svid.cert_chain().len());
        }
        updates.changed().await?;
    }
}
