//! Upgrades over the real server: who may force one, how a pushed bundle flows, and how each ends.

use api::Role;
use api::v1alpha1::start_upgrade::Source;
use api::v1alpha1::upgrade_request::Request as Said;
use api::v1alpha1::upgrade_response::Response as Answer;
use api::v1alpha1::upgrade_service_client::UpgradeServiceClient;
use api::v1alpha1::{
    BundleData, CancelUpgradeRequest, PushedBundle, StartUpgrade, UpgradeHistoryRequest, UpgradeMode,
    UpgradeOutcome, UpgradeRequest, UpgradeStage, UpgradeStatusRequest, WatchUpgradeRequest,
};
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::testing::{Fate, NEW, TestServer};
use super::tests::{channel, home, serving};

type Client = UpgradeServiceClient<Channel>;

/// One call, as a client sees it.
struct Call {
    say: mpsc::Sender<UpgradeRequest>,
    answers: Streaming<api::v1alpha1::UpgradeResponse>,
}

async fn node(role: Role) -> (TestServer, Client) {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let client = UpgradeServiceClient::new(channel(&server, &home, role).await);
    (server, client)
}

fn from_url() -> StartUpgrade {
    StartUpgrade {
        source: Some(Source::Url("https://releases.example/bundle".into())),
        ..StartUpgrade::default()
    }
}

fn from_client(length: usize) -> StartUpgrade {
    let length = u64::try_from(length).unwrap();
    StartUpgrade {
        source: Some(Source::Pushed(PushedBundle { length })),
        ..StartUpgrade::default()
    }
}

async fn start(client: &mut Client, start: StartUpgrade) -> Result<Call, Status> {
    let (say, said) = mpsc::channel(4);
    say.send(UpgradeRequest {
        request: Some(Said::Start(start)),
    })
    .await
    .unwrap();
    let requests = futures::stream::unfold(said, |mut said| async {
        let request = said.recv().await?;
        Some((request, said))
    });
    let answers = client.upgrade(requests).await?.into_inner();
    Ok(Call { say, answers })
}

impl Call {
    async fn answer(&mut self) -> Result<Option<Answer>, Status> {
        let response = self.answers.message().await?;
        Ok(response.map(|response| response.response.expect("an answer says something")))
    }

    async fn send(&self, offset: u64, data: &[u8]) {
        let data = BundleData {
            offset,
            data: data.to_vec(),
        };
        let request = Some(Said::Data(data));
        // A node that has ended the call takes nothing more.
        let _ = self.say.send(UpgradeRequest { request }).await;
    }

    /// Goes on until a stage is told, serving the bundle meanwhile.
    async fn until(&mut self, wanted: UpgradeStage, bundle: &[u8]) -> Vec<Answer> {
        let mut seen = Vec::new();
        loop {
            let answer = self.answer().await.unwrap().expect("the call goes on");
            match &answer {
                Answer::Want(want) => {
                    let from = usize::try_from(want.offset).unwrap();
                    let to = from + usize::try_from(want.length).unwrap();
                    self.send(want.offset, &bundle[from..to]).await;
                }
                Answer::Progress(status) | Answer::Done(status) if status.stage() == wanted => {
                    seen.push(answer);
                    return seen;
                }
                _ => {}
            }
            seen.push(answer);
        }
    }
}

#[tokio::test]
async fn from_a_url_the_plan_comes_first_and_the_end_last() {
    let (server, mut client) = node(Role::Operator).await;
    let mut call = start(&mut client, from_url()).await.unwrap();
    let seen = call.until(UpgradeStage::Rebooting, &[]).await;
    let plans: Vec<usize> = (0..)
        .zip(&seen)
        .filter_map(|(at, answer)| matches!(answer, Answer::Plan(_)).then_some(at))
        .collect();
    assert_eq!(plans.len(), 1, "one plan: {seen:?}");
    let written = seen.iter().position(
        |answer| matches!(answer, Answer::Progress(status) if status.stage() == UpgradeStage::Fetching),
    );
    assert!(written.is_none_or(|written| plans[0] < written));
    assert!(matches!(seen.last(), Some(Answer::Done(_))));
    assert_eq!(call.answer().await.unwrap(), None);
    assert_eq!(
        server.node.upgrades.calls(),
        ["upgrade https://releases.example/bundle Now plan_only=false force=false rate_limit=0"]
    );
}

#[tokio::test]
async fn a_pushed_bundle_arrives_whole_and_only_as_wanted() {
    let (server, mut client) = node(Role::Operator).await;
    let bundle: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut call = start(&mut client, from_client(bundle.len())).await.unwrap();
    call.until(UpgradeStage::Rebooting, &bundle).await;
    assert!(server.node.upgrades.received() == bundle);
}

