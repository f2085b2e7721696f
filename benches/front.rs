//! Benchmark of `src/rpc` and `src/service`: the server's CPU for each call, over loopback, without log or raft.
//!
//! One executor serves; the client is another thread that writes frames made beforehand and counts trailers, so that it
//! costs as little as it can. What is printed is the CPU time that the kernel accounted to the server's thread.
//! `cargo bench --bench front`; under `cargo test --benches` a few calls of each kind are made.

use bytes::Bytes;
use glommio::{LocalExecutorBuilder, Placement};
use prost::Message;
use ringbolt::apply::{Applier, CommittedEntry, Payload};
use ringbolt::command::{BatchBuilder, Kind, Outcome, PutRequest, RangeRequest};
use ringbolt::net::{Address, Bound};
use ringbolt::proto::etcdserverpb::StatusRequest;
use ringbolt::replica::{LeaseAnswer, LeaseAsk};
use ringbolt::rpc::{self, Answers, Call, Handler, HttpRequest, HttpResponse, Shutdown};
use ringbolt::service::{
    Identity, Member, MemberStatus, ProposeError, ReadError, Service, Settings, Watches, serve_connection,
};
use ringbolt::tree::{Arena, Config, Pinned, Reader, Tree};
use ringbolt::types::{BootNonce, ClusterId, MemberId, Now, RaftIndex, Revision, ShardId, Term};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;

const PAGES: u64 = 1 << 18;
const MEMBER: MemberId = MemberId(1);
const NONCE: BootNonce = BootNonce(1);

/// The real store, each command applied at once.
#[derive(Clone)]
struct Store(Rc<Inner>);

struct Inner {
    tree: RefCell<Tree>,
    reader: Reader,
    identity: Identity,
    applied: Cell<RaftIndex>,
    watches: Watches,
}

fn watch_config() -> ringbolt::watch::Config {
    ringbolt::watch::Config {
        cluster: ClusterId(1),
        member: MEMBER,
        frame_prefix: rpc::frame::prefix,
        fragment_bytes: 2 << 20,
        message_bytes_max: 1 << 30,
        progress_interval: std::time::Duration::from_mins(10),
        bounds: ringbolt::watch::Bounds::default(),
        seed: 1,
    }
}

impl Store {
    fn new() -> Self {
        let tree = Tree::create(Arena::anonymous(PAGES), Config::default(), PAGES).expect("fits");
        let identity = Identity {
            cluster_id: ClusterId(1),
            member_id: MEMBER,
            name: "bench".to_owned(),
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
        };
        let reader = tree.shared().reader(ShardId(0));
        let (tree, watches) = (RefCell::new(tree), Watches::new(watch_config()));
        let store = Self(Rc::new(Inner { tree, reader, identity, applied: Cell::default(), watches }));
        let value = Bytes::from(vec![b'v'; 256]);
        let large = Bytes::from(vec![b'l'; 1024]);
        for number in 0..10_000 {
            for (key, value) in [(key(number), &value), (large_key(number), &large)] {
                let put = PutRequest { key, value: value.clone(), ..PutRequest::default() };
                store.apply(Kind::Put, &put.encode_to_vec()).expect("puts succeed");
            }
        }
        store
    }

    fn apply(&self, kind: Kind, payload: &[u8]) -> Result<Outcome, ProposeError> {
        let index = self.0.applied.get().next();
        self.0.applied.set(index);
        let mut batch = BatchBuilder::new(MEMBER, NONCE, 1);
        batch.push(kind, payload);
        let entry = CommittedEntry { index, term: Term(1), payload: Payload::Batch(batch.finish()) };
        let mut answers = Vec::new();
        let applier = Applier::new(MEMBER, NONCE);
        applier.apply(&mut self.0.tree.borrow_mut(), &[entry], |_| true, &mut answers).expect("applies");
        answers.pop().expect("one answer").1.map_err(ProposeError::Request)
    }
}

impl Member for Store {
    async fn propose(&self, kind: Kind, payload: Bytes) -> Result<Outcome, ProposeError> {
        self.apply(kind, &payload)
    }

    async fn read_barrier(&self) -> Result<(), ReadError> {
        Ok(())
    }

    async fn compaction_finished(&self, _: Revision) -> Result<(), ProposeError> {
        Ok(())
    }

    async fn lease(&self, _: LeaseAsk) -> Result<LeaseAnswer, ProposeError> {
        Ok(LeaseAnswer::NotFound)
    }

    fn watches(&self) -> &Watches {
        &self.0.watches
    }

    fn now(&self) -> Now {
        Now(0)
    }

    fn next_id(&self) -> u64 {
        1
    }

    fn pin(&self) -> Pinned {
        self.0.reader.pin()
    }

