//! Maintenance.Snapshot and Hash: the store as etcd keeps it, from one pinned root.
//!
//! The file's length comes with the first message, so the root is walked twice: a first pass adds up lengths, a second
//! one makes the pages and sends them as the client takes them. Neither a copy of the file nor of the rows is ever held.
//!
//! Invariants
//! - What is sent is one root's content, whatever is written meanwhile; nothing waits for it.
//! - A client that stops reading holds the root's pages and one step's bytes, no longer than `limits::SEND_STALL_TIMEOUT`;
//!   one that leaves lets go of them at once.
//! - The last message is the SHA-256 of all bytes before, which tells a whole file from one that was cut.

use super::header;
use super::member::Member;
use super::observed::Observed;
use super::server::Service;
use super::status::Error;
use crate::backup::{self, Hashing, Measuring, Writing};
use crate::cluster::Versions;
use crate::limits;
use crate::metrics::{Method, Stopwatch};
use crate::mvcc::{Progress, Work};
use crate::proto::etcdserverpb::{HashRequest, HashResponse, SnapshotRequest};
use crate::rpc::{self, Answers, Call, Pace, Reply, Status, frame};
use crate::tree::Pinned;
use bytes::Bytes;
use prost::encoding::{self, WireType};
use sha2::{Digest, Sha256};

/// `SnapshotResponse.remaining_bytes`.
const REMAINING: u32 = 2;
/// `SnapshotResponse.blob`.
const BLOB: u32 = 3;
/// `SnapshotResponse.version`.
const VERSION: u32 = 4;
/// Bytes of the fields of a message beside its blob, at most.
const FIELDS_BYTES_MAX: usize = 64;

/// Serves `Maintenance.Snapshot`.
pub(super) async fn snapshot<M: Member>(service: Service<M>, call: Call) {
    let Call { head, mut requests, mut reply } = call;
    let mut observed = Observed::new(&service, Method::MaintenanceSnapshot, Answers::Many);
    let streamed = async {
        let (asked, told) = ((&mut requests, Answers::Many), (&mut reply, &mut observed));
        service.request(&head, asked, told, |_: &SnapshotRequest| true).await?;
        let member = service.member();
        let (pinned, watch) = (member.pin(), Stopwatch::start());
        let version = Versions::of(&pinned.view())?.storage().to_string();
        let writing = measure(member, &pinned, &mut reply).await?;
        let stream = Stream { remaining: writing.file_bytes(), version, hash: Sha256::new() };
        stream.send((writing, &pinned), (&mut reply, &observed)).await?;
        service.front().snapshots.observe(watch.nanos());
        Ok::<(), Error>(())
    };
    let status = streamed.await.map_or_else(|error| service.status_of(error), |()| Status::OK);
    observed.end(&status);
    reply.finish(status);
}

async fn measure(member: &impl Member, pinned: &Pinned, reply: &mut Reply) -> Result<Writing, Error> {
    let mut pace = Pace::start();
    let mut measuring = Measuring::new(&pinned.view(), members(member));
    loop {
        measuring = match measuring.step(&pinned.view(), &mut Work::cells(limits::SNAPSHOT_CELLS_PER_STEP))? {
            Ok(writing) => return Ok(writing),
            Err(measuring) => measuring,
        };
        reply.guard(pace.rest()).await?;
    }
}

/// A snapshot on its way.
struct Stream {
    /// Bytes of the file that were not sent yet.
    remaining: u64,
    version: String,
    hash: Sha256,
}

impl Stream {
    async fn send<M: Member>(
        mut self,
        (mut writing, pinned): (Writing, &Pinned),
        (reply, observed): (&mut Reply, &Observed<M>),
    ) -> Result<(), Error> {
        let mut pace = Pace::start();
        loop {
            let work = &mut Work::cells(limits::SNAPSHOT_CELLS_PER_STEP);
            let progress = writing.step(&pinned.view(), work)?;
            for blob in writing.take(limits::SNAPSHOT_BLOB_BYTES).chunks(limits::SNAPSHOT_BLOB_BYTES) {
                self.hash.update(blob);
                let sent = u64::try_from(blob.len()).expect("a blob is small");
                self.remaining = self.remaining.checked_sub(sent).expect("the file is as long as was measured");
                let message = self.message(blob);
                observed.on_message(message.len() - frame::PREFIX_BYTES);
                reply.write(message).await?;
            }
            if progress == Progress::Done {
                break;
            }
            reply.guard(pace.rest()).await?;
        }
        assert_eq!(self.remaining, 0, "the file is as long as was measured");
        let message = self.message(&self.hash.clone().finalize());
        observed.on_message(message.len() - frame::PREFIX_BYTES);
        Ok(reply.write(message).await?)
    }

    /// A framed `SnapshotResponse`.
    fn message(&self, blob: &[u8]) -> Bytes {
        let mut out = frame::open(blob.len() + FIELDS_BYTES_MAX);
        if self.remaining > 0 {
            encoding::uint64::encode(REMAINING, &self.remaining, &mut out);
        }
        encoding::encode_key(BLOB, WireType::LengthDelimited, &mut out);
        prost::encode_length_delimiter(blob.len(), &mut out).expect("a vector grows");
        out.extend_from_slice(blob);
        encoding::string::encode(VERSION, &self.version, &mut out);
        frame::seal(out)
    }
}

/// The checksum over all that a snapshot would hold, with etcd's exceptions.
pub(super) async fn hash<M: Member>(service: Service<M>, _: HashRequest, _: Bytes) -> Result<Bytes, Error> {
    let member = service.member();
    let (pinned, watch) = (member.pin(), Stopwatch::start());
    let (mut hashing, mut pace) = (Hashing::new(&pinned.view(), members(member)), Pace::start());
    let hash = loop {
        if let Some(hash) = hashing.step(&pinned.view(), &mut Work::cells(limits::HASH_CELLS_PER_STEP))? {
            break hash;
        }
        pace.rest().await;
    };
    service.front().hash.observe(watch.nanos());
    Ok(rpc::framed(&HashResponse { header: Some(header::at(member, header::revision(&pinned))), hash }))
}

fn members(member: &impl Member) -> Vec<backup::Member> {
    let records = member.members().into_iter();
    let to_backup = records.map(|record| backup::Member {
        id: record.id,
        name: record.name,
        peer_urls: record.peer_urls,
        client_urls: record.client_urls,
        is_learner: record.is_learner,
    });
    to_backup.collect()
}
