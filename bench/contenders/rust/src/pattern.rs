//! The bytes of every transfer: byte i is block[i mod PERIOD], the block SplitMix64 of the seed, little-endian.
use bytes::Bytes;

/// A prime, so that a chunk in the wrong place never matches.
const PERIOD: u64 = 65521;
/// Any chunk up to this size is one slice.
pub const LARGEST: usize = 64 * 1024;

/// SplitMix64's output for a state (Steele, Lea and Flood, OOPSLA 2014).
pub fn mixed(state: u64) -> u64 {
    let mut z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

pub const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Clone)]
pub struct Pattern(Bytes);

impl Pattern {
    pub fn new(seed: u64) -> Self {
        let (mut block, mut state) = (Vec::with_capacity(3 * PERIOD as usize), seed);
        while block.len() < PERIOD as usize {
            state = state.wrapping_add(STEP);
            block.extend_from_slice(&mixed(state).to_le_bytes());
        }
        block.truncate(PERIOD as usize);
        let once = block.clone();
        block.extend_from_slice(&once);
        block.extend_from_slice(&once);
        Pattern(block.into())
    }

    /// Without a copy; at most `LARGEST` bytes.
    pub fn chunk(&self, offset: u64, count: usize) -> Bytes {
        let phase = (offset % PERIOD) as usize;
        self.0.slice(phase..phase + count)
    }

    /// Of any length, copied.
    pub fn slice(&self, offset: u64, count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count);
        while out.len() < count {
            out.extend_from_slice(&self.chunk(offset + out.len() as u64, LARGEST.min(count - out.len())));
        }
        out
    }

    pub fn matches(&self, offset: u64, data: &[u8]) -> bool {
        let mut at = offset;
        data.chunks(LARGEST).all(|part| {
            let phase = (at % PERIOD) as usize;
            at += part.len() as u64;
            self.0[phase..phase + part.len()] == *part
        })
    }
}
