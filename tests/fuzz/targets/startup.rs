//! The first packet: the only bytes that anybody at all may send us.
//!
//! Property: what is accepted is exactly what is written back, and no shorter input was accepted as the same packet.
#![no_main]

use bytes::BytesMut;
use grille_pg_codec::{
    encode,
    startup::{First, PACKET_MAX, first_packet},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some((first, used))) = first_packet(bytes) else { return };
    assert!(used <= bytes.len() && used <= PACKET_MAX);
    let packet = &bytes[..used];
    let mut again = BytesMut::new();
    match first {
        First::DirectTls => assert_eq!((used, bytes[0]), (0, 0x16)),
        First::Ssl => encode::ssl_request(&mut again),
        First::GssEncryption => again.extend_from_slice(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x30]),
        First::Cancel(cancel) => {
            encode::cancel_request(&mut again, cancel.pid, cancel.key).expect("a key that was read can be written");
        }
        First::Startup(startup) => {
            let params = startup.params.iter().copied();
            encode::startup(&mut again, startup.version, params).expect("what was read can be written");
            assert!(startup.user().is_none_or(|user| !user.is_empty()));
        }
    }
    assert_eq!(&again[..], packet);
    for end in 0..used {
        assert!(!matches!(first_packet(&bytes[..end]), Ok(Some(_))), "{end} of {used} bytes passed for the whole");
    }
});
