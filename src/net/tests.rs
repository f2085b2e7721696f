//! Listeners and streams on loopback.

use super::{Address, Bound, Connection, Peer, Stream};
use crate::limits;
use futures_lite::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use glommio::{LocalExecutorBuilder, Placement};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;

fn run<F: Future<Output = ()> + 'static>(work: impl FnOnce() -> F + Send + 'static) {
    LocalExecutorBuilder::new(Placement::Unbound).make().unwrap().run(async move { work().await });
}

fn any_port() -> Address {
    Address::Tcp("127.0.0.1:0".parse().unwrap())
}

/// The two ends of an accepted connection.
async fn pair() -> (Stream, Stream) {
    let bound = Bound::bind(&any_port()).unwrap();
    let Address::Tcp(address) = *bound.address() else { panic!("bound to TCP") };
    let mut listener = bound.attach().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!(accepted.peer(), Peer::Tcp(client.local_addr().unwrap()));
    (accepted.attach().unwrap(), Connection::from_tcp(client).unwrap().attach().unwrap())
}

#[test]
fn an_address_in_use_is_an_error_and_free_again_afterwards() {
    let first = Bound::bind(&any_port()).unwrap();
    let error = Bound::bind(first.address()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let address = first.address().clone();
    drop(first);
    Bound::bind(&address).unwrap();
}

/// As etcd's: whoever listens on `0.0.0.0` is reached by IPv6 too, and a client of IPv4 goes by its own address.
#[test]
fn every_interface_is_listened_on_in_both_families() {
    run(|| async {
        let bound = Bound::bind(&Address::Tcp("0.0.0.0:0".parse().unwrap())).unwrap();
        let Address::Tcp(address) = *bound.address() else { panic!("bound to TCP") };
        let mut listener = bound.attach().unwrap();
        let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
        for host in [Some("127.0.0.1"), has_ipv6.then_some("::1")].into_iter().flatten() {
            let client = TcpStream::connect((host, address.port())).unwrap();
            assert_eq!(listener.accept().await.unwrap().peer(), Peer::Tcp(client.local_addr().unwrap()));
        }
    });
}

#[test]
fn the_socket_file_of_a_dead_server_is_replaced() {
    let path = std::env::temp_dir().join(format!("ringbolt-net-{}.sock", std::process::id()));
    let dead = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(dead);
    assert!(path.exists());
    drop(Bound::bind(&Address::Unix(path.clone())).unwrap());
    assert!(!path.exists());
    std::fs::write(&path, "not a socket").unwrap();
    assert!(Bound::bind(&Address::Unix(path.clone())).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"not a socket");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn bytes_cross_in_both_directions_and_the_end_is_seen() {
    run(|| async {
        let (mut server, mut client) = pair().await;
        let sent: Vec<u8> = (0..200_000u32).map(|index| index.to_be_bytes()[3]).collect();
        let expected = sent.clone();
        let writing = glommio::spawn_local(async move {
            client.write_all(&sent).await.unwrap();
            client.close().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, expected);
        server.write_all(b"heard").await.unwrap();
        drop(server);
        assert_eq!(writing.await, b"heard");
    });
}

#[test]
fn a_reader_polled_more_often_than_a_registration_allows_still_hears_of_data() {
    run(|| async {
        let (mut server, mut client) = pair().await;
        let mut polls = 0;
        let mut buffer = [0; 16];
        // As the task of a connection that only writes does: each turn asks for bytes in vain.
        let count = poll_fn(|context| {
            let polled = Pin::new(&mut server).poll_read(context, &mut buffer);
            polls += 1;
            match polls {
                ..1000 => {
                    assert!(polled.is_pending());
                    context.waker().wake_by_ref();
                }
                1000 => {
                    let mut writing = std::pin::pin!(client.write_all(b"at last"));
                    assert!(writing.as_mut().poll(context).is_ready());
                }
                _ => {}
            }
            polled
        });
        assert_eq!(count.await.unwrap(), 7);
        assert!(polls > 10 * limits::POLLS_PER_REGISTRATION_MAX);
        assert_eq!(&buffer[..7], b"at last");
        drop(client);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
    });
}
