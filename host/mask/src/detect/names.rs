//! Names of persons and cities. Without a model: titles, roles, labels and credentials around them, shapes like
//! `Last, First`, a dictionary for pairs, and what was found once is found again in the same text.

mod lists;

use hashbrown::HashMap;

use self::lists::{
    COUNTRIES, CREDENTIALS, HOMES, INSTITUTIONS, PARTICLES, RELATIONS, ROLES, STATE_NAMES, STOPS, TITLES, WEAK_ROLES,
};
use super::patterns::{is_month, is_state};
use super::{Hit, Kind, settle};

/// The dictionary.
pub(super) struct Names {
    words: HashMap<&'static [u8], u16>,
}

const GIVEN: u16 = 1;
const SURNAME: u16 = 2;
/// Also a word of the language, a disease or a place.
const WORD: u16 = 4;
/// Never part of a name.
const STOP: u16 = 8;
const TITLE: u16 = 16;
const ROLE: u16 = 32;
const CREDENTIAL: u16 = 64;
const PARTICLE: u16 = 128;
/// A role that a name follows even if nobody has heard it.
const RELATION: u16 = 256;
/// A role that anything may follow.
const WEAK: u16 = 512;
/// What follows a name that is an institution, an eponym or a street.
const INSTITUTION: u16 = 1024;
/// A place follows where somebody is at home or from.
const HOME: u16 = 2048;

/// A name of more words is a list of something.
const WORDS_MAX: usize = 5;
/// Longer words are no names, and the dictionary need not fold them.
const LETTERS_MAX: usize = 24;

/// The score of what looks like a name and nobody knows; it is no reason to look for it elsewhere.
const SHAPED: u8 = 69;

/// One word of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    start: usize,
    end: usize,
    case: Case,
    flags: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Capital,
    Upper,
    /// One capital letter.
    Initial,
}

impl Word {
    const fn is(self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether it may be part of a name that something else announces.
    fn nameable(self) -> bool {
        matches!(self.case, Case::Capital | Case::Upper) && !self.is(STOP | CREDENTIAL | TITLE)
    }

    /// Whether the dictionary alone is enough to take it for a name.
    fn certain(self, flag: u16) -> bool {
        self.is(flag) && !self.is(WORD) && self.nameable()
    }
}

impl Names {
    pub(super) fn new() -> Self {
        let mut words: HashMap<&'static [u8], u16> = HashMap::default();
        for (list, flag) in [
            (include_str!("data/given.txt"), GIVEN),
            (include_str!("data/surnames.txt"), SURNAME),
            (include_str!("data/words.txt"), WORD),
            (STOPS, STOP),
            (TITLES, TITLE),
            (ROLES, ROLE),
            (CREDENTIALS, CREDENTIAL),
            (PARTICLES, PARTICLE),
            (RELATIONS, RELATION),
            (WEAK_ROLES, WEAK),
            (INSTITUTIONS, INSTITUTION),
            (HOMES, HOME),
        ] {
            for word in list.split_ascii_whitespace() {
                *words.entry(word.as_bytes()).or_insert(0) |= flag;
            }
        }
        Self { words }
    }

    fn flags(&self, word: &[u8]) -> u16 {
        let mut buffer = [0; LETTERS_MAX];
        let Some(folded) = fold(word, &mut buffer) else { return 0 };
        if let Some(flags) = self.words.get(folded) {
            return *flags;
        }
        // Mary-Jane, Smith-Jones, and a possessive s.
        if folded.contains(&b'-') {
            return folded
                .split(|&byte| byte == b'-')
                .map(|part| self.words.get(part).copied().unwrap_or(0))
                .fold(0, |a, b| a | b)
                & (GIVEN | SURNAME);
        }
        match folded.strip_suffix(b"s") {
            Some(stem) if word.ends_with(b"'s") => self.words.get(stem).copied().unwrap_or(0),
            _ => 0,
        }
    }

