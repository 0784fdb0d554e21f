//! This library, as a program would use it: the raw calls of its public interface.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lasso::messaging::{
    Audience, CallOptions, RawCall, RawCallMany, RawSubscription, SubscribeOptions, Targets, Update,
};
use lasso::{Cluster, NodeName};
use tokio::task::yield_now;

use super::loops::{self, Caller, Publisher, Subscriber};
use super::{Job, Stage, Tally, unknown};

/// Plays the job's role as a node of a cluster.
pub(super) async fn play(job: Job) -> io::Result<()> {
    let cluster = start(&job).await?;
    match job.role.as_str() {
        "publish" => {
            let unread = (job.number("unread") > 0).then(|| cluster.subscribe_raw(TOPIC));
            let _unread = unread.transpose().map_err(io::Error::other)?;
            let yields = job.number("rate") == 0 || job.number("yields") > 0;
            let publisher = Publishing::heard(cluster, job.peers().len(), yields).await?;
            loops::publish(job, vec![publisher]).await
        }
        "watch" => {
            let count = job.number("subscribers").max(1);
            let queue_max = Some(QUEUE_MAX);
            let options = SubscribeOptions { queue_max };
            let subscribe = |_| cluster.subscribe_raw_with(TOPIC, options);
            let subscriptions: Result<Vec<_>, _> = (0..count).map(subscribe).collect();
            loops::watch(job, subscriptions.map_err(io::Error::other)?).await
        }
        "local" => local(job, cluster).await,
        "unread" => {
            let _unread = cluster.subscribe_raw(TOPIC).map_err(io::Error::other)?;
            let stage = Stage::enter(&job).await;
            stage.measure(std::future::pending()).await
        }
        "call" => {
            let asking = Asking::new(&cluster, &job);
            let callers = (0..job.number("at_once")).map(|_| asking.clone()).collect();
            loops::call(job, callers, 1).await
        }
        "gather" => {
            let gathering = Gathering {
                cluster,
                to: job.peers().into_iter().map(name).collect(),
                asked: Vec::new(),
            };
            loops::gather(job, vec![gathering]).await
        }
        "beside" => {
            let asking = Asking::new(&cluster, &job);
            let publisher = Publishing::heard(cluster, 1, true).await?;
            loops::beside(job, publisher, asking).await
        }
        "serve" => serve(job, cluster).await,
        role => Err(unknown(role)),
    }
}

/// Starts a node and waits until the others answer it.
async fn start(job: &Job) -> io::Result<Cluster> {
    let mut builder = Cluster::builder();
    if !job.peers().is_empty() {
        let me = name(job.port()).to_string();
        builder = builder
            .name(&me)
            .cookie("a secret of at least 32 characters");
    }
    for port in job.peers() {
        builder = builder.peer(&name(port).to_string());
    }
    let cluster = builder.start().await.map_err(io::Error::other)?;
    let nodes = job.peers().len() + 1;
    let whole = cluster.wait_for(nodes, WHOLE_WITHIN).await;
    whole.map_err(io::Error::other)?;
    Ok(cluster)
}

fn name(port: u16) -> NodeName {
    let name = format!("bench@127.0.0.1:{port}");
    name.parse().expect("a name")
}

/// One node that publishes to its own subscribers, at most so far ahead of them that their queues
/// are not full.
async fn local(job: Job, cluster: Cluster) -> io::Result<()> {
    let count = job.number("subscribers");
    let subscribe = |_| cluster.subscribe_raw(TOPIC);
    let subscriptions: Result<Vec<_>, _> = (0..count).map(subscribe).collect();
    let subscriptions = subscriptions.map_err(io::Error::other)?;
    let stage = Stage::enter(&job).await;
    let tally = Arc::clone(&stage.tally);
    let publisher = Local {
        cluster,
        subscribers: count,
        published: 0,
        tally: Arc::clone(&tally),
    };
    let work = async move {
        tokio::spawn(loops::flood(
            publisher,
            job.payload(),
            u64::MAX,
            Arc::default(),
        ));
        loops::all(subscriptions, |subscription| {
            loops::count(subscription, Arc::clone(&tally))
        })
        .await
    };
    stage.measure(work).await
}

/// Answers each call with the question; reads what is published, where the job says so.
async fn serve(job: Job, cluster: Cluster) -> io::Result<()> {
    let echo = cluster.serve_raw(METHOD, |question, _| async move { Ok(question) });
    echo.map_err(io::Error::other)?.forever();
    let sink = (job.number("sink") > 0).then(|| cluster.subscribe_raw(TOPIC));
    let sink = sink.transpose().map_err(io::Error::other)?;
    let stage = Stage::enter(&job).await;
    let tally = Arc::clone(&stage.tally);
    let work = async move {
        // Ends when the last handle goes.
        let _cluster = cluster;
        match sink {
            Some(sink) => loops::count(sink, tally).await,
            None => std::future::pending().await,
        }
    };
    stage.measure(work).await
}

