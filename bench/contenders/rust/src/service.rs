//! The echo and transfer service.
use crate::header::{self, Header};
use crate::pattern::Pattern;
use crate::{Failure, CHUNK};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LARGEST_CALL: usize = 16 << 20;

/// Made once a seed: it is the same work for every stream.
type Patterns = Arc<Mutex<HashMap<u64, Pattern>>>;

pub async fn serve(endpoint: quinn::Endpoint) {
    let patterns = Patterns::default();
    while let Some(connecting) = endpoint.accept().await {
        let patterns = patterns.clone();
        tokio::spawn(async move {
            let connection = match connecting.await {
                Ok(connection) => connection,
                Err(error) => return eprintln!("server: {error}"),
            };
            while let Ok((send, receive)) = connection.accept_bi().await {
                let patterns = patterns.clone();
                tokio::spawn(async move {
                    if let Err(failure) = serve_stream(send, receive, patterns).await {
                        eprintln!("server: {failure}");
                    }
                });
            }
        });
    }
}

fn pattern(patterns: &Patterns, seed: u64) -> Pattern {
    let mut patterns = patterns.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    patterns.entry(seed).or_insert_with(|| Pattern::new(seed)).clone()
}

async fn serve_stream(mut send: quinn::SendStream, receive: quinn::RecvStream, patterns: Patterns) -> Result<(), Failure> {
    let done = answer(&mut send, receive, patterns).await;
    if done.is_err() {
        let _ = send.reset(1u32.into());
    }
    // Dropped, the sending half finishes in order.
    done
}

async fn answer(send: &mut quinn::SendStream, mut receive: quinn::RecvStream, patterns: Patterns) -> Result<(), Failure> {
    let mut bytes = [0; header::SIZE];
    receive.read_exact(&mut bytes).await?;
    let header = Header::parse(&bytes)?;
    match header.operation {
        b'E' => {
            let request = receive.read_to_end(LARGEST_CALL).await?;
            if request.len() as u64 != header.size {
                return Err("the request has another size".into());
            }
            send.write_chunk(request.into()).await?;
        }
        b'U' => {
            let (pattern, mut offset) = (pattern(&patterns, header.seed), 0);
            while let Some(chunk) = receive.read_chunk(usize::MAX, true).await? {
                if !pattern.matches(offset, &chunk.bytes) {
                    return Err(format!("wrong bytes near {offset}").into());
                }
                offset += chunk.bytes.len() as u64;
            }
            if offset != header.size {
                return Err(format!("{offset} bytes instead of {}", header.size).into());
            }
            send.write_all(&offset.to_be_bytes()).await?;
        }
        b'D' => {
            send_pattern(send, &pattern(&patterns, header.seed), header.size).await?;
        }
        b'S' => {
            let (pattern, began, size) = (pattern(&patterns, header.seed), Instant::now(), header.size as usize);
            for index in 0..header.messages {
                let due = began + Duration::from_micros(header.pause_us as u64 * index as u64);
                tokio::time::sleep_until(due.into()).await;
                send.write_all(&pattern.slice(index as u64 * header.size, size)).await?;
            }
        }
        other => return Err(format!("no operation {other}").into()),
    }
    Ok(())
}

pub async fn send_pattern(send: &mut quinn::SendStream, pattern: &Pattern, size: u64) -> Result<(), Failure> {
    let mut offset = 0;
    while offset < size {
        let count = (size - offset).min(CHUNK as u64) as usize;
        send.write_chunk(pattern.chunk(offset, count)).await?;
        offset += count as u64;
    }
    Ok(())
}