    fn words(&self, text: &[u8], out: &mut Vec<Word>) {
        out.clear();
        let mut at = 0;
        let letters =
            |from: usize| text.get(from..).unwrap_or_default().iter().take_while(|&&byte| is_letter(byte)).count();
        while let Some(next) = text.get(at..).and_then(|rest| rest.iter().position(|&byte| is_letter(byte))) {
            let start = at + next;
            at = start + letters(start);
            while let Some(b'\'' | b'-') = text.get(at)
                && let more @ 1.. = letters(at + 1)
            {
                at += 1 + more;
            }
            // Digits and underscores glue: `a1b` and `a_b` are no words.
            let glued =
                |byte: Option<&u8>| byte.is_some_and(|&byte| byte.is_ascii_digit() || matches!(byte, b'_' | b'@'));
            let before = start.checked_sub(1).and_then(|before| text.get(before));
            if glued(before) || glued(text.get(at)) {
                continue;
            }
            let word = text.get(start..at).unwrap_or_default();
            let case = case_of(word);
            out.push(Word { start, end: at, case, flags: self.flags(word) });
        }
    }

    /// Whether a value that may be anything looks like the name of a person.
    pub(super) fn looks_like_one(&self, value: &[u8]) -> bool {
        let mut words = Vec::new();
        self.words(value, &mut words);
        let plain = value.iter().all(|&byte| is_letter(byte) || b" ,.'-".contains(&byte));
        let known = words.iter().filter(|word| word.is(GIVEN | SURNAME) && word.nameable()).count();
        plain && (2..=WORDS_MAX).contains(&words.len()) && known >= 1 && words.iter().all(|word| !word.is(STOP))
            || plain && words.len() == 1 && words.iter().all(|word| word.certain(GIVEN | SURNAME))
    }

    /// Finds names and cities besides what is found already; `hits` are in order.
    pub(super) fn scan(&self, text: &[u8], words: &mut Vec<Word>, hits: &mut Vec<Hit>) {
        self.words(text, words);
        let known = hits.len();
        let pass = Pass { text, words };
        let mut index = 0;
        while index < words.len() {
            let free = |index: usize| {
                let word = words.get(index);
                word.is_some_and(|word| last_before(hits, known, word.end).is_none_or(|hit| hit.end <= word.start))
            };
            match pass.at(index).filter(|&(first, last, _)| free(first) && free(last)) {
                Some((first, last, score)) => {
                    pass.push(first, last, Kind::Name, score, hits);
                    index = last + 1;
                }
                None => index += 1,
            }
        }
        // How many of the hits start before the word: both are in order.
        let mut before = 0;
        for (index, word) in words.iter().enumerate() {
            while before < known && hits.get(before).is_some_and(|hit| hit.start < word.start) {
                before += 1;
            }
            pass.city(index, known, hits);
            if let Some(last) = before.checked_sub(1).and_then(|last| hits.get(last).copied()) {
                pass.behind_street(index, last, hits);
            }
        }
        settle(hits);
        pass.again(hits);
    }
}

/// One text.
#[derive(Clone, Copy)]
struct Pass<'a> {
    text: &'a [u8],
    words: &'a [Word],
}

impl<'a> Pass<'a> {
    fn word(self, index: usize) -> Option<Word> {
        self.words.get(index).copied()
    }

