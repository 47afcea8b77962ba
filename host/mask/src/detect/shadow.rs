//! A copy of a text for matching only: what hides an identifier from a pattern and not from a reader (zero-width
//! characters, full-width digits, other dashes, escapes) is undone. Hits are mapped back to the original bytes.

/// The copy, and where it differs from the original.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pub(super) text: Vec<u8>,
    folds: Vec<Folded>,
}

/// A stretch of the original that one byte of the copy stands for, or none.
#[derive(Debug, Clone, Copy)]
struct Folded {
    /// Where in the copy.
    at: usize,
    /// How many bytes of it: 0 or 1.
    length: usize,
    /// Where in the original.
    start: usize,
    end: usize,
}

/// Bytes that are looked at together.
const STRETCH: usize = 64;

/// Stands for a letter that has no ASCII counterpart.
pub(super) const LETTER: u8 = 0x80;

impl Shadow {
    /// Builds the copy. False if it would be the text itself, as it mostly is.
    pub(super) fn cast(&mut self, original: &[u8]) -> bool {
        if plain(original) == original.len() {
            return false;
        }
        self.text.clear();
        self.folds.clear();
        let mut at = 0;
        while let Some(rest) = original.get(at..).filter(|rest| !rest.is_empty()) {
            let (plain, rest) = rest.split_at_checked(plain(rest)).unwrap_or_default();
            self.text.extend_from_slice(plain);
            at += plain.len();
            let Some(&first) = rest.first() else { break };
            let (fold, length) = step(rest);
            let (start, end) = (at, at + length);
            match fold {
                Fold::To(byte) if length == 1 && byte == first => self.text.push(byte),
                Fold::To(byte) => {
                    self.folds.push(Folded { at: self.text.len(), length: 1, start, end });
                    self.text.push(byte);
                }
                Fold::Drop => self.folds.push(Folded { at: self.text.len(), length: 0, start, end }),
            }
            at = end;
        }
        !self.folds.is_empty()
    }

    /// The bytes of the original that a stretch of the copy stands for.
    pub(super) fn original(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let first = self.span(start)?.0;
        let last = self.span(end.checked_sub(1)?)?.1;
        (first < last).then_some((first, last))
    }

    /// The same of one byte.
    fn span(&self, at: usize) -> Option<(usize, usize)> {
        if at >= self.text.len() {
            return None;
        }
        let before = self.folds.partition_point(|fold| fold.at <= at);
        match before.checked_sub(1).and_then(|last| self.folds.get(last)) {
            None => Some((at, at + 1)),
            Some(fold) if fold.at + fold.length > at => Some((fold.start, fold.end)),
            Some(fold) => {
                let start = fold.end + (at - fold.at - fold.length);
                Some((start, start + 1))
            }
        }
    }
}

/// How many bytes are what they look like, up to the first that may not be.
fn plain(text: &[u8]) -> usize {
    // Without an early end within a stretch, so that it is compared many bytes at a time.
    let hides = |stretch: &&[u8]| stretch.iter().fold(false, |found, &byte| found | may_hide(byte));
    let whole = text.chunks(STRETCH).take_while(|stretch| !hides(stretch)).map(<[u8]>::len).sum();
    let rest = text.get(whole..).unwrap_or_default();
    whole + rest.iter().position(|&byte| may_hide(byte)).unwrap_or(rest.len())
}

/// Whether something else may stand here than meets the eye.
const fn may_hide(byte: u8) -> bool {
    (byte >= 0x80) | (byte == b'%') | (byte == b'&') | (byte == b'\\')
}

enum Fold {
    Drop,
    To(u8),
}

/// What the first character stands for, and its length.
fn step(text: &[u8]) -> (Fold, usize) {
    match text {
        [b'%', high, low, ..] => match byte_of(&[*high, *low]) {
            Some(byte) if byte.is_ascii_graphic() || byte == b' ' => (Fold::To(byte), 3),
            _ => (Fold::To(b'%'), 1),
        },
        [b'\\', b'u', rest @ ..] => {
            let unit = rest.get(..4).and_then(|digits| Some([byte_of(digits.get(..2)?)?, byte_of(digits.get(2..)?)?]));
            match unit.and_then(|unit| char::from_u32(u16::from_be_bytes(unit).into())) {
                Some(character) => (fold(character), 6),
                None => (Fold::To(b'\\'), 1),
            }
        }
        [b'&', ..] => entity(text).unwrap_or((Fold::To(b'&'), 1)),
        [ascii @ 0..0x80, ..] => (Fold::To(*ascii), 1),
        _ => {
            // The longest character has four bytes; a byte of another encoding is taken for a letter.
            let decoded = (2..=4).find_map(|length| {
                let character = std::str::from_utf8(text.get(..length)?).ok()?.chars().next()?;
                Some((fold(character), length))
            });
            decoded.unwrap_or((Fold::To(LETTER), 1))
        }
    }
}

