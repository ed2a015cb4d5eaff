//! The front that all services share: their address, their faults and their outages.

use std::{net::SocketAddr, sync::Arc};

use http::Request;
use hyper::body::Incoming;

use crate::{
    fault::{Fault, Faults},
    server::{Reply, Server},
};

/// The front of a service: it serves the service's port, injects faults and simulates outages.
pub struct Front {
    server: Server,
    faults: Arc<Faults>,
}

impl Front {
    /// Serves `service` at this address; `answer` returns `None` to reset the connection.
    pub(crate) async fn start<S, F>(
        addr: SocketAddr,
        service: Arc<S>,
        answer: fn(Arc<S>, Arc<Faults>, Request<Incoming>) -> F,
    ) -> Self
    where
        S: Send + Sync + 'static,
        F: Future<Output = Option<Reply>> + Send + 'static,
    {
        let faults = Arc::<Faults>::default();
        let shared = Arc::clone(&faults);
        let handle = move |request| answer(Arc::clone(&service), Arc::clone(&shared), request);
        Self { server: Server::start(addr, handle).await, faults }
    }

    /// The URL to point an SDK at.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// How many connections have been opened.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Fails the next `n` requests, after those already due to fail.
    pub fn fail_next(&self, n: usize, fault: Fault) {
        self.faults.fail_next(n, fault);
    }

    /// Fails every request until [`heal`](Self::heal).
    pub fn fail_always(&self, fault: Fault) {
        self.faults.fail_always(fault);
    }

    /// Ends all faults and closes the connections that hang.
    pub fn heal(&self) {
        self.faults.heal();
    }

    /// How many requests have met a fault.
    pub fn faults(&self) -> usize {
        self.faults.met()
    }

    /// Lets the connections that are open die without a word: no request on them is answered, and none is closed.
    pub fn silence_connections(&self) {
        self.server.silence();
    }

    /// How many of those connections a client has sent something on.
    pub fn unheard_connections(&self) -> usize {
        self.server.unheard()
    }

    /// Starts an outage: closes all connections, and refuses new ones.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Ends the outage.
    pub fn resume(&self) {
        self.server.resume();
    }
}