#[tokio::test]
async fn a_client_that_sends_something_else_is_cut_off_and_the_upgrade_fails() {
    type Wrong = (&'static str, u64, usize);
    let wrong: [Wrong; 3] = [("too short", 0, 1), ("too long", 0, 5001), ("elsewhere", 1, 5000)];
    for (what, offset, length) in wrong {
        let (server, mut client) = node(Role::Operator).await;
        let mut call = start(&mut client, from_client(5000)).await.unwrap();
        let status = loop {
            match call.answer().await {
                Ok(Some(Answer::Want(_))) => call.send(offset, &vec![7; length]).await,
                Ok(Some(_)) => {}
                Ok(None) => panic!("{what}: the call ended well"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        let mut status = client.status(UpgradeStatusRequest {}).await.unwrap().into_inner();
        while status.stage() == UpgradeStage::Opening {
            tokio::task::yield_now().await;
            status = client.status(UpgradeStatusRequest {}).await.unwrap().into_inner();
        }
        assert_eq!(status.stage(), UpgradeStage::Failed, "{what}");
        assert!(
            status.reason.contains("violated the protocol"),
            "{what}: {}",
            status.reason
        );
        assert!(server.node.upgrades.received().is_empty());
    }
}

#[tokio::test]
async fn a_pushed_upgrade_ends_with_its_client_and_can_be_run_again() {
    let (_server, mut client) = node(Role::Operator).await;
    let mut watch = client.watch(WatchUpgradeRequest {}).await.unwrap().into_inner();
    let mut call = start(&mut client, from_client(5000)).await.unwrap();
    while !matches!(call.answer().await.unwrap(), Some(Answer::Want(_))) {}
    let refused = start(&mut client, from_url()).await.err().expect("one at a time");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    drop(call);
    let reason = loop {
        let status = watch.message().await.unwrap().expect("a watch goes on");
        if status.stage() == UpgradeStage::Failed {
            break status.reason;
        }
    };
    assert!(
        reason.contains("has disconnected; run the upgrade again"),
        "{reason}"
    );
    let mut again = start(&mut client, from_client(5000)).await.unwrap();
    again.until(UpgradeStage::Rebooting, &[7; 5000]).await;
}

#[tokio::test]
async fn from_a_url_it_goes_on_without_its_client() {
    let (server, mut client) = node(Role::Operator).await;
    let call = start(&mut client, from_url()).await.unwrap();
    drop(call);
    let mut watch = client.watch(WatchUpgradeRequest {}).await.unwrap().into_inner();
    while watch.message().await.unwrap().expect("a watch goes on").stage() != UpgradeStage::Idle {}
    assert_eq!(server.node.upgrades.version(), NEW);
    let request = UpgradeHistoryRequest { limit: 1 };
    let records = client.history(request).await.unwrap().into_inner().records;
    assert_eq!(records[0].outcome(), UpgradeOutcome::Committed);
}

#[tokio::test]
async fn only_an_admin_may_force() {
    let forced = StartUpgrade {
        force: true,
        plan_only: true,
        ..from_url()
    };
    let (server, mut client) = node(Role::Operator).await;
    let refused = start(&mut client, forced.clone()).await.err().expect("no admin");
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(server.node.upgrades.calls(), Vec::<String>::new());
    let (server, mut client) = node(Role::Admin).await;
    let mut call = start(&mut client, forced).await.unwrap();
    call.until(UpgradeStage::Idle, &[]).await;
    assert_eq!(
        server.node.upgrades.calls(),
        ["upgrade https://releases.example/bundle Now plan_only=true force=true rate_limit=0"]
    );
}

#[tokio::test]
async fn what_makes_no_sense_starts_nothing() {
    let url = |url: &str| StartUpgrade {
        source: Some(Source::Url(url.into())),
        ..StartUpgrade::default()
    };
    let cases = [
        StartUpgrade::default(),
        from_client(0),
        url(""),
        url("https://"),
        url("file:///etc/shadow"),
        url("http://a b"),
        url(&format!("http://{}", "a".repeat(3000))),
        StartUpgrade {
            mode: 77,
            ..from_url()
        },
    ];
    let (server, mut client) = node(Role::Operator).await;
    for case in cases {
        let shown = format!("{case:?}");
        let refused = start(&mut client, case).await.err();
        assert_eq!(
            refused.map(|status| status.code()),
            Some(Code::InvalidArgument),
            "{shown}"
        );
    }
    let first = UpgradeRequest {
        request: Some(Said::Data(BundleData::default())),
    };
    let refused = client.upgrade(futures::stream::iter([first])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(server.node.upgrades.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hanging_upgrade_is_cancelled() {
    let (server, mut client) = node(Role::Operator).await;
    server.node.upgrades.set_fate(Fate::Hangs);
    let staged = StartUpgrade {
        mode: UpgradeMode::Staged.into(),
        rate_limit: 5,
        ..from_url()
    };
    let mut call = start(&mut client, staged).await.unwrap();
    let cancelled = client.cancel(CancelUpgradeRequest {}).await.unwrap().into_inner();
    assert_eq!(cancelled.id, "u1");
    let seen = call.until(UpgradeStage::Idle, &[]).await;
    assert!(matches!(seen.last(), Some(Answer::Done(status)) if status.reason == "cancelled"));
    let refused = client.cancel(CancelUpgradeRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}
