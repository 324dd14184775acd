//! Packets, to and from a server.
//!
//! Rows are read where they lie in the buffer, without a copy; only a packet that is greater than the buffer makes it grow, and it
//! shrinks again afterwards. So the memory of a connection is that of the buffer, or of the widest row.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};
use socket2::{SockRef, TcpKeepalive};

/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// A packet of this size is continued by the next one.
const FULL_PACKET: usize = 0xFF_FFFF;
/// The greatest packet that is accepted: the greatest `max_allowed_packet` a server can have, and a little for what is around it.
const GREATEST_PACKET: usize = (1 << 30) + (64 << 10);
/// A silent connection is probed after this time, and again in these intervals, so that a dead one is found while a server sorts.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15));

/// The way to a server.
enum Transport {
    Tcp(TcpStream),
    Local(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between two others, and after a failure.
    Closed,
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Local(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Local(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.flush(),
            _ => Ok(()),
        }
    }
}

/// A connection as packets.
pub(super) struct Wire {
    transport: Transport,
    buffer: Vec<u8>,
    /// What was received and not yet handed out lies here in the buffer.
    start: usize,
    end: usize,
    /// Number of the next packet.
    sequence: u8,
}

impl Wire {
    /// Reaches a server: a path is a socket, anything else a host.
    pub(super) fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<Self> {
        let transport = if host.starts_with('/') {
            Transport::Local(UnixStream::connect(host)?)
        } else {
            Transport::Tcp(connect_to_any(host, port, timeout)?)
        };
        let wire = Self { transport, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, sequence: 0 };
        wire.set_timeout(Some(timeout))?;
        Ok(wire)
    }

    /// How long is waited for the next bytes.
    pub(super) fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.transport {
            Transport::Tcp(stream) => set_timeouts(stream, timeout),
            Transport::Tls(stream) => set_timeouts(&stream.sock, timeout),
            Transport::Local(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Transport::Closed => Ok(()),
        }
    }

    /// Whether nobody can read along: encrypted, or on this machine.
    pub(super) fn is_private(&self) -> bool {
        !matches!(self.transport, Transport::Tcp(_))
    }

    /// Whether it is a socket of this machine.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.transport, Transport::Local(_))
    }

    /// The version of TLS; `None` when the connection is not encrypted.
    pub(super) fn tls_version(&self) -> Option<Option<ProtocolVersion>> {
        match &self.transport {
            Transport::Tls(stream) => Some(stream.conn.protocol_version()),
            _ => None,
        }
    }

    /// Encrypts everything from here on. The handshake is made before this returns. Nothing may have come unencrypted after the
    /// greeting, for that would be somebody between.
    pub(super) fn encrypt(&mut self, config: Arc<ClientConfig>, host: ServerName<'static>) -> io::Result<()> {
        if self.start != self.end {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server spoke out of turn before encryption"));
        }
        let Transport::Tcp(mut stream) = std::mem::replace(&mut self.transport, Transport::Closed) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut connection = ClientConnection::new(config, host).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        self.transport = Transport::Tls(Box::new(StreamOwned::new(connection, stream)));
        Ok(())
    }

