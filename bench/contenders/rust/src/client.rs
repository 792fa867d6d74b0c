//! Runs one workload against a server and records every call.
use crate::clock::{cpu_seconds, monotonic_ns};
use crate::header::Header;
use crate::pattern::{mixed, Pattern, STEP};
use crate::{quic, service, Failure};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::fmt::Write;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{spawn_local, JoinHandle};

/// How long a call may take before it counts as failed; the same for every contender.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a transfer that only time ends.
const ENDLESS: u64 = 1 << 40;
/// What one record of such a transfer covers.
const SLICE_NS: u64 = 1_000_000_000;

#[derive(Deserialize, Clone)]
#[serde(default, rename_all = "camelCase")]
pub struct Workload {
    kind: String,
    payload: usize,
    in_flight: usize,
    rate: f64,
    bytes: u64,
    seconds: f64,
    seed: u64,
    resumed: bool,
    connections: usize,
}

impl Default for Workload {
    fn default() -> Self {
        Workload { kind: String::new(), payload: 64, in_flight: 1, rate: 100.0, bytes: 1_000_000, seconds: 1.0, seed: 1, resumed: false, connections: 100 }
    }
}

impl Workload {
    fn nanoseconds(&self) -> u64 { (self.seconds * 1e9) as u64 }
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub calls: u64,
    pub failed: u64,
    pub first_failure: Option<String>,
    pub verified: bool,
    pub unsupported: Option<String>,
    pub cpu_seconds: f64,
    pub details: std::collections::BTreeMap<&'static str, String>,
}

#[derive(Default)]
struct Log {
    records: String,
    begun: u64,
    summary: Summary,
}

#[derive(Clone)]
struct Client {
    workload: Rc<Workload>,
    pattern: Pattern,
    log: Rc<RefCell<Log>>,
    endpoint: quinn::Endpoint,
    address: SocketAddr,
}

/// - Returns: the summary and the records.
pub async fn run(address: SocketAddr, credential: &str, workload: Workload) -> (Summary, String) {
    let heading = "kind,intendedNs,startNs,endNs,ok,bytesUp,bytesDown\n".to_string();
    let log = Rc::new(RefCell::new(Log { records: heading, ..Log::default() }));
    let done = match quic::client(credential) {
        Ok(endpoint) => {
            let client = Client { pattern: Pattern::new(workload.seed), workload: Rc::new(workload), log: log.clone(), endpoint, address };
            client.work().await
        }
        Err(failure) => Err(failure),
    };
    let mut log = log.borrow_mut();
    let mut summary = std::mem::take(&mut log.summary);
    if let Err(failure) = done {
        summary.failed += 1;
        summary.first_failure.get_or_insert(failure.to_string());
    }
    summary.verified = summary.failed == 0 && summary.calls > 0;
    summary.details = [("cipher", quic::CIPHER.to_string()), ("congestionControl", "cubic".to_string())].into();
    (summary, std::mem::take(&mut log.records))
}

impl Client {
    async fn connect(&self) -> Result<quinn::Connection, Failure> {
        Ok(tokio::time::timeout(PATIENCE, self.endpoint.connect(self.address, quic::NAME)?).await??)
    }

    async fn work(&self) -> Result<(), Failure> {
        let w = self.workload.clone();
        if w.kind == "setup" && w.resumed {
            self.log.borrow_mut().summary.unsupported = Some("rustls 0.20 does not say whether it resumed".into());
            return Ok(());
        }
        let made = w.kind != "setup" && w.kind != "idle";
        let connection = if made { Some(self.connect().await?) } else { None };
        if let Some(connection) = &connection {
            tokio::time::timeout(PATIENCE, self.echo(connection)).await??; // so that set-up is not measured
        }
        let before = cpu_seconds();
        match (w.kind.as_str(), &connection) {
            ("unary", Some(c)) => self.closed_loop(c).await?,
            ("open", Some(c)) => self.open_loop(c).await?,
            ("bulk-up", Some(c)) => self.timed("bulk", w.bytes, 0, None, self.upload(c)).await,
            ("bulk-down", Some(c)) => self.timed("bulk", 0, w.bytes, None, self.download(c)).await,
            ("share", Some(c)) => self.share(c).await,
            ("call-during-bulk", Some(c)) => {
                let (_, done) = tokio::join!(self.share(c), self.open_loop(c));
                done?
            }
            ("stream", Some(c)) => self.messages(c).await?,
            ("setup", None) => self.set_up().await,
            ("idle", None) => self.idle().await?,
            (other, _) => self.log.borrow_mut().summary.unsupported = Some(format!("no workload {other}")),
        }
        let spent = cpu_seconds() - before;
        self.log.borrow_mut().summary.cpu_seconds = spent;
        if let Some(connection) = connection {
            connection.close(0u32.into(), b"");
        }
        // Lets the close leave.
        let _ = tokio::time::timeout(Duration::from_millis(100), self.endpoint.wait_idle()).await;
        Ok(())
    }

