//! Downgrade, MoveLeader and Defragment beside etcd: the same answers and errors, and versions that are kept.

use std::time::{Duration, Instant};

use prost::Message;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Client, Scratch, Server, http_get, oracle, oracle_is_old};
use crate::round::{Saved, runtime, start};

const VALIDATE: i32 = 0;
const ENABLE: i32 = 1;
const CANCEL: i32 = 2;

/// An answer or an error, as text that can be compared.
async fn ask<A: Message + Default + std::fmt::Debug>(client: &Client, path: &str, request: &impl Message) -> String {
    match client.unary::<A>(&format!("/etcdserverpb.Maintenance/{path}"), request).await {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{error:?}"),
    }
}

async fn downgrade(client: &Client, action: i32, version: &str) -> String {
    let request = pb::DowngradeRequest { action, version: version.to_owned() };
    let path = "/etcdserverpb.Maintenance/Downgrade";
    match client.unary::<pb::DowngradeResponse>(path, &request).await {
        Ok(answer) => format!("{} {}", answer.version, answer.header.is_some_and(|header| header.revision == 1)),
        Err(error) => format!("{error:?}"),
    }
}

/// Storage version and downgrade as Status tells them.
async fn versions(client: &Client) -> (String, Option<pb::DowngradeInfo>) {
    let status = client.status(&pb::StatusRequest {}).await.expect("it serves");
    (status.storage_version, status.downgrade_info)
}

/// Waits until the storage has a version: etcd's leader looks every few seconds.
async fn await_version(client: &Client, version: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while versions(client).await.0 != version {
        assert!(Instant::now() < deadline, "the storage never became {version}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The same questions to both, in each state that a downgrade goes through.
async fn questions(client: &Client, server: &Server) -> Vec<String> {
    let mut told = Vec::new();
    let targets = ["3.6", "3.6.0", "3.6.5", "3.5", "3.7", "3.8", "", "x", "3", "v3.6", "3.6.1.1", "3.6-a", "4.6"];
    for (stage, change, after) in [
        ("before", None, "3.7.0"),
        ("enabled", Some((ENABLE, "3.6")), "3.6.0"),
        ("canceled", Some((CANCEL, "")), "3.7.0"),
        ("canceled again", Some((CANCEL, "nonsense")), "3.7.0"),
    ] {
        if let Some((action, version)) = change {
            told.push(format!("{stage}: {}", downgrade(client, action, version).await));
        }
        await_version(client, after).await;
        told.push(format!("{stage}: {:?}", versions(client).await));
        told.push(http_get(server.client, "GET", "/version").expect("it serves").body);
        for target in targets {
            told.push(format!("{stage}: {target}: {}", downgrade(client, VALIDATE, target).await));
        }
        if stage == "enabled" {
            told.push(downgrade(client, ENABLE, "3.6").await);
            told.push(downgrade(client, ENABLE, "3.5").await);
        }
        told.push(downgrade(client, 7, "3.6").await);
    }
    told
}

#[test]
fn every_answer_is_etcds() {
    if oracle_is_old() {
        return;
    }
    let scratch = Scratch::new("downgrade");
    let directory = scratch.path().join("etcd");
    std::fs::create_dir(&directory).expect("a fresh directory");
    let etcd = Server::start(&oracle(), &directory, &[]).unwrap_or_else(|failed| panic!("{failed}"));
    let told = [start(&scratch), etcd].map(|server| {
        runtime().block_on(async {
            let client = Client::open(server.client).await.unwrap();
            // A new etcd takes a moment to agree with itself on its version.
            await_version(&client, "3.7.0").await;
            let mut told = questions(&client, &server).await;
            let own = client.status(&pb::StatusRequest {}).await.expect("it serves").leader;
            for target_id in [own, 0, 1] {
                let request = pb::MoveLeaderRequest { target_id };
                told.push(ask::<pb::MoveLeaderResponse>(&client, "MoveLeader", &request).await);
            }
            told.push(ask::<pb::DefragmentResponse>(&client, "Defragment", &pb::DefragmentRequest {}).await);
            told
        })
    });
    for (ours, theirs) in told[0].iter().zip(&told[1]) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(told[0].len(), told[1].len());
}

/// A downgrade outlives a crash, and snapshots carry it: that is how data goes to an older release.
#[test]
fn a_downgrade_is_kept() {
    let scratch = Scratch::new("kept");
    let mut server = start(&scratch);
    let enable = async |server: &Server| {
        let client = Client::open(server.client).await.unwrap();
        let answer = downgrade(&client, ENABLE, "3.6").await;
        assert_eq!(answer, "3.7 true");
    };
    runtime().block_on(enable(&server));
    server.kill();
    server.restart().unwrap_or_else(|failed| panic!("{failed}"));
    runtime().block_on(async {
        let client = Client::open(server.client).await.unwrap();
        let info = pb::DowngradeInfo { enabled: true, target_version: "3.6.0".to_owned() };
        assert_eq!(versions(&client).await, ("3.6.0".to_owned(), Some(info)));
    });
    let saved = Saved::of(&server, scratch.path().join("kept.db"));
    assert_eq!(saved.meta("storageVersion").unwrap(), b"3.6.0");
    assert_eq!(saved.buckets["cluster"][0].1, b"3.6.0");
}