    fn status(&self) -> MemberStatus {
        MemberStatus { term: Term(1), leader: MEMBER, ..MemberStatus::default() }
    }

    fn on_damage(&self, error: &ringbolt::mvcc::Error) {
        panic!("a store in memory is never damaged: {error}");
    }

    fn identity(&self) -> &Identity {
        &self.0.identity
    }
}

/// Answers each call with an empty message: the transport alone.
#[derive(Clone)]
struct Empty;

impl Handler for Empty {
    fn call(&self, call: Call) -> impl Future<Output = ()> + 'static {
        answer_empty(call)
    }

    fn request(&self, _: HttpRequest) -> impl Future<Output = HttpResponse> + 'static {
        std::future::ready(HttpResponse::new(Bytes::new()))
    }
}

async fn answer_empty(call: Call) {
    let Call { mut requests, mut reply, .. } = call;
    match reply.only(&mut requests, Answers::One).await {
        Ok(_) => reply.message(Bytes::from_static(&[0; 5])).await,
        Err(status) => reply.finish(status),
    }
}

fn key(number: u32) -> Bytes {
    Bytes::from(format!("/registry/pods/default/pod-{number:08}"))
}

fn large_key(number: u32) -> Bytes {
    Bytes::from(format!("/registry/secrets/secret-{number:08}"))
}

/// Starts a server; gives its address and the file in which the kernel accounts its thread's CPU.
fn serve(transport_alone: bool) -> (SocketAddr, String) {
    let bound = Bound::bind(&Address::Tcp("127.0.0.1:0".parse().expect("an address"))).expect("a free port");
    let Address::Tcp(address) = *bound.address() else { unreachable!("bound to TCP") };
    let (send, receive) = mpsc::channel();
    let builder = LocalExecutorBuilder::new(Placement::Unbound);
    let spawned = builder.spawn(move || async move {
        let thread = std::fs::read_link("/proc/thread-self").expect("proc is mounted");
        send.send(format!("/proc/{}/schedstat", thread.display())).expect("the main thread waits");
        let mut listener = bound.attach().expect("a listener");
        let service = Service::new(Store::new(), Settings::default(), Shutdown::default());
        let context = rpc::Context::new(rpc::Config::default(), Shutdown::default());
        loop {
            let connection = listener.accept().await.expect("connections");
            let (service, context) = (service.clone(), context.clone());
            let served = async move {
                if transport_alone {
                    rpc::serve(connection.attach().expect("attached"), Empty, context).await
                } else {
                    serve_connection(connection.attach().expect("attached"), service).await
                }
            };
            glommio::spawn_local(async move { drop(served.await) }).detach();
        }
    });
    spawned.expect("an executor");
    (address, receive.recv().expect("the server starts"))
}

fn cpu_nanoseconds(schedstat: &str) -> u64 {
    let line = std::fs::read_to_string(schedstat).expect("the server's thread");
    line.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds")
}

/// One connection of the client.
struct Connection {
    stream: TcpStream,
    stream_next: u32,
    received: Vec<u8>,
    consumed_bytes: u32,
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The header block of a call as grpc-go sends it: the first one fills the server's table, later ones name its entries.
fn header_block(path: &str, first: bool) -> Vec<u8> {
    // :method POST and :scheme http stand in the static table.
    let mut block = vec![0x83, 0x86];
    let fields = [
        (":path", path),
        (":authority", "127.0.0.1:2379"),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-go/1.82.1"),
        ("te", "trailers"),
        ("client-api-version", "3.7"),
    ];
    for (index, (name, value)) in fields.iter().enumerate() {
        if first {
            block.push(0x40);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).expect("short"));
                block.extend_from_slice(text.as_bytes());
            }
        } else {
            // The newest entry of the dynamic table is 62.
            block.push(0x80 | u8::try_from(62 + fields.len() - 1 - index).expect("short"));
        }
    }
    // A deadline is another one each time: literal, not indexed.
    block.push(0);
    for text in ["grpc-timeout", "4999850u"] {
        block.push(u8::try_from(text.len()).expect("short"));
        block.extend_from_slice(text.as_bytes());
    }
    block
}