    async fn timed(&self, kind: &str, up: u64, down: u64, intended: Option<u64>, work: impl Future<Output = Result<(), Failure>>) {
        let start = monotonic_ns();
        let done = tokio::time::timeout(PATIENCE, work).await;
        let failure = match done {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure.to_string()),
            Err(_) => Some("no answer in time".to_string()),
        };
        self.record(kind, intended.unwrap_or(start), start, up, down, failure);
    }

    fn record(&self, kind: &str, intended: u64, start: u64, up: u64, down: u64, failure: Option<String>) {
        let end = monotonic_ns();
        let mut log = self.log.borrow_mut();
        let ok = failure.is_none();
        let (up, down) = if ok { (up, down) } else { (0, 0) };
        log.summary.calls += 1;
        log.summary.failed += !ok as u64;
        if let Some(failure) = failure {
            log.summary.first_failure.get_or_insert(failure);
        }
        let _ = writeln!(log.records, "{kind},{intended},{start},{end},{},{up},{down}", ok as u8);
    }

    async fn echo(&self, connection: &quinn::Connection) -> Result<(), Failure> {
        let begun = {
            let mut log = self.log.borrow_mut();
            log.begun += 1;
            log.begun
        };
        let size = self.workload.payload;
        let request = self.pattern.slice(begun * 7919, size);
        let (mut send, receive) = connection.open_bi().await?;
        let mut bytes = Header::of(b'E', self.workload.seed, size as u64).bytes();
        bytes.extend_from_slice(&request);
        send.write_chunk(bytes.into()).await?;
        drop(send); // which finishes it, in the packet of the request
        if receive.read_to_end(size + 1).await? != request {
            return Err("the answer is not the request".into());
        }
        Ok(())
    }

    async fn call(&self, connection: &quinn::Connection, intended: Option<u64>) {
        let payload = self.workload.payload as u64;
        self.timed("call", payload, payload, intended, self.echo(connection)).await
    }

    async fn closed_loop(&self, connection: &quinn::Connection) -> Result<(), Failure> {
        let until = monotonic_ns() + self.workload.nanoseconds();
        let callers: Vec<JoinHandle<()>> = (0..self.workload.in_flight)
            .map(|_| {
                let (client, connection) = (self.clone(), connection.clone());
                spawn_local(async move {
                    while monotonic_ns() < until {
                        client.call(&connection, None).await
                    }
                })
            })
            .collect();
        finish(callers).await
    }

    /// Poisson arrivals, the same for every contender with the same seed; a call is timed from when it should have begun.
    async fn open_loop(&self, connection: &quinn::Connection) -> Result<(), Failure> {
        let (mut state, mut due) = (self.workload.seed, monotonic_ns());
        let (until, mut calls) = (due + self.workload.nanoseconds(), Vec::new());
        loop {
            state = state.wrapping_add(STEP);
            let uniform = ((mixed(state) >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
            due += (-uniform.ln() / self.workload.rate * 1e9) as u64;
            if due >= until {
                return finish(calls).await;
            }
            tokio::time::sleep(Duration::from_nanos(due.saturating_sub(monotonic_ns()))).await;
            let (client, connection, at) = (self.clone(), connection.clone(), due);
            calls.push(spawn_local(async move { client.call(&connection, Some(at)).await }));
        }
    }

    async fn upload(&self, connection: &quinn::Connection) -> Result<(), Failure> {
        let (mut send, receive) = connection.open_bi().await?;
        send.write_chunk(Header::of(b'U', self.workload.seed, self.workload.bytes).bytes().into()).await?;
        service::send_pattern(&mut send, &self.pattern, self.workload.bytes).await?;
        drop(send);
        if receive.read_to_end(8).await? != self.workload.bytes.to_be_bytes() {
            return Err("the server did not get every byte".into());
        }
        Ok(())
    }

    async fn begin(&self, connection: &quinn::Connection, header: Header) -> Result<quinn::RecvStream, Failure> {
        let (mut send, receive) = connection.open_bi().await?;
        send.write_chunk(header.bytes().into()).await?;
        Ok(receive)
    }

    /// Bytes that came and were right, until the end or until it is time.
    async fn receive(&self, receive: &mut quinn::RecvStream, until: u64, got: &mut u64) -> Result<(), Failure> {
        while monotonic_ns() < until {
            let chunk = match receive.read_chunk(usize::MAX, true).await? {
                Some(chunk) => chunk,
                None => return Ok(()),
            };
            if !self.pattern.matches(*got, &chunk.bytes) {
                return Err(format!("wrong bytes near {got}").into());
            }
            *got += chunk.bytes.len() as u64;
        }
        Ok(())
    }

    async fn download(&self, connection: &quinn::Connection) -> Result<(), Failure> {
        let (size, mut got) = (self.workload.bytes, 0);
        let mut stream = self.begin(connection, Header::of(b'D', self.workload.seed, size)).await?;
        self.receive(&mut stream, u64::MAX, &mut got).await?;
        if got != size {
            return Err(format!("{got} bytes instead of {size}").into());
        }
        Ok(())
    }

    /// What a download gets through in the time given: a record for each second, which is one call.
    async fn share(&self, connection: &quinn::Connection) {
        let (start, mut got, mut counted) = (monotonic_ns(), 0, 0);
        let (until, mut slice) = (start + self.workload.nanoseconds(), start);
        let work = async {
            let mut stream = self.begin(connection, Header::of(b'D', self.workload.seed, ENDLESS)).await?;
            while slice < until {
                let end = (slice + SLICE_NS).min(until);
                self.receive(&mut stream, end, &mut got).await?;
                if monotonic_ns() < end {
                    return Err("the download ended".into());
                }
                slice = self.slice(slice, got - counted);
                counted = got;
            }
            let _ = stream.stop(0u32.into());
            Ok::<(), Failure>(())
        };
        let patience = Duration::from_nanos(self.workload.nanoseconds()) + PATIENCE;
        let failure = match tokio::time::timeout(patience, work).await {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure.to_string()),
            Err(_) => Some("nothing came".to_string()),
        };
        match failure {
            Some(failure) => self.record("bulk", slice, slice, 0, 0, Some(failure)),
            None => self.log.borrow_mut().summary.calls += 1,
        }
    }

    /// - Returns: when it ended.
    fn slice(&self, start: u64, bytes: u64) -> u64 {
        let end = monotonic_ns();
        let _ = writeln!(self.log.borrow_mut().records, "bulk,{start},{start},{end},1,0,{bytes}");
        end
    }

    async fn messages(&self, connection: &quinn::Connection) -> Result<(), Failure> {
        let (w, mut message) = (&self.workload, vec![0; self.workload.payload]);
        let count = ((w.seconds * w.rate) as u32).max(1);
        let pause_us = (1e6 / w.rate) as u32;
        let header = Header { messages: count, pause_us, ..Header::of(b'S', w.seed, w.payload as u64) };
        let mut stream = self.begin(connection, header).await?;
        let (start, mut last) = (monotonic_ns(), monotonic_ns());
        for index in 0..count as u64 {
            tokio::time::timeout(PATIENCE, stream.read_exact(&mut message)).await??;
            let is_right = self.pattern.matches(index * w.payload as u64, &message);
            let failure = if is_right { None } else { Some(format!("message {index} is wrong")) };
            self.record("message", start + index * pause_us as u64 * 1000, last, 0, w.payload as u64, failure);
            last = monotonic_ns();
        }
        Ok(())
    }

    /// A new connection and one answered call, again and again.
    async fn set_up(&self) {
        let until = monotonic_ns() + self.workload.nanoseconds();
        let payload = self.workload.payload as u64;
        while monotonic_ns() < until {
            self.timed("setup", payload, payload, None, async {
                let fresh = self.connect().await?;
                let answered = self.echo(&fresh).await;
                fresh.close(0u32.into(), b"");
                answered
            })
            .await;
        }
    }

    /// Many connections that do nothing.
    async fn idle(&self) -> Result<(), Failure> {
        let mut held = Vec::new();
        for _ in 0..self.workload.connections {
            let fresh = self.connect().await?;
            self.call(&fresh, None).await;
            held.push(fresh);
        }
        tokio::time::sleep(Duration::from_nanos(self.workload.nanoseconds())).await;
        Ok(())
    }
}

async fn finish(tasks: Vec<JoinHandle<()>>) -> Result<(), Failure> {
    for task in tasks {
        task.await?;
    }
    Ok(())
}
