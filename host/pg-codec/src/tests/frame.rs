use crate::frame::{FrameError, Frames, Head, LENGTH_MAX, head};

#[test]
fn a_head_needs_five_bytes_and_a_possible_length() {
    type Expected = Result<Option<Head>, FrameError>;
    let cases: &[(&[u8], Expected)] = &[
        (b"", Ok(None)),
        (b"Q", Ok(None)),
        (b"Q\0\0\0", Ok(None)),
        (b"S\0\0\0\x04", Ok(Some(Head { tag: b'S', len: 5 }))),
        (b"Q\0\0\0\x05\0rest", Ok(Some(Head { tag: b'Q', len: 6 }))),
        (b"S\0\0\0\x03", Err(FrameError::BadLength { tag: b'S', length: 3 })),
        (b"S\0\0\0\0", Err(FrameError::BadLength { tag: b'S', length: 0 })),
        (b"S\xff\xff\xff\xff", Err(FrameError::BadLength { tag: b'S', length: u32::MAX })),
        (b"D\x40\0\0\x03", Ok(Some(Head { tag: b'D', len: LENGTH_MAX as usize + 1 }))),
        (b"D\x40\0\0\x04", Err(FrameError::BadLength { tag: b'D', length: LENGTH_MAX + 1 })),
    ];
    for (bytes, expected) in cases {
        assert_eq!(head(bytes), *expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_frame_to_be_held_in_memory_has_a_limit() {
    let head = Head { tag: b'Q', len: 101 };
    assert_eq!(head.within(101), Ok(head));
    assert_eq!(head.within(100), Err(FrameError::TooLarge { tag: b'Q', len: 101, max: 100 }));
    assert_eq!(head.body_len(), 96);
}

#[test]
fn a_walk_yields_complete_frames_and_keeps_the_rest() {
    let mut walk = Frames::new(b"S\0\0\0\x04Q\0\0\0\x06a\0P\0\0\0\x09ab");
    let frames: Vec<_> = walk.by_ref().map(|frame| frame.expect("well formed")).collect();
    assert_eq!(
        frames.iter().map(|frame| (frame.tag, frame.body())).collect::<Vec<_>>(),
        [(b'S', &b""[..]), (b'Q', b"a\0")]
    );
    assert_eq!((walk.consumed(), walk.incomplete()), (12, 7));
    assert_eq!(walk.pending(), Ok(Some(Head { tag: b'P', len: 10 })));
    assert_eq!(Frames::new(b"").pending(), Ok(None));
}

#[test]
fn a_walk_stops_at_the_first_broken_head() {
    let mut walk = Frames::new(b"S\0\0\0\x04Q\0\0\0\x01S\0\0\0\x04");
    assert!(matches!(walk.next(), Some(Ok(frame)) if frame.bytes == b"S\0\0\0\x04"));
    assert_eq!(walk.next(), Some(Err(FrameError::BadLength { tag: b'Q', length: 1 })));
    assert_eq!(walk.next(), None);
    assert_eq!(walk.consumed(), 5);
}
