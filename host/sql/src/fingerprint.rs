//! Texts without their constants: equal fingerprints for statements that differ in constants, spaces, comments and
//! letter case only. Works on tokens, so that it is linear and needs no tree.

use std::hash::Hasher;
use std::ops::Range;
use std::sync::Arc;

/// The fingerprint of a text as 16 hexadecimal digits.
pub(crate) fn of(text: &str) -> Arc<str> {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    let mut last_was_constant = false;
    let mut after_list = false;
    for token in Tokens::new(text) {
        match token.kind {
            Kind::Constant => {
                // `(?, ?, ?)` and `(?)` are the same list, and so are `(?), (?)` and `(?)`.
                if !last_was_constant && !after_list {
                    hash.write(b"?");
                }
                last_was_constant = true;
            }
            Kind::Symbol if token.text == "," && last_was_constant => {}
            Kind::Symbol if (token.text == "," || token.text == "(") && after_list => {}
            Kind::Symbol if token.text == ")" && last_was_constant => {
                if !after_list {
                    hash.write(b")");
                }
                after_list = true;
                last_was_constant = false;
            }
            Kind::Word => {
                hash.write(token.text.to_ascii_lowercase().as_bytes());
                hash.write(b" ");
                (last_was_constant, after_list) = (false, false);
            }
            Kind::Quoted | Kind::Symbol => {
                hash.write(token.text.as_bytes());
                hash.write(b" ");
                (last_was_constant, after_list) = (false, false);
            }
        }
    }
    format!("{:016x}", hash.finish()).into()
}

/// What stands between the first parenthesis and its counterpart.
pub(crate) fn first_parentheses(text: &str) -> Option<Range<usize>> {
    let mut start = None;
    let mut depth = 0_u32;
    for token in Tokens::new(text) {
        match (token.kind, token.text) {
            (Kind::Symbol, "(") => {
                depth += 1;
                start.get_or_insert(token.start + 1);
            }
            (Kind::Symbol, ")") => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return start.map(|start| start..token.start);
                }
            }
            _ => {}
        }
    }
    None
}

/// FNV-1a: stable over versions and machines, which the standard hasher does not promise.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    /// A name in double quotes.
    Quoted,
    Constant,
    Symbol,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'t> {
    pub(crate) kind: Kind,
    pub(crate) text: &'t str,
    pub(crate) start: usize,
}

pub(crate) struct Tokens<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Tokens<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn skip_space(&mut self) {
        loop {
            match (self.byte(self.at), self.byte(self.at + 1)) {
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, _) => self.at += 1,
                (b'-', b'-') => {
                    while self.at < self.bytes.len() && !matches!(self.byte(self.at), b'\n' | b'\r') {
                        self.at += 1;
                    }
                }
                (b'/', b'*') => self.skip_comment(),
                _ => return,
            }
        }
    }

    /// Comments nest.
    fn skip_comment(&mut self) {
        let mut depth = 0_u32;
        while self.at < self.bytes.len() {
            match (self.byte(self.at), self.byte(self.at + 1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// Goes behind the closing quote; a doubled quote does not close, nor does an escaped one.
    fn skip_quoted(&mut self, quote: u8, escapes: bool) {
        self.at += 1;
        while self.at < self.bytes.len() {
            match self.byte(self.at) {
                b'\\' if escapes => self.at += 2,
                byte if byte == quote => {
                    self.at += 1;
                    if self.byte(self.at) != quote {
                        return;
                    }
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
    }

    /// `$tag$ … $tag$`; false if no such quote begins here.
    fn skip_dollars(&mut self) -> bool {
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let mut end = self.at + 1;
        if self.byte(end).is_ascii_digit() {
            return false;
        }
        while is_tag(self.byte(end)) {
            end += 1;
        }
        if self.byte(end) != b'$' {
            return false;
        }
        let tag = &self.bytes[self.at..=end];
        let rest = &self.bytes[end + 1..];
        let length = rest.windows(tag.len()).position(|window| window == tag);
        self.at = length.map_or(self.bytes.len(), |length| end + 1 + length + tag.len());
        true
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        self.skip_space();
        let start = self.at;
        let byte = self.byte(start);
        let kind = match byte {
            _ if start >= self.bytes.len() => return None,
            b'\'' => {
                self.skip_quoted(b'\'', false);
                Kind::Constant
            }
            b'e' | b'E' | b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if self.byte(start + 1) == b'\'' => {
                self.at += 1;
                self.skip_quoted(b'\'', matches!(byte, b'e' | b'E'));
                Kind::Constant
            }
            b'u' | b'U' if self.byte(start + 1) == b'&' && matches!(self.byte(start + 2), b'\'' | b'"') => {
                let quote = self.byte(start + 2);
                self.at += 2;
                self.skip_quoted(quote, false);
                if quote == b'\'' { Kind::Constant } else { Kind::Quoted }
            }
            b'"' => {
                self.skip_quoted(b'"', false);
                Kind::Quoted
            }
            b'$' if self.skip_dollars() => Kind::Constant,
            b'0'..=b'9' => {
                self.skip_number();
                Kind::Constant
            }
            b'.' if self.byte(start + 1).is_ascii_digit() => {
                self.skip_number();
                Kind::Constant
            }
            _ if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                while matches!(self.byte(self.at), b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | 0x80..) {
                    self.at += 1;
                }
                Kind::Word
            }
            _ => {
                self.at += 1;
                Kind::Symbol
            }
        };
        self.at = self.at.min(self.bytes.len());
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        Some(Token { kind, text: self.text.get(start..self.at).unwrap_or_default(), start })
    }
}

impl Tokens<'_> {
    fn skip_number(&mut self) {
        loop {
            match self.byte(self.at) {
                b'e' | b'E' if matches!(self.byte(self.at + 1), b'+' | b'-') => self.at += 2,
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'_' => self.at += 1,
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_comments_and_case_do_not_count() {
        let plain = of("SELECT a FROM t WHERE b = 1 AND c IN (1, 2)");
        for text in [
            "select a from T where B='x' and c in (3)",
            "select a /* b /* nested */ */ from t -- end\n where b = $$it's$$ and c in ('p','q','r')",
            "select a from t where b = E'\\'' and c in (1.5e-3, 0x1f)",
        ] {
            assert_eq!(of(text), plain, "{text}");
        }
        for text in ["select b from t where b = 1 and c in (1)", "select a from \"T\" where b = 1 and c in (1)", ""] {
            assert_ne!(of(text), plain, "{text}");
        }
        assert_eq!(of("insert into t values (1, 'a'), (2, 'b'), (3, 'c')"), of("insert into t values (9, 'z')"));
        assert_ne!(of("select $1"), of("select $1, a"));
    }

    #[test]
    fn the_copied_query_is_found() {
        for (text, query) in [
            ("COPY (select ')' from t) TO STDOUT", Some("select ')' from t")),
            ("COPY /* ( */ (select (1)) TO STDOUT", Some("select (1)")),
            ("COPY t TO STDOUT", None),
            ("COPY (select 1", None),
        ] {
            assert_eq!(first_parentheses(text).and_then(|range| text.get(range)), query, "{text}");
        }
    }

    #[test]
    fn any_text_is_taken_to_its_end() {
        for text in ["'", "\"", "$$", "$a$ $b$", "/*", "é'é", "E'\\", "U&'", "1e", "$1", "\u{0}", "/* */ */", "E'\\é'"]
        {
            assert_eq!(of(text).len(), 16, "{text}");
        }
    }
}
