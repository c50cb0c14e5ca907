//! As much of HTTP/1.1 as a proxy needs that passes bytes through unchanged: where a head ends, what it
//! says, where the body ends. <https://www.rfc-editor.org/rfc/rfc9112>

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest head in bytes, request or answer.
const HEAD_LENGTH_BYTES_MAX: usize = 64 * 1024;

/// Longest line in bytes that announces a chunk's size.
const CHUNK_LINE_BYTES_MAX: usize = 1024;

/// Start line and headers, with the bytes they came as.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// As received, the empty line included.
    pub(super) bytes: Vec<u8>,
    /// The first line's words: method, target, version or version, status, reason.
    pub(crate) start: [String; 3],
    headers: Vec<(String, String)>,
}

impl Head {
    /// A header's value; names in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The declared length of the body.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header("content-length").and_then(|v| v.parse().ok())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|v| v.to_ascii_lowercase().contains("chunked"))
    }

    /// Where a request's body ends.
    pub(super) fn request_body(&self) -> Body {
        if self.is_chunked() {
            Body::Chunked(Chunked::default())
        } else {
            Body::Length(self.content_length().unwrap_or(0))
        }
    }

    /// An answer's status; 0 when it is no number.
    pub(super) fn status(&self) -> u16 {
        self.start[1].parse().unwrap_or(0)
    }

    /// Where the body of an answer to `method` ends.
    pub(super) fn answer_body(&self, method: &str) -> Body {
        let status = self.status();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            Body::Length(0)
        } else if self.is_chunked() {
            Body::Chunked(Chunked::default())
        } else {
            self.content_length().map_or(Body::UntilClose, Body::Length)
        }
    }

    /// The sender will close the connection after this message.
    pub(super) fn closes(&self) -> bool {
        let connection = self.header("connection").unwrap_or("").to_ascii_lowercase();
        connection.contains("close")
            || (self.start.iter().any(|word| word == "HTTP/1.0") && !connection.contains("keep-alive"))
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or("").splitn(3, ' ');
        let start = [(); 3].map(|()| words.next().unwrap_or("").to_owned());
        if start[1].is_empty() {
            return Err(invalid("the first line is neither a request nor an answer"));
        }
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self {
            bytes: bytes.to_vec(),
            start,
            headers,
        })
    }
}

/// Reads a head; bytes past it stay in `buffer`. `None` when the sender closed before its first byte.
pub(crate) async fn read_head<R: AsyncRead + Unpin>(
    reader: &mut R,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Head>> {
    let mut searched = 0;
    loop {
        if let Some(at) = find_head_end(buffer, searched) {
            let head = Head::parse(&buffer[..at])?;
            buffer.drain(..at);
            return Ok(Some(head));
        }
        searched = buffer.len().saturating_sub(3);
        if buffer.len() > HEAD_LENGTH_BYTES_MAX {
            return Err(invalid("the head is longer than 65536 bytes"));
        }
        if reader.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
}

fn find_head_end(bytes: &[u8], from: usize) -> Option<usize> {
    bytes[from..]
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| from + at + 4)
}

/// Where a body ends.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunked transfer coding.
    Chunked(Chunked),
    /// When the connection closes.
    UntilClose,
}

impl Body {
    /// How many of `bytes` belong to the body; they count as passed.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunked) => chunked.take(bytes),
            Self::UntilClose => Ok(bytes.len()),
        }
    }

    /// Its last byte has passed.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => matches!(chunked.state, ChunkState::Done),
            Self::UntilClose => false,
        }
    }
}

/// Follows chunked transfer coding to its end, trailers included.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunked {
    state: ChunkState,
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
enum ChunkState {
    #[default]
    Size,
    /// Bytes of the chunk and its line end.
    Data(u64),
    Trailer,
    Done,
}

impl Chunked {
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                ChunkState::Done => break,
                ChunkState::Data(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += taken;
                    self.state = match left - taken as u64 {
                        0 => ChunkState::Size,
                        left => ChunkState::Data(left),
                    };
                }
                ChunkState::Size | ChunkState::Trailer => {
                    self.line.push(bytes[at]);
                    at += 1;
                    if self.line.ends_with(b"\r\n") {
                        self.end_line()?;
                    } else if self.line.len() > CHUNK_LINE_BYTES_MAX {
                        return Err(invalid("a line of a chunked body is longer than 1024 bytes"));
                    }
                }
            }
        }
        Ok(at)
    }

    fn end_line(&mut self) -> io::Result<()> {
        let line = String::from_utf8_lossy(&self.line).trim().to_owned();
        self.line.clear();
        self.state = match self.state {
            ChunkState::Trailer if line.is_empty() => ChunkState::Done,
            ChunkState::Trailer => ChunkState::Trailer,
            _ => {
                let digits = line.split(';').next().unwrap_or("").trim();
                let size = u64::from_str_radix(digits, 16)
                    .map_err(|_| invalid("the size of a chunk is no hexadecimal number"))?;
                match size {
                    0 => ChunkState::Trailer,
                    size => ChunkState::Data(size.saturating_add(2)),
                }
            }
        };
        Ok(())
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_body_ends_after_its_trailer_however_it_is_cut() {
        let whole = b"5;ext=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n";
        for step in 1..whole.len() {
            let mut body = Body::Chunked(Chunked::default());
            let mut taken = 0;
            for piece in [whole.as_slice(), b"GET / HTTP/1.1"].concat().chunks(step) {
                taken += body.take(piece).unwrap();
            }
            assert!(body.is_done());
            assert_eq!(taken, whole.len(), "step {step}");
        }
    }

    #[test]
    fn chunked_body_with_nonsense_for_a_size_is_refused() {
        assert!(Body::Chunked(Chunked::default()).take(b"zz\r\n").is_err());
    }

    #[tokio::test]
    async fn head_leaves_the_first_body_bytes_in_the_buffer() {
        let mut wire: &[u8] = b"PUT /b/k?partNumber=2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let mut buffer = Vec::new();
        let head = read_head(&mut wire, &mut buffer).await.unwrap().unwrap();
        assert_eq!(head.start[0], "PUT");
        assert_eq!(
            (head.content_length(), buffer.as_slice()),
            (Some(3), b"abc".as_slice())
        );
    }

    #[tokio::test]
    async fn head_cut_off_half_way_is_an_error() {
        let mut wire: &[u8] = b"PUT / HTTP/1.1\r\nHo";
        assert!(read_head(&mut wire, &mut Vec::new()).await.is_err());
        let mut nothing: &[u8] = b"";
        assert!(read_head(&mut nothing, &mut Vec::new()).await.unwrap().is_none());
    }
}