fn byte_of(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u8::from_str_radix(text, 16).ok()
}

/// `&#45;`, `&#x2d;` and the named ones that occur in identifiers.
fn entity(text: &[u8]) -> Option<(Fold, usize)> {
    let end = text.iter().take(12).position(|&byte| byte == b';')?;
    let name = std::str::from_utf8(text.get(1..end)?).ok()?;
    let character = match name.strip_prefix('#') {
        Some(number) => {
            let hex = number.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16).ok());
            char::from_u32(hex.unwrap_or_else(|| number.parse().ok())?)?
        }
        None => match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            "nbsp" => ' ',
            "commat" => '@',
            "period" => '.',
            "hyphen" | "dash" | "ndash" | "mdash" | "minus" => '-',
            "shy" => '\u{ad}',
            _ => return None,
        },
    };
    Some((fold(character), end + 1))
}

fn fold(character: char) -> Fold {
    let code = u32::from(character);
    let digit = |zero: u32| Fold::To(b'0' + ((code - zero) % 10) as u8);
    match character {
        '\0'..='\u{7f}' => Fold::To(code as u8),
        '\u{ff01}'..='\u{ff5e}' => Fold::To((code - 0xfee0) as u8),
        '\u{ad}'
        | '\u{300}'..='\u{36f}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}' => Fold::Drop,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => Fold::To(b' '),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' | '\u{fe58}' | '\u{fe63}' => Fold::To(b'-'),
        '\u{2018}' | '\u{2019}' | '\u{2bc}' | '\u{b4}' => Fold::To(b'\''),
        '\u{201c}' | '\u{201d}' => Fold::To(b'"'),
        '\u{660}'..='\u{669}' => digit(0x660),
        '\u{6f0}'..='\u{6f9}' => digit(0x6f0),
        '\u{966}'..='\u{96f}' => digit(0x966),
        '\u{1d7ce}'..='\u{1d7ff}' => digit(0x1d7ce),
        'À'..='Å' | 'Ā' | 'Ă' | 'Ą' => Fold::To(b'A'),
        'à'..='å' | 'ā' | 'ă' | 'ą' => Fold::To(b'a'),
        'Ç' | 'Ć' | 'Č' => Fold::To(b'C'),
        'ç' | 'ć' | 'č' => Fold::To(b'c'),
        'Ð' | 'Ď' | 'Đ' => Fold::To(b'D'),
        'ð' | 'ď' | 'đ' => Fold::To(b'd'),
        'È'..='Ë' | 'Ē' | 'Ę' | 'Ě' | 'Æ' | 'Œ' => Fold::To(b'E'),
        'è'..='ë' | 'ē' | 'ę' | 'ě' | 'æ' | 'œ' => Fold::To(b'e'),
        'Ğ' => Fold::To(b'G'),
        'ğ' => Fold::To(b'g'),
        'Ì'..='Ï' | 'Ī' | 'İ' => Fold::To(b'I'),
        'ì'..='ï' | 'ī' | 'ı' => Fold::To(b'i'),
        'Ł' | 'Ľ' => Fold::To(b'L'),
        'ł' | 'ľ' => Fold::To(b'l'),
        'Ñ' | 'Ń' | 'Ň' => Fold::To(b'N'),
        'ñ' | 'ń' | 'ň' => Fold::To(b'n'),
        'Ò'..='Ö' | 'Ø' | 'Ō' | 'Ő' => Fold::To(b'O'),
        'ò'..='ö' | 'ø' | 'ō' | 'ő' => Fold::To(b'o'),
        'Ř' => Fold::To(b'R'),
        'ř' => Fold::To(b'r'),
        'Ś' | 'Ş' | 'Š' | 'Ș' => Fold::To(b'S'),
        'ś' | 'ş' | 'š' | 'ß' | 'ș' => Fold::To(b's'),
        'Ť' | 'Ț' => Fold::To(b'T'),
        'ť' | 'ț' => Fold::To(b't'),
        'Ù'..='Ü' | 'Ū' | 'Ů' | 'Ű' => Fold::To(b'U'),
        'ù'..='ü' | 'ū' | 'ů' | 'ű' => Fold::To(b'u'),
        'Ý' | 'Ÿ' => Fold::To(b'Y'),
        'ý' | 'ÿ' => Fold::To(b'y'),
        'Ź' | 'Ż' | 'Ž' => Fold::To(b'Z'),
        'ź' | 'ż' | 'ž' => Fold::To(b'z'),
        _ if character.is_alphabetic() => Fold::To(LETTER),
        // Some sign that is no part of an identifier; a byte that no pattern knows.
        _ => Fold::To(0xff),
    }
}