/// A publisher. One that yields slows down by what [`Reach`](lasso::messaging::Reach) tells it,
/// since a publish never waits.
struct Publishing {
    cluster: Cluster,
    yields: bool,
}

impl Publishing {
    /// Waits until so many nodes are known to have a subscriber.
    async fn heard(cluster: Cluster, nodes: usize, yields: bool) -> io::Result<Publishing> {
        loop {
            let reach = cluster.publish_raw(TOPIC, Bytes::new(), Audience::All);
            if reach.map_err(io::Error::other)?.nodes == nodes {
                return Ok(Publishing { cluster, yields });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Publisher for Publishing {
    async fn publish(&mut self, payload: &Bytes) -> io::Result<u64> {
        let reach = self
            .cluster
            .publish_raw(TOPIC, payload.clone(), Audience::All);
        let reach = reach.map_err(io::Error::other)?;
        if self.yields {
            let fullest = reach.fullest_lane_bytes;
            if reach.shed > 0 || fullest > LANE_BYTES / 4 * 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            } else if fullest > LANE_BYTES / 2 {
                yield_now().await;
            }
        }
        Ok(reach.shed as u64)
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// See [`local`].
struct Local {
    cluster: Cluster,
    subscribers: u64,
    published: u64,
    tally: Arc<Tally>,
}

impl Publisher for Local {
    async fn publish(&mut self, payload: &Bytes) -> io::Result<u64> {
        let reach = self
            .cluster
            .publish_raw(TOPIC, payload.clone(), Audience::All);
        reach.map_err(io::Error::other)?;
        self.published += self.subscribers;
        while self.published - self.tally.settled() > AHEAD_MAX * self.subscribers {
            yield_now().await;
        }
        Ok(0)
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Subscriber for RawSubscription {
    async fn batch(&mut self, mut each: impl FnMut(&[u8]) + Send) -> io::Result<u64> {
        let first = self.recv().await;
        let mut next = Some(first.ok_or(io::ErrorKind::UnexpectedEof)?);
        let (mut missed, mut read) = (0, 0);
        while let Some(update) = next {
            match update {
                Update::Message(message) => each(&message.payload),
                Update::Missed(messages) => missed += messages,
            }
            read += 1;
            next = if read < BATCH_MAX {
                self.try_recv()
            } else {
                None
            };
        }
        Ok(missed)
    }
}

/// Calls B.
struct Asking {
    cluster: Cluster,
    to: NodeName,
    question: Bytes,
    asked: Vec<RawCall>,
}

impl Asking {
    fn new(cluster: &Cluster, job: &Job) -> Self {
        Asking {
            cluster: cluster.clone(),
            to: name(job.peers()[0]),
            question: job.payload(),
            asked: Vec::new(),
        }
    }
}

impl Clone for Asking {
    fn clone(&self) -> Self {
        Asking {
            cluster: self.cluster.clone(),
            to: self.to.clone(),
            question: self.question.clone(),
            asked: Vec::new(),
        }
    }
}

impl Caller for Asking {
    async fn ask(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let (question, options) = (self.question.clone(), CallOptions::default());
            let call = self.cluster.call_raw(&self.to, METHOD, question, options);
            self.asked.push(call);
        }
        Ok(())
    }

    async fn answers(&mut self) -> io::Result<usize> {
        let asked = core::mem::take(&mut self.asked);
        let count = asked.len();
        for call in asked {
            call.await.map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

/// Calls all others at once.
struct Gathering {
    cluster: Cluster,
    to: Vec<NodeName>,
    asked: Vec<RawCallMany>,
}

impl Caller for Gathering {
    async fn ask(&mut self, _count: usize) -> io::Result<()> {
        let targets = Targets::Nodes(self.to.clone());
        let options = CallOptions::default();
        let call = self
            .cluster
            .call_many_raw(targets, METHOD, vec![0x5a; 64], options);
        self.asked.push(call);
        Ok(())
    }

    async fn answers(&mut self) -> io::Result<usize> {
        for call in core::mem::take(&mut self.asked) {
            let answers = call.await.map_err(io::Error::other)?;
            if let Some((node, error)) = answers.failures().next() {
                return Err(io::Error::other(format!("{node}: {error}")));
            }
        }
        Ok(1)
    }
}

const TOPIC: &str = "bench";
const METHOD: &str = "echo";
/// The data lane's bound.
const LANE_BYTES: usize = 8 << 20;
/// What a subscriber of another node's flood keeps while it is not scheduled.
const QUEUE_MAX: usize = 65_536;
/// Messages that a local publisher may be ahead of the subscribers on the average; the bound of
/// their queues is 1,024.
const AHEAD_MAX: u64 = 128;
/// Messages between two looks at the counters.
const BATCH_MAX: usize = 1024;
/// How long the nodes have to find each other.
const WHOLE_WITHIN: Duration = Duration::from_secs(20);
