//! The sink as a client sees it. What it checks is proven by the embedded store's own tests.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use upload_testkit::sink::{Sink, SinkOptions};

fn options(folder: &std::path::Path) -> SinkOptions {
    let any = "127.0.0.1:0".parse().unwrap();
    SinkOptions {
        listen: any,
        control: any,
        data_dir: folder.to_path_buf(),
        bucket: "holdfast".to_owned(),
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
    }
}

async fn ask(address: std::net::SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{head} HTTP/1.1\r\nhost: sink\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn sink_refuses_what_is_not_signed_and_tells_what_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(&options(folder.path())).await.unwrap();
    let refused = ask(sink.listen_addr(), "GET /holdfast?uploads").await;
    assert!(refused.contains("AccessDenied"), "{refused}");
    let stats = ask(sink.control_addr(), "GET /__stats").await;
    assert!(stats.ends_with(r#"{"bodies":0,"bytes":0}"#), "{stats}");
    assert_eq!((sink.stats().bytes, sink.stats().bodies), (0, 0));
    let nothing = ask(sink.control_addr(), "GET /else").await;
    assert!(nothing.contains("try GET /__stats"), "{nothing}");
}

#[tokio::test]
async fn sink_is_not_reachable_from_other_machines() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.listen = "0.0.0.0:0".parse().unwrap();
    assert!(Sink::start(&options).await.is_err());
}