    /// Begins a command: numbers of packets start again.
    pub(super) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// Sends a packet.
    pub(super) fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut rest = payload;
        loop {
            let length = rest.len().min(FULL_PACKET);
            let (now, later) = rest.split_at(length);
            let mut bytes = Vec::with_capacity(4 + length);
            bytes.extend_from_slice(&u32::try_from(length).unwrap_or(0).to_le_bytes()[..3]);
            bytes.push(self.sequence);
            bytes.extend_from_slice(now);
            self.transport.write_all(&bytes)?;
            self.sequence = self.sequence.wrapping_add(1);
            rest = later;
            if length < FULL_PACKET {
                return self.transport.flush();
            }
        }
    }

    /// Receives a packet.
    pub(super) fn receive(&mut self) -> io::Result<&[u8]> {
        let length = self.header()?;
        if length < FULL_PACKET {
            self.fill(length)?;
            let from = self.start;
            self.start += length;
            return Ok(&self.buffer[from..from + length]);
        }
        // Pieces of a great packet are joined by moving each one down over the header before it.
        let (mut total, mut last) = (0, length);
        loop {
            self.fill(total + last)?;
            total += last;
            if last < FULL_PACKET {
                break;
            }
            if total > GREATEST_PACKET {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a row is greater than any server may send"));
            }
            self.fill(total + 4)?;
            let from = self.start + total;
            last = self.check_header(from)?;
            self.buffer.copy_within(from + 4..self.end, from);
            self.end -= 4;
        }
        let from = self.start;
        self.start += total;
        Ok(&self.buffer[from..from + total])
    }

    /// Takes the header of a packet and says how long the packet is.
    fn header(&mut self) -> io::Result<usize> {
        self.fill(4)?;
        let length = self.check_header(self.start)?;
        self.start += 4;
        Ok(length)
    }

    fn check_header(&mut self, at: usize) -> io::Result<usize> {
        let header = &self.buffer[at..at + 4];
        let length = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        if header[3] != self.sequence {
            let message = format!("packet {} came where {} was due", header[3], self.sequence);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.sequence = self.sequence.wrapping_add(1);
        Ok(length)
    }

    /// Reads until `wanted` bytes lie in the buffer from `start` on.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.end - self.start >= wanted {
            return Ok(());
        }
        if self.buffer.len() - self.start < wanted || self.start == self.end {
            self.make_room(wanted);
        }
        while self.end - self.start < wanted {
            match self.transport.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Moves what is left to the front, and gives the buffer the size that is needed now.
    fn make_room(&mut self, wanted: usize) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < wanted {
            // Growing by doubling keeps the cost of a packet in many pieces linear.
            let size = wanted.max(self.buffer.len() * 2).min(wanted.max(GREATEST_PACKET));
            self.buffer.resize(size, 0);
        } else if self.buffer.len() > BUFFER_BYTES && wanted.max(self.end) <= BUFFER_BYTES {
            self.buffer.truncate(BUFFER_BYTES);
            self.buffer.shrink_to_fit();
        }
    }
}

fn set_timeouts(stream: &TcpStream, timeout: Option<Duration>) -> io::Result<()> {
    stream.set_read_timeout(timeout)?;
    stream.set_write_timeout(timeout)
}

/// Tries the addresses of a host one after another within the time.
fn connect_to_any(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + timeout;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name of the host has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE.0).with_interval(KEEP_ALIVE.1);
                SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends packets of these sizes through a socket pair, and checks that each comes out as it went in.
    fn pass(sizes: &[usize]) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let wire = |stream| Wire {
            transport: Transport::Local(stream),
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            sequence: 0,
        };
        let content = |size: usize| (0..=250).cycle().skip(size % 251).take(size).collect::<Vec<u8>>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut sender = wire(theirs);
                sizes.iter().for_each(|size| sender.send(&content(*size)).unwrap());
            });
            let mut receiver = wire(ours);
            for size in sizes {
                assert!(receiver.receive().unwrap() == content(*size), "packet of {size} bytes");
            }
            assert!(receiver.receive().is_err(), "nothing more comes");
            assert!(receiver.buffer.len() <= BUFFER_BYTES || *sizes.last().unwrap() > BUFFER_BYTES);
        });
    }

    #[test]
    fn packets_of_every_size_pass() {
        pass(&[0, 1, 3, 100, BUFFER_BYTES - 4, BUFFER_BYTES, BUFFER_BYTES + 1, 5, 1 << 20, 7, 0, 2]);
        pass(&[FULL_PACKET, 2, FULL_PACKET - 1, 2 * FULL_PACKET + 9, 3, 4]);
    }

    #[test]
    fn a_packet_out_of_order_is_an_error() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[1, 0, 0, 5, 42]).unwrap();
        let mut wire =
            Wire { transport: Transport::Local(ours), buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, sequence: 0 };
        assert_eq!(wire.receive().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
