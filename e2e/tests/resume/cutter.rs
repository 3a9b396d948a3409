//! A relay that cuts a connection in the middle of what the server sends.

use std::{io, net::SocketAddr};

use taiwa_e2e::{Client, World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};
use tonic::transport::{Endpoint, Error};

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blade {
    /// It is reset.
    Reset,
    /// It is closed, as by a proxy that stops.
    Close,
    /// Nothing passes any more, and nobody is told.
    Silence,
}

/// A relay for one connection.
pub(crate) struct Cutter {
    address: SocketAddr,
    relay: JoinHandle<io::Result<u64>>,
}

impl Cutter {
    /// Lets so many bytes from the server pass, then cuts both ways.
    pub(crate) async fn after(world: &World, bytes: u64, blade: Blade) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = world.server.local_addr();
        let relay = tokio::spawn(async move {
            let (near, _) = listener.accept().await?;
            let far = TcpStream::connect(server).await?;
            for end in [&near, &far] {
                end.set_nodelay(true)?;
                if blade == Blade::Reset {
                    end.set_zero_linger()?;
                }
            }
            let (from_client, mut to_client) = near.into_split();
            let (mut from_server, to_server) = far.into_split();
            let upward = tokio::spawn(pass_all(from_client, to_server));
            let passed = pass(&mut from_server, &mut to_client, bytes).await;
            if blade == Blade::Silence {
                std::future::pending::<()>().await;
            }
            upward.abort();
            // Its halves are dropped with it, which closes both connections.
            let _ = upward.await;
            passed
        });
        Self { address, relay }
    }

    /// Connects through it.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        Ok(Client::new(endpoint.connect().await?))
    }

    /// Waits for the cut or for the end of the connection, and tells how many bytes had passed.
    pub(crate) async fn passed(self) -> u64 {
        self.relay.await.unwrap().unwrap()
    }
}

async fn pass_all(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<u64> {
    tokio::io::copy(&mut from, &mut to).await
}

async fn pass(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, most: u64) -> io::Result<u64> {
    let mut passed = 0;
    let mut buf = vec![0; 16 << 10];
    while passed < most {
        let room = usize::try_from(most - passed).unwrap_or(usize::MAX);
        let room = room.min(buf.len());
        let read = match from.read(&mut buf[..room]).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        if to.write_all(&buf[..read]).await.is_err() {
            break;
        }
        passed += read as u64;
    }
    Ok(passed)
}