    fn bytes(self, word: Word) -> &'a [u8] {
        self.text.get(word.start..word.end).unwrap_or_default()
    }

    /// What stands between a word and the next.
    fn gap(self, index: usize) -> &'a [u8] {
        let (Some(word), Some(next)) = (self.word(index), self.word(index + 1)) else { return b"\n" };
        self.text.get(word.end..next.start).unwrap_or_default()
    }

    /// A name that the word at `index` begins or announces: first and last word, and how sure.
    fn at(self, index: usize) -> Option<(usize, usize, u8)> {
        let word = self.word(index)?;
        if word.case == Case::Lower && !word.is(ROLE) && !word.is(PARTICLE) {
            return None;
        }
        if word.is(TITLE)
            && word.case != Case::Lower
            && matches!(self.gap(index), b" " | b". " | b".")
            && let Some(last) = self.run(index + 1, true)
        {
            return Some((index + 1, last, 90));
        }
        if word.is(ROLE)
            && let Some(found) = self.announced(index)
        {
            return Some(found);
        }
        self.by_credential(index).or_else(|| self.by_comma(index)).or_else(|| self.by_dictionary(index))
    }

    /// The last word of a name that starts at `first`: capitalised words, initials and particles. With `sure`, something
    /// says that it is a name.
    fn run(self, first: usize, sure: bool) -> Option<usize> {
        let start = self.word(first)?;
        let opens = start.nameable() || start.case == Case::Initial || start.is(PARTICLE);
        if !opens || start.case == Case::Lower && !start.is(PARTICLE) {
            return None;
        }
        let mut last = None;
        let mut index = first;
        while index < first + WORDS_MAX {
            let word = self.word(index)?;
            if index > first && self.is_state_of_zip(word) {
                break;
            }
            if word.is(PARTICLE) && word.case != Case::Lower || word.nameable() {
                last = Some(index);
            } else if !(word.case == Case::Initial || word.is(PARTICLE)) {
                break;
            }
            let step = match self.gap(index) {
                b" " => true,
                b". " => word.case == Case::Initial,
                _ => false,
            };
            if !step {
                break;
            }
            index += 1;
        }
        let last = last?;
        // In capitals everything is: there the words have to be known or few.
        let shouting = start.case == Case::Upper
            && (first..=last).all(|at| self.word(at).is_some_and(|word| word.case == Case::Upper));
        (!shouting || sure || (first..=last).any(|at| self.word(at).is_some_and(|word| word.is(GIVEN | SURNAME))))
            .then_some(last)
    }

    /// `MA 01230`
    fn is_state_of_zip(self, word: Word) -> bool {
        let rest = self.text.get(word.end..).unwrap_or_default();
        let digits = rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
        digits == 5 && rest.first() == Some(&b' ') && is_state(self.bytes(word))
    }

    /// `Patient: Jane Doe`, `Spouse Kofi was called`, `dictated by Olivia Karimi`.
    fn announced(self, index: usize) -> Option<(usize, usize, u8)> {
        let gap = self.gap(index);
        let strong = gap.len() <= 12
            && gap.iter().any(|byte| b":=".contains(byte))
            && gap.iter().all(|byte| b" :=\"'\t*(#|>".contains(byte))
            && gap.iter().filter(|&&byte| byte == b'|').count() < 2;
        let soft = matches!(gap, b" " | b", " | b" - " | b" (" | b"\n" | b",\n" | b",\n\n" | b": \n" | b",\r\n");
        if !strong && !soft {
            return None;
        }
        let first = index + 1;
        let next = self.word(first)?;
        if strong {
            if let Some(comma) = self.by_comma(first).or_else(|| self.comma_shape(first)) {
                return Some(comma);
            }
            let last = self.run(first, true)?;
            return Some((first, last, 90));
        }
        if let Some(comma) = self.by_comma(first) {
            return Some(comma);
        }
        let last = self.run(first, false)?;
        let words = last - first + 1;
        let pair = words >= 2 && next.is(GIVEN) && self.word(last).is_some_and(|word| word.is(SURNAME));
        let known = pair || (first..=last).any(|at| self.word(at).is_some_and(|word| word.certain(GIVEN | SURNAME)));
        let role = self.word(index)?;
        if role.is(RELATION) && words <= 2 && next.case == Case::Capital && !next.is(WORD) {
            return Some((first, last, 75));
        }
        let capital_role = role.case != Case::Lower && words == 1 && !known;
        let shaped =
            next.case == Case::Capital && (2..=3).contains(&words) && !capital_role && !next.is(WORD) && !role.is(WEAK);
        (known || shaped).then_some((first, last, if known { 80 } else { SHAPED }))
    }

    /// `Jane Doe, MD`
    fn by_credential(self, index: usize) -> Option<(usize, usize, u8)> {
        let start = self.word(index)?;
        if !start.nameable() && start.case != Case::Initial || start.is(ROLE) {
            return None;
        }
        let last = self.run(index, false)?;
        let credential = self.word(last + 1)?;
        let follows = matches!(self.gap(last), b", " | b" " | b",")
            && credential.is(CREDENTIAL)
            && credential.case != Case::Lower;
        let known = (index..=last).any(|at| self.word(at).is_some_and(|word| word.is(GIVEN | SURNAME)));
        (follows && last > index && known).then_some((index, last, 85))
    }

    /// `Doe, Jane M`: the given name has to be known.
    fn by_comma(self, index: usize) -> Option<(usize, usize, u8)> {
        let (family, last) = self.comma_parts(index)?;
        let given = self.word(family + 1)?;
        let surname = (index..=family).any(|at| self.word(at).is_some_and(|word| word.is(SURNAME)));
        let certain = (index..=family).any(|at| self.word(at).is_some_and(|word| word.certain(SURNAME)));
        let accept = given.certain(GIVEN)
            || given.is(GIVEN) && surname
            || certain && (given.case == Case::Initial || given.is(SURNAME));
        (accept && !self.word(index)?.is(ROLE)).then_some((index, last, 80))
    }

    /// The same behind a label, where unknown names are names too.
    fn comma_shape(self, index: usize) -> Option<(usize, usize, u8)> {
        let (family, last) = self.comma_parts(index)?;
        let known = (index..=last).any(|at| self.word(at).is_some_and(|word| word.is(GIVEN | SURNAME)));
        let short = family - index <= 1;
        (short && (known || self.word(index)?.case == self.word(family + 1)?.case)).then_some((index, last, 85))
    }

    /// The last word of the family name, and of the whole.
    fn comma_parts(self, index: usize) -> Option<(usize, usize)> {
        let start = self.word(index)?;
        if !(start.nameable() || start.is(PARTICLE) && start.case != Case::Lower) {
            return None;
        }
        let mut family = index;
        while self.gap(family) == b" " && family < index + 2 {
            let next = self.word(family + 1)?;
            if !(next.nameable() || next.is(PARTICLE)) {
                return None;
            }
            family += 1;
        }
        if !matches!(self.gap(family), b", " | b",") {
            return None;
        }
        let given = self.word(family + 1)?;
        if !(given.nameable() || given.case == Case::Initial) || is_state(self.bytes(given)) && !given.is(GIVEN) {
            return None;
        }
        let mut last = family + 1;
        // A middle name or initial.
        if self.gap(last) == b" "
            && let Some(middle) = self.word(last + 1)
            && (middle.case == Case::Initial || middle.nameable() && middle.is(GIVEN) && middle.case == given.case)
        {
            last += 1;
        }
        Some((family, last))
    }

    /// `Jane Doe`, `Jane M. Doe`: one of the two has to be a name and nothing else.
    fn by_dictionary(self, index: usize) -> Option<(usize, usize, u8)> {
        let given = self.word(index)?;
        if !given.nameable() || given.is(ROLE) || given.case == Case::Upper && !given.is(GIVEN) {
            return None;
        }
        let last = self.run(index, false)?;
        if last == index {
            return None;
        }
        let family = self.word(last)?;
        let next = self.word(index + 1)?;
        let pair = given.certain(GIVEN)
            && (family.is(SURNAME) || next.is(SURNAME | GIVEN | PARTICLE) || next.case == Case::Initial)
            || given.is(GIVEN) && family.certain(SURNAME)
            || given.certain(GIVEN) && last == index + 1 && !family.is(WORD)
            || given.flags & (WORD | STOP) == 0
                && given.case == Case::Capital
                && family.certain(SURNAME)
                && last <= index + 2
                && !self.starts_sentence(index);
        let member = (index..=last).any(|at| self.word(at).is_some_and(|word| word.is(INSTITUTION)));
        (pair && !member && !self.is_institution(last)).then_some((index, last, 70))
    }

    fn starts_sentence(self, index: usize) -> bool {
        let Some(start) = self.word(index).map(|word| word.start) else { return true };
        let before = self.text.get(..start).unwrap_or_default().trim_ascii_end();
        matches!(before.last(), None | Some(b'.' | b'!' | b'?'))
    }

    /// `Johns Hopkins Hospital`, `Crohn disease`: what follows says that it is none.
    fn is_institution(self, last: usize) -> bool {
        let Some(next) = self.word(last + 1).filter(|_| matches!(self.gap(last), b" " | b"'s ")) else { return false };
        next.is(INSTITUTION)
    }

    /// `Springfield, MA 01103`, `moved to Tampa, FL`: a city stands before its state.
    fn city(self, index: usize, known: usize, hits: &mut Vec<Hit>) {
        let Some(state) = self.word(index) else { return };
        let code = self.bytes(state);
        let before = index.checked_sub(1).map_or(b"".as_slice(), |before| self.gap(before));
        let is_long = || state.case == Case::Capital && STATE_NAMES.iter().any(|name| name.as_bytes() == code);
        let long = before == b", " && is_long();
        let behind_city = match before {
            b", " => long || is_state(code),
            b" " => self.is_state_of_zip(state),
            _ => false,
        };
        if !behind_city {
            return self.home(index, hits);
        }
        let rest = self.text.get(state.end..).unwrap_or_default();
        let digits =
            rest.iter().skip_while(|byte| b" ,.".contains(byte)).take_while(|byte| byte.is_ascii_digit()).count();
        // MD and PA are credentials as well.
        if digits != 5 && !long && b"MD PA MA DO MS ND DC".split(|&byte| byte == b' ').any(|known| known == code) {
            return;
        }
        let last = index - 1;
        let mut first = index;
        while first > 0 && index - first < 4 {
            let Some(word) = self.word(first - 1) else { break };
            let joined = first == index || matches!(self.gap(first - 1), b" " | b". ");
            if joined && first < index && self.is_connector(first - 1) {
                first -= 1;
                continue;
            }
            if !joined || !matches!(word.case, Case::Capital | Case::Upper) {
                break;
            }
            // A street that ends here is no part of the city.
            if last_before(hits, known, word.end).is_some_and(|hit| word.end <= hit.end) {
                break;
            }
            first -= 1;
        }
        while first <= last && self.word(first).is_some_and(|word| word.case == Case::Lower) {
            first += 1;
        }
        if first <= last {
            self.push(first, last, Kind::City, if digits == 5 { 90 } else { 70 }, hits);
        }
    }

    /// A small word within the name of a place: `Fond du Lac`, between two blanks.
    fn is_connector(self, index: usize) -> bool {
        let small = [b"of".as_slice(), b"or", b"du", b"de", b"des", b"la", b"the", b"del", b"and", b"on", b"in"];
        index > 0
            && self.gap(index) == b" "
            && self.gap(index - 1) == b" "
            && self.word(index).is_some_and(|word| small.contains(&self.bytes(word)))
            && self.word(index + 1).is_some_and(|word| word.case == Case::Capital)
    }

    /// `12 Park Rd, Springfield (Hampden County)`: a city stands behind a street.
    fn behind_street(self, index: usize, last: Hit, hits: &mut Vec<Hit>) {
        let Some(word) = self.word(index) else { return };
        let Some(street) = Some(last).filter(|hit| hit.kind == Kind::Street && hit.end + 4 > word.start) else {
            return;
        };
        let between = self.text.get(street.end..word.start).unwrap_or_default();
        if !between.iter().all(|byte| b", \n".contains(byte)) || !between.contains(&b',') && !between.contains(&b'\n') {
            return;
        }
        let mut last = None;
        for at in index..index + 4 {
            let Some(word) = self.word(at) else { break };
            if at > index && self.is_connector(at) {
                continue;
            }
            if !matches!(word.case, Case::Capital | Case::Upper)
                || word.is(STOP) && at == index
                || is_state(self.bytes(word))
            {
                break;
            }
            last = Some(at);
            if !matches!(self.gap(at), b" " | b". ") {
                break;
            }
        }
        if let Some(last) = last {
            self.push(index, last, Kind::City, 90, hits);
        }
    }

    /// `lives in Tampa`, `resident of Worcester`
    fn home(self, index: usize, hits: &mut Vec<Hit>) {
        let Some(verb) = self.word(index) else { return };
        if !verb.is(HOME) || self.bytes(verb).contains(&b'\'') || self.gap(index) != b" " {
            return;
        }
        let Some(preposition) = self.word(index + 1) else { return };
        if !matches!(self.bytes(preposition), b"in" | b"of" | b"to" | b"near") || self.gap(index + 1) != b" " {
            return;
        }
        let first = index + 2;
        let mut last = None;
        for at in first..first + 3 {
            let Some(word) = self.word(at).filter(|word| word.case == Case::Capital && !word.is(STOP | TITLE)) else {
                break;
            };
            if is_month(self.bytes(word))
                || at == first && COUNTRIES.split(' ').any(|name| name.as_bytes() == self.bytes(word))
            {
                break;
            }
            last = Some(at);
            if self.gap(at) != b" " {
                break;
            }
        }
        if let Some(last) = last {
            self.push(first, last, Kind::City, 65, hits);
        }
    }

    /// What was a name or a city once in a text is one wherever it stands.
    fn again(self, hits: &mut Vec<Hit>) {
        let mut found: HashMap<Folded, (Kind, u8)> = HashMap::default();
        let mut looks = Looks::default();
        let mut index = 0;
        for hit in hits.iter().filter(|hit| matches!(hit.kind, Kind::Name | Kind::City) && hit.score > SHAPED) {
            // Hits are in order, and so are words.
            while self.word(index).is_some_and(|word| word.start < hit.start) {
                index += 1;
            }
            let count = self.words.iter().skip(index).take_while(|word| word.end <= hit.end).count();
            if hit.kind == Kind::City {
                // A city repeats as a whole: its first word leads to how many follow.
                if let Some(first) = self.word(index).filter(|_| hit.score >= 90) {
                    let count = u8::try_from(count).unwrap_or(u8::MAX);
                    looks.keep(self.bytes(first));
                    found.entry(Folded::of(self.bytes(first))).or_insert((Kind::City, count));
                }
                continue;
            }
            for part in self.words.iter().skip(index).take(count) {
                if !part.is(WORD | STOP | PARTICLE) && part.end - part.start >= 3 {
                    looks.keep(self.bytes(*part));
                    found.insert(Folded::of(self.bytes(*part)), (Kind::Name, 1));
                }
            }
        }
        if found.is_empty() {
            return;
        }
        for (index, word) in self.words.iter().enumerate() {
            if word.case == Case::Lower || !looks.hold(self.bytes(*word)) {
                continue;
            }
            let Some(&(kind, count)) = found.get(&Folded::of(self.bytes(*word))) else { continue };
            let last = (index + usize::from(count).max(1) - 1).min(self.words.len() - 1);
            if !self.is_institution(last) {
                self.push(index, last, kind, 60, hits);
            }
        }
    }

    fn push(self, first: usize, last: usize, kind: Kind, score: u8, hits: &mut Vec<Hit>) {
        if let (Some(first), Some(last)) = (self.word(first), self.word(last)) {
            let end = if self.bytes(last).ends_with(b"'s") { last.end - 2 } else { last.end };
            hits.push(Hit { start: first.start, end, kind, score });
        }
    }
}

