//! A web site that counts its visits.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

use crate::SOON;

/// It listens until it is dropped.
pub(crate) struct Site {
    address: SocketAddr,
    hits: watch::Sender<BTreeMap<String, usize>>,
    manner: watch::Sender<Manner>,
    _listening: AbortOnDropHandle<()>,
}

/// How it answers.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// After so long.
    After(Duration),
    /// Not until it is told to.
    Held,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hits = watch::Sender::new(BTreeMap::new());
        let manner = watch::Sender::new(Manner::After(Duration::ZERO));
        let listening = tokio::spawn(listen(listener, hits.clone(), manner.clone()));
        Self {
            address,
            hits,
            manner,
            _listening: AbortOnDropHandle::new(listening),
        }
    }

    pub(crate) fn url(&self, page: &str) -> String {
        format!("http://{}/{page}", self.address)
    }

    /// Answers are held from here on.
    pub(crate) fn hold(&self) {
        self.manner.send_replace(Manner::Held);
    }

    /// Gives the answers that are held, and holds no more.
    pub(crate) fn release(&self) {
        self.linger(Duration::ZERO);
    }

    /// Answers take so long from here on.
    pub(crate) fn linger(&self, time: Duration) {
        self.manner.send_replace(Manner::After(time));
    }

    /// How often each page was asked for.
    pub(crate) fn hits(&self) -> BTreeMap<String, usize> {
        self.hits.borrow().clone()
    }

    /// Waits until a page was asked for.
    pub(crate) async fn hit(&self, page: &str) {
        let mut hits = self.hits.subscribe();
        let hit = hits.wait_for(|hits| hits.contains_key(page));
        tokio::time::timeout(SOON, hit)
            .await
            .expect("it is asked for in time")
            .unwrap();
    }
}

async fn listen(
    listener: TcpListener,
    hits: watch::Sender<BTreeMap<String, usize>>,
    manner: watch::Sender<Manner>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (hits, manner) = (hits.clone(), manner.subscribe());
        // A visitor that is killed is seen no more, and its answer goes nowhere.
        tokio::spawn(async move { answer(stream, hits, manner).await });
    }
}

/// Counts a visit, and answers it; `None` when the visitor has gone.
async fn answer(
    stream: TcpStream,
    hits: watch::Sender<BTreeMap<String, usize>>,
    mut manner: watch::Receiver<Manner>,
) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next_line().await.ok()??;
    let page = first.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    while !lines.next_line().await.ok()??.is_empty() {}
    hits.send_modify(|hits| *hits.entry(page).or_default() += 1);
    let answers = manner.wait_for(|manner| matches!(manner, Manner::After(_)));
    let Manner::After(time) = *answers.await.ok()? else {
        return None;
    };
    tokio::time::sleep(time).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n";
    let answer = format!("{head}content-length: 4\r\n\r\ndone");
    let mut stream = lines.into_inner().into_inner();
    stream.write_all(answer.as_bytes()).await.ok()
}