impl Connection {
    fn new(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket option");
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // A window that never needs to be opened again within a run of the bench's size.
        frame(&mut hello, 4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
        frame(&mut hello, 8, 0, 0, &0x7fff_0000u32.to_be_bytes());
        stream.write_all(&hello).expect("the server reads");
        Self { stream, stream_next: 1, received: Vec::new(), consumed_bytes: 0 }
    }

    fn send(&mut self, path: &str, message: &[u8], count: u32) {
        let mut out = Vec::new();
        for _ in 0..count {
            frame(&mut out, 1, 4, self.stream_next, &header_block(path, self.stream_next == 1));
            frame(&mut out, 0, 1, self.stream_next, message);
            self.stream_next += 2;
        }
        self.stream.write_all(&out).expect("the server reads");
    }

    /// Reads what is there, at least something; the number of calls that ended with status 0.
    fn receive(&mut self) -> u32 {
        let mut buffer = [0; 65_536];
        let count = self.stream.read(&mut buffer).expect("the server answers");
        assert!(count > 0, "the server closed the connection");
        self.received.extend_from_slice(&buffer[..count]);
        let (mut ended, mut rest) = (0, self.received.as_slice());
        while let Some((header, after)) = rest.split_first_chunk::<9>() {
            let length = usize::try_from(u32::from_be_bytes([0, header[0], header[1], header[2]])).expect("short");
            let Some((payload, after)) = after.split_at_checked(length) else { break };
            assert!(!matches!(header[3], 3 | 7), "no resets, no farewell: {header:?} {payload:?}");
            if header[3] == 0 {
                self.consumed_bytes += u32::try_from(length).expect("short");
            }
            if header[3] == 1 && header[4] & 1 == 1 {
                ended += 1;
            }
            rest = after;
        }
        let used = self.received.len() - rest.len();
        self.received.drain(..used);
        if self.consumed_bytes > 1 << 28 {
            let mut update = Vec::new();
            frame(&mut update, 8, 0, 0, &self.consumed_bytes.to_be_bytes());
            self.stream.write_all(&update).expect("the server reads");
            self.consumed_bytes = 0;
        }
        ended
    }
}

/// Makes `calls` calls with `depth` open on each of `connections`, and gives the server's CPU for each, in microseconds.
fn measure(target: &(SocketAddr, String), path: &str, message: &[u8], shape: (usize, u32), calls: u32) -> f64 {
    let (connections, depth) = shape;
    let mut clients: Vec<_> = (0..connections).map(|_| Connection::new(target.0)).collect();
    let mut done = 0;
    let mut before = None;
    for client in &mut clients {
        client.send(path, message, depth);
    }
    while done < calls {
        for client in &mut clients {
            let ended = client.receive();
            client.send(path, message, ended);
            done += ended;
        }
        // The first tenth warms up.
        if before.is_none() && done >= calls / 10 {
            before = Some((done, cpu_nanoseconds(&target.1)));
        }
    }
    let (done_before, cpu_before) = before.expect("the loop ran");
    let cpu = cpu_nanoseconds(&target.1) - cpu_before;
    f64::from(u32::try_from(cpu / u64::from((done - done_before).max(1))).expect("less than a second")) / 1000.0
}

fn main() {
    let smoke = std::env::args().any(|argument| argument == "--test");
    let calls = if smoke { 200 } else { 200_000 };
    let transport = serve(true);
    let services = serve(false);
    let framed = |message: Vec<u8>| [&ringbolt::rpc::frame::prefix(message.len())[..], &message].concat();
    let get =
        |serializable| framed(RangeRequest { key: key(77), serializable, ..RangeRequest::default() }.encode_to_vec());
    let put = PutRequest { key: key(78), value: Bytes::from(vec![b'w'; 256]), ..PutRequest::default() };
    let secrets = || RangeRequest {
        key: Bytes::from_static(b"/registry/secrets/"),
        range_end: Bytes::from_static(b"/registry/secrets0"),
        ..RangeRequest::default()
    };
    let page = framed(RangeRequest { limit: 500, ..secrets() }.encode_to_vec());
    let count = framed(RangeRequest { count_only: true, ..secrets() }.encode_to_vec());
    let list = framed(secrets().encode_to_vec());
    let range = "/etcdserverpb.KV/Range";
    // Name, server, path, request, and by how much fewer calls are made.
    let works = [
        ("empty unary call", &transport, "/bench.Front/Empty", vec![0; 5], 1),
        ("status", &services, "/etcdserverpb.Maintenance/Status", framed(StatusRequest {}.encode_to_vec()), 1),
        ("get, serializable", &services, range, get(true), 1),
        ("get, linearizable", &services, range, get(false), 1),
        ("put of 256 B", &services, "/etcdserverpb.KV/Put", framed(put.encode_to_vec()), 1),
        ("count of 10,000", &services, range, count, 1),
        ("page of 500 x 1 KiB", &services, range, page, 20),
        ("list of 10,000 x 1 KiB", &services, range, list, 200),
    ];
    println!("{:24} {:>8} {:>8} {:>8}   server CPU, us a call", "connections x depth", "1 x 1", "1 x 100", "100 x 10");
    for (name, target, path, message, fewer) in works {
        let shapes = [(1, 1), (1, 100), (100, 10)];
        let [one, deep, wide] = shapes.map(|shape| measure(target, path, &message, shape, calls / fewer));
        println!("{name:24} {one:8.2} {deep:8.2} {wide:8.2}");
    }
}