/// The last of the first `known` hits, which are in order, that starts before a place.
fn last_before(hits: &[Hit], known: usize, place: usize) -> Option<Hit> {
    let known = hits.get(..known)?;
    let index = known.partition_point(|hit| hit.start < place).checked_sub(1)?;
    known.get(index).copied()
}

/// A word in lower case and without apostrophes; none if it is too long.
fn fold<'a>(word: &[u8], buffer: &'a mut [u8; LETTERS_MAX]) -> Option<&'a [u8]> {
    if !word.contains(&b'\'') {
        let folded = buffer.get_mut(..word.len())?;
        folded.copy_from_slice(word);
        folded.make_ascii_lowercase();
        return Some(folded);
    }
    let mut length = 0;
    for &byte in word.iter().filter(|&&byte| byte != b'\'') {
        *buffer.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    buffer.get(..length)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == super::shadow::LETTER
}

fn case_of(word: &[u8]) -> Case {
    let mut letters = word.iter().filter(|byte| byte.is_ascii_alphabetic());
    let Some(first) = letters.next() else { return Case::Lower };
    if !first.is_ascii_uppercase() {
        return Case::Lower;
    }
    if word.len() == 1 {
        return Case::Initial;
    }
    if letters.all(u8::is_ascii_uppercase) { Case::Upper } else { Case::Capital }
}

