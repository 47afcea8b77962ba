//! A way to the server that a test can listen on, and cut.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Passes bytes on between the gateway and a server that may be named later.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    server: mpsc::Sender<SocketAddr>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    streams: Vec<TcpStream>,
    first: Vec<[u8; 8]>,
    /// How long a cancel takes on its way.
    cancels_late: Duration,
}

/// The code of a packet that cancels.
const CANCEL: [u8; 4] = 80_877_102_u32.to_be_bytes();

impl Relay {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (server, named) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            let Ok(server) = named.recv() else { return };
            for near in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                // A connection that breaks off is seen by whoever made it.
                thread::spawn(move || join(near, server, &noted));
            }
        });
        Self { address, server, seen }
    }

    /// Until the server is named, connections wait.
    pub(crate) fn leads_to(&self, server: SocketAddr) {
        self.server.send(server).unwrap();
    }

    /// The first eight bytes of every connection: the code of a startup packet is in the last four.
    pub(crate) fn codes(&self) -> Vec<u32> {
        let seen = self.seen.lock().unwrap();
        seen.first.iter().map(|first| u32::from_be_bytes([first[4], first[5], first[6], first[7]])).collect()
    }

    /// Holds cancels back for so long.
    pub(crate) fn delays_cancels(&self, late: Duration) {
        self.seen.lock().unwrap().cancels_late = late;
    }

    /// Ends every connection, as a network does that fails: nobody says why.
    pub(crate) fn cut(&self) {
        for stream in self.seen.lock().unwrap().streams.drain(..) {
            // Those that have ended before need no end.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn join(mut near: TcpStream, server: SocketAddr, noted: &Mutex<Seen>) -> io::Result<()> {
    let mut first = [0; 8];
    near.read_exact(&mut first)?;
    if first.ends_with(&CANCEL) {
        let late = noted.lock().unwrap().cancels_late;
        thread::sleep(late);
    }
    let mut far = TcpStream::connect(server)?;
    {
        let mut seen = noted.lock().unwrap();
        seen.first.push(first);
        seen.streams.extend([near.try_clone()?, far.try_clone()?]);
    }
    far.set_nodelay(true)?;
    near.set_nodelay(true)?;
    far.write_all(&first)?;
    let (mut said, mut heard) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || {
        io::copy(&mut said, &mut far).ok();
        far.shutdown(Shutdown::Write)
    });
    io::copy(&mut heard, &mut near).ok();
    near.shutdown(Shutdown::Write)
}
