//! HTTP and WebSocket as bytes, so that a client can also write what it must not.

use madsim::{net::TcpStream, time::timeout};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const PIECE: usize = 16 << 10;

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
/// The first bit: the last frame of its message.
pub const FIN: u8 = 0x80;

/// A connection.
pub struct RawSocket {
    stream: TcpStream,
    /// Arrived, and not taken yet.
    bytes: Vec<u8>,
}

/// What reading brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    More,
    End,
    TimedOut,
}

impl RawSocket {
    /// `None`: nobody answers.
    pub async fn open(address: &str) -> Option<Self> {
        let stream = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await.ok()?.ok()?;
        Some(Self { stream, bytes: Vec::new() })
    }

    /// False: the connection is over.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Waits for bytes.
    pub async fn read(&mut self, limit: Duration) -> Read {
        let mut piece = vec![0; PIECE];
        match timeout(limit, self.stream.read(&mut piece)).await {
            Err(_) => Read::TimedOut,
            Ok(Err(_) | Ok(0)) => Read::End,
            Ok(Ok(count)) => {
                self.bytes.extend_from_slice(&piece[..count]);
                Read::More
            }
        }
    }

    /// The status of an HTTP response whose head has arrived; takes the head.
    pub fn take_status(&mut self) -> Option<u16> {
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        self.bytes.drain(..end);
        head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }

    /// A WebSocket frame that has arrived: opcode and payload.
    pub fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (head, length) = match *self.bytes.get(1)? {
            126 => (4, usize::from(u16::from_be_bytes(self.bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(self.bytes.get(2..10)?.try_into().ok()?)).ok()?),
            short => (2, usize::from(short & 0x7f)),
        };
        let payload = self.bytes.get(head..head + length)?.to_vec();
        let opcode = self.bytes[0] & 0x0f;
        self.bytes.drain(..head + length);
        Some((opcode, payload))
    }
}

/// A frame. `first` is its first byte; `length` what it says of its payload, of which `payload` may be a
/// part.
pub fn frame(first: u8, payload: &[u8], length: u64, mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(masked | length as u8),
        126..65_536 => {
            bytes.push(masked | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend(mask.into_iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    };

    #[test]
    fn frames_are_those_of_a_library() {
        for length in [0, 5, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut expected = Vec::new();
            let data = Frame::message(payload.clone(), OpCode::Data(Data::Text), true);
            data.format(&mut expected).expect("a vector takes everything");
            assert_eq!(frame(FIN | TEXT, &payload, length as u64, None), expected, "{length} bytes");
        }
        let masked = frame(FIN | TEXT, b"Hello", 5, Some([0x37, 0xfa, 0x21, 0x3d]));
        // the example of RFC 6455, 5.7
        assert_eq!(masked, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}
