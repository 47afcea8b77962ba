use std::io;
use std::net::SocketAddr;

use ipnet::IpNet;
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where the caller is.
    pub caller: SocketAddr,
    /// The proxy that said so, where the socket's other end is one.
    pub proxy: Option<SocketAddr>,
}

impl Peer {
    /// Nobody stands between.
    #[must_use]
    pub const fn direct(caller: SocketAddr) -> Self {
        Self { caller, proxy: None }
    }

    /// Reads whom a trusted proxy speaks for: the PROXY protocol, version 2, before anything else. Who is not trusted is
    /// not asked, and what such a peer says of itself stays unread. The caller of this sets the time limit.
    ///
    /// # Errors
    /// When a trusted proxy sends something else: a connection of which nobody knows where it comes from is worth none.
    pub async fn behind<S>(stream: &mut S, socket: SocketAddr, trusted: &[IpNet]) -> io::Result<Self>
    where
        S: AsyncRead + Unpin,
    {
        let ip = socket.ip().to_canonical();
        if !trusted.iter().any(|network| network.contains(&ip)) {
            return Ok(Self::direct(socket));
        }
        let header = read(stream).await?;
        let (header, _) = ProxyHeader::parse(&header, CONFIG).map_err(|error| invalid(&format!("{error}")))?;
        // LOCAL: the proxy itself asks whether we are well.
        let named = header.proxied_address().map(|named| named.source);
        Ok(named.map_or_else(|| Self::direct(socket), |caller| Self { caller, proxy: Some(socket) }))
    }
}

const CONFIG: ParseConfig = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const HEAD_BYTES: usize = 16;
/// Addresses take 36 bytes at most; the rest is for what load balancers add, certificates among it.
const REST_BYTES_MAX: usize = 4096;

/// Exactly the header, so that nothing of the caller's own is taken.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut header = vec![0; HEAD_BYTES];
    let mut have = 0;
    while have < HEAD_BYTES {
        let read = stream.read(header.get_mut(have..).unwrap_or_default()).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        have += read;
        // Said at the first byte that differs: who sends less than a head would be waited for.
        if header.iter().take(have).zip(SIGNATURE).any(|(byte, expected)| byte != expected) {
            return Err(invalid("it does not begin as version 2 does"));
        }
    }
    let rest = header.last_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    if rest > REST_BYTES_MAX {
        return Err(invalid(&format!("{rest} bytes are too long for it")));
    }
    header.resize(HEAD_BYTES + rest, 0);
    stream.read_exact(header.get_mut(HEAD_BYTES..).unwrap_or_default()).await?;
    Ok(header)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a trusted proxy sent no PROXY header: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.1.2.3:40000";

    /// Version 2, PROXY, TCP over IPv4 from 198.51.100.7:5151.
    fn header(command: u8, tlvs: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([0x20 | command, 0x11]);
        header.extend(u16::try_from(12 + tlvs.len()).unwrap().to_be_bytes());
        header.extend([198, 51, 100, 7, 10, 0, 0, 1]);
        header.extend([5151_u16.to_be_bytes(), 5432_u16.to_be_bytes()].concat());
        header.extend(tlvs);
        header
    }

    async fn behind(mut bytes: &[u8], trusted: &[&str]) -> (io::Result<Peer>, Vec<u8>) {
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let peer = Peer::behind(&mut bytes, PROXY.parse().unwrap(), &trusted).await;
        (peer, bytes.to_vec())
    }

    #[tokio::test]
    async fn a_trusted_proxy_names_the_caller_and_nobody_else_does() {
        let mut bytes = header(1, &[4, 0, 1, 0]);
        bytes.extend(b"\0\0\0\x08");
        let (peer, rest) = behind(&bytes, &["192.0.2.0/24", "10.0.0.0/8"]).await;
        let expected = Peer { caller: "198.51.100.7:5151".parse().unwrap(), proxy: Some(PROXY.parse().unwrap()) };
        assert_eq!((peer.unwrap(), rest), (expected, b"\0\0\0\x08".to_vec()));
        let (peer, rest) = behind(&bytes, &["10.1.2.4/32"]).await;
        assert_eq!((peer.unwrap(), rest), (Peer::direct(PROXY.parse().unwrap()), bytes));
        let (peer, _) = behind(&header(0, &[]), &["10.0.0.0/8"]).await;
        assert_eq!(peer.unwrap(), Peer::direct(PROXY.parse().unwrap()), "LOCAL: the proxy itself");
    }

    #[tokio::test]
    async fn a_trusted_proxy_that_names_nobody_gets_no_further() {
        let mut long = header(1, &[]);
        long.splice(14..16, [0xff, 0xff]);
        let mut version = header(1, &[]);
        version[12] = 0x31;
        let v1 = b"PROXY TCP4 198.51.100.7 10.0.0.1 5151 5432\r\n".to_vec();
        for bytes in [long, version, v1, b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(), header(1, &[])[..20].to_vec(), vec![]]
        {
            let (peer, _) = behind(&bytes, &["10.0.0.0/8"]).await;
            assert!(peer.is_err(), "{bytes:?}: {peer:?}");
        }
    }
}
