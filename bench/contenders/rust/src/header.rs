//! What a stream begins with: the operation, the seed of its bytes, their size, the number of messages and the time between them.
use crate::Failure;

pub const SIZE: usize = 25;

pub struct Header {
    pub operation: u8,
    pub seed: u64,
    pub size: u64,
    pub messages: u32,
    pub pause_us: u32,
}

impl Header {
    pub fn of(operation: u8, seed: u64, size: u64) -> Self {
        Header { operation, seed, size, messages: 0, pause_us: 0 }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.operation];
        out.extend_from_slice(&self.seed.to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&self.messages.to_be_bytes());
        out.extend_from_slice(&self.pause_us.to_be_bytes());
        out
    }

    pub fn parse(bytes: &[u8; SIZE]) -> Result<Self, Failure> {
        Ok(Header {
            operation: bytes[0],
            seed: u64::from_be_bytes(bytes[1..9].try_into()?),
            size: u64::from_be_bytes(bytes[9..17].try_into()?),
            messages: u32::from_be_bytes(bytes[17..21].try_into()?),
            pause_us: u32::from_be_bytes(bytes[21..25].try_into()?),
        })
    }
}
