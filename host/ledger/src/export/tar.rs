//! The few lines of tar (POSIX ustar) that a bundle takes: plain files with short names.

use std::io::{self, Write};

const BLOCK_BYTES: usize = 512;
const NAME_BYTES_MAX: usize = 100;
/// Eleven octal digits.
const SIZE_MAX: u64 = (1 << 33) - 1;

/// Writes one file. The time is none: the same evidence is the same bytes.
pub(super) fn add(out: &mut dyn Write, name: &str, bytes: &[u8]) -> io::Result<()> {
    let size = bytes.len() as u64;
    if name.len() > NAME_BYTES_MAX || size > SIZE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} does not fit into a tar file")));
    }
    let mut header = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.write_all(&header)?;
    out.write_all(bytes)?;
    let padding = bytes.len().next_multiple_of(BLOCK_BYTES) - bytes.len();
    out.write_all(&[0; BLOCK_BYTES][..padding])
}

/// Ends the archive.
pub(super) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK_BYTES])?;
    out.flush()
}