/// The lengths and first letters of some words: most others differ in these already, and need not be looked up.
#[derive(Default)]
struct Looks([u32; LETTERS_MAX + 1]);

impl Looks {
    fn of(word: &[u8]) -> (usize, u32) {
        let word = word.strip_suffix(b"'s").unwrap_or(word);
        // Five bits tell letters of either case apart.
        (word.len().min(LETTERS_MAX), 1 << (word.first().unwrap_or(&0) & 0x1f))
    }

    fn keep(&mut self, word: &[u8]) {
        let (length, first) = Self::of(word);
        if let Some(firsts) = self.0.get_mut(length) {
            *firsts |= first;
        }
    }

    fn hold(&self, word: &[u8]) -> bool {
        let (length, first) = Self::of(word);
        self.0.get(length).is_some_and(|firsts| firsts & first != 0)
    }
}

/// A word in lower case, cut at the length of the longest name.
#[derive(PartialEq, Eq, Hash)]
struct Folded([u8; LETTERS_MAX]);

impl Folded {
    fn of(word: &[u8]) -> Self {
        let mut folded = [0; LETTERS_MAX];
        let word = word.strip_suffix(b"'s").unwrap_or(word);
        folded.iter_mut().zip(word).for_each(|(to, from)| *to = from.to_ascii_lowercase());
        Self(folded)
    }
}
