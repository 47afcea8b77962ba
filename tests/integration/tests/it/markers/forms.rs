//! The values to look for, and every form in which one would be known again.

use std::collections::HashSet;

/// Letters of a marker. Few texts of the server hold four of them in a row.
const LETTERS: &[u8] = b"qxzjkvw";
const LENGTH: usize = 12;
/// So many characters of a value are a leak.
const PIECE: usize = 4;
/// So many are looked for in base64, where four are three bytes and a half.
const PIECE_OF_BASE64: usize = 6;

/// The value of that number: the same in each run, and no other like it.
pub(super) fn marker(number: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
    let mut letters: Vec<char> = (0..LENGTH)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let index = usize::try_from(state % LETTERS.len() as u64).expect("small");
            char::from(LETTERS[index])
        })
        .collect();
    // What JSON, CSV and literals of SQL escape.
    if number.is_multiple_of(3) {
        letters[5] = '"';
        letters[6] = '\\';
    }
    letters.into_iter().collect()
}

/// All that is looked for, by how many bytes it has.
pub(super) struct Forms {
    widths: Vec<Width>,
}

struct Width {
    bytes: usize,
    /// Whether the first two bytes begin any, to look no further where they do not.
    begins: Vec<bool>,
    known: HashSet<Vec<u8>>,
    folds_case: bool,
}

impl Forms {
    pub(super) fn of(markers: impl Iterator<Item = String>) -> Self {
        let (mut plain, mut hex, mut wide, mut base64) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for marker in markers {
            let backwards: String = marker.chars().rev().collect();
            for text in [marker, backwards] {
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                for text in [text, escaped] {
                    for piece in text.as_bytes().windows(PIECE).filter(|piece| says_something(piece)) {
                        plain.push(piece.to_ascii_lowercase());
                        hex.push(piece.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
                        wide.push(piece.iter().flat_map(|byte| format!("\\u{byte:04x}").into_bytes()).collect());
                    }
                    for piece in text.as_bytes().windows(PIECE_OF_BASE64) {
                        base64.extend((0..3).map(|before| inner_base64(piece, before)));
                    }
                }
            }
        }
        let folded = [plain, hex, wide].map(|forms| Width::of(forms, true));
        let exact = [6, 7, 8]
            .map(|bytes| Width::of(base64.iter().filter(|form| form.len() == bytes).cloned().collect(), false));
        Self { widths: folded.into_iter().chain(exact).collect() }
    }

    /// The first form of any value in the bytes.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Option<String> {
        let folded = bytes.to_ascii_lowercase();
        self.widths.iter().find_map(|width| width.found_in(if width.folds_case { &folded } else { bytes }))
    }
}

impl Width {
    fn of(forms: Vec<Vec<u8>>, folds_case: bool) -> Self {
        let bytes = forms.first().map_or(0, Vec::len);
        let mut begins = vec![false; 1 << 16];
        for form in &forms {
            begins[usize::from(form[0]) << 8 | usize::from(form[1])] = true;
        }
        Self { bytes, begins, known: forms.into_iter().collect(), folds_case }
    }

    fn found_in(&self, text: &[u8]) -> Option<String> {
        if self.bytes == 0 {
            return None;
        }
        let mut pieces = text.windows(self.bytes);
        let is_known = |piece: &&[u8]| {
            self.begins[usize::from(piece[0]) << 8 | usize::from(piece[1])] && self.known.contains(*piece)
        };
        pieces.find(is_known).map(|piece| String::from_utf8_lossy(piece).into_owned())
    }
}

/// Quotes and backslashes stand side by side in many texts.
fn says_something(piece: &[u8]) -> bool {
    piece.iter().filter(|byte| LETTERS.contains(byte)).count() + 1 >= PIECE
}

/// The characters of base64 that say the piece whatever stands before and behind it.
fn inner_base64(piece: &[u8], before: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = [vec![0; before], piece.to_vec()].concat();
    let whole = bits.len() * 8 / 6;
    let sextet = |index: usize| {
        let at = index * 6;
        let pair = u16::from(bits[at / 8]) << 8 | u16::from(bits.get(at / 8 + 1).copied().unwrap_or_default());
        ALPHABET[usize::from(pair >> (10 - at % 8) & 0x3f)]
    };
    ((before * 8).div_ceil(6)..whole).map(sextet).collect()
}

#[test]
fn each_form_of_a_value_is_known_again() {
    let forms = Forms::of((0..50).map(marker));
    let value = marker(7);
    let shown = [
        value.clone(),
        value.get(3..7).unwrap_or_default().to_owned(),
        value.to_uppercase(),
        value.chars().rev().collect(),
        value.bytes().map(|byte| format!("{byte:02X}")).collect(),
        marker(9).get(2..9).unwrap_or_default().replace('\\', "\\\\").replace('"', "\\\""),
    ];
    for text in shown {
        assert!(forms.found_in(format!("row {text};").as_bytes()).is_some(), "{text}");
    }
    let encode = |text: &str| {
        let padded = format!("{text}{}", " ".repeat((3 - text.len() % 3) % 3));
        padded.as_bytes().chunks(3).flat_map(|three| inner_base64(three, 0)).collect::<Vec<u8>>()
    };
    for before in ["", "a", "ab"] {
        assert!(forms.found_in(&encode(&format!("{before}{value}"))).is_some(), "base64 behind {before:?}");
    }
    assert_eq!(forms.found_in(b"SELECT relation public.subjects [redacted] 42501 \\x00ff quite ordinary"), None);
}
