//! Downloads from a small HTTP server of our own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::*;
use crate::world::Algorithm;

/// Serves `/file`, `/short` (cut off), `/private` (wants user:pass@), `/missing`; counts requests.
fn serve() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
            std::thread::sleep(std::time::Duration::from_millis(100));
            let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
            let allowed = head.to_lowercase().contains("authorization: basic dtpw");
            let body = b"the content";
            let (status, length) = match path.as_str() {
                "/file" => ("200 OK", body.len()),
                "/short" => ("200 OK", 1000),
                "/private" if allowed => ("200 OK", body.len()),
                "/private" => ("401 Unauthorized", body.len()),
                _ => ("404 Not Found", body.len()),
            };
            let mut stream = stream;
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(body);
        }
    });
    (port, count)
}

fn download(port: u16, path: &str, checksum: Option<(Algorithm, String)>) -> Download {
    Download {
        url: format!("http://127.0.0.1:{port}{path}"),
        checksum,
        headers: vec![],
        client: None,
        username: None,
        password: None,
        timeout: 5,
        validate_certs: true,
        force: false,
    }
}

#[test]
fn what_is_downloaded_is_verified_and_fetched_once() {
    let (port, count) = serve();
    let unique = format!("{port}");
    let right = Algorithm::Sha256.hex(b"the content");
    // Without checksum: once per run, also for hosts that ask at the same time.
    let threads: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(move || fetch(&download(port, "/file", None)).map_err(|p| p.message)))
        .collect();
    for thread in threads {
        let (path, digest) = thread.join().expect("no panic").expect("fetched");
        assert_eq!(digest, right);
        assert_eq!(std::fs::read(path).expect("there"), b"the content");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "{unique}");
    let wrong = fetch(&download(port, "/file", Some((Algorithm::Sha512, "ab".repeat(64))))).expect_err("refused");
    assert!(
        wrong.message.contains("expected sha512:abab") && wrong.message.contains("got sha512:"),
        "{}",
        wrong.message
    );
    let got =
        fetch(&download(port, "/file", Some((Algorithm::Md5, Algorithm::Md5.hex(b"the content"))))).expect("fetched");
    assert_eq!(got.1, right);
    let cut = fetch(&download(port, "/short", None)).expect_err("refused");
    assert!(cut.message.contains("cannot download"), "{}", cut.message);
    let missing = fetch(&download(port, "/none", None)).expect_err("refused");
    assert!(missing.message.contains("status 404"), "{}", missing.message);
    assert!(fetch(&download(port, "/private", None)).expect_err("refused").message.contains("status 401"));
    let mut with = download(port, "/private", None);
    with.url = format!("http://u:p@127.0.0.1:{port}/private");
    assert_eq!(fetch(&with).map_err(|p| p.message).expect("fetched").1, right);
    let nowhere = fetch(&download(1, "/file", None)).expect_err("refused");
    assert!(nowhere.message.contains("cannot download"), "{}", nowhere.message);
}
