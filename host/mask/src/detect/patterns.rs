//! The shapes: one regex each, all in one automaton, and behind each the check that only it needs.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::labels::{self, Label};
use super::{Kind, check, date};

/// What matched and where, for the checks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) text: &'a [u8],
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'a> Seen<'a> {
    fn matched(self) -> &'a [u8] {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    /// The length of a label up to its last letter or digit. One that ends within a word has none.
    pub(super) fn words(self) -> usize {
        let inside = |at: usize| self.text.get(at).is_some_and(u8::is_ascii_alphanumeric);
        if inside(self.end.saturating_sub(1)) && inside(self.end) {
            return 0;
        }
        self.matched().iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |last| last + 1)
    }

    fn before(self) -> &'a [u8] {
        self.text.get(..self.start).unwrap_or_default()
    }

    fn after(self) -> &'a [u8] {
        self.text.get(self.end..).unwrap_or_default()
    }

    fn whole(self) -> Option<Range<usize>> {
        Some(self.start..self.end)
    }

    /// Whether it stands alone and is no piece of a longer number, code or dotted name.
    fn alone(self) -> bool {
        let head = match self.before() {
            [.., last] if last.is_ascii_alphanumeric() || *last == b'_' => false,
            [.., last, b'-' | b'.' | b'/' | b':'] if last.is_ascii_digit() => false,
            _ => true,
        };
        let tail = match self.after() {
            [first, ..] if first.is_ascii_alphanumeric() || *first == b'_' => false,
            [b'-' | b'/' | b':', next, ..] if next.is_ascii_digit() => false,
            [b'.', next, ..] if next.is_ascii_digit() => false,
            _ => true,
        };
        head && tail
    }

    /// The matched digits, or letters and digits, without what parts them.
    fn compact(self, buffer: &mut [u8; 40]) -> &[u8] {
        let mut length = 0;
        let kept = self.matched().iter().filter(|byte| byte.is_ascii_alphanumeric());
        for (to, from) in buffer.iter_mut().zip(kept) {
            *to = *from;
            length += 1;
        }
        buffer.get(..length).unwrap_or_default()
    }
}

pub(super) struct Pattern {
    pub(super) regex: String,
    pub(super) kind: Kind,
    pub(super) score: u8,
    pub(super) check: Check,
}

pub(super) enum Check {
    /// Gives what of the match, or around it, is the identifier.
    Shape(fn(Seen<'_>) -> Option<Range<usize>>),
    /// The identifier follows the match.
    Label(&'static Label),
}

impl Pattern {
    pub(super) fn find(&self, seen: Seen<'_>) -> Option<Range<usize>> {
        match &self.check {
            Check::Shape(check) => check(seen),
            Check::Label(label) => labels::value(label, seen.text, seen.end),
        }
    }
}

/// What a shape may start with, so that most are passed over without a search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Starts {
    digit: bool,
    letter: bool,
}

impl Starts {
    /// Reads the start of the regex; where that does not tell, everything is possible.
    pub(super) fn of(regex: &str) -> Self {
        let mut rest = regex;
        while let Some(inner) = ["\\b", "(?:", "(?i:"].iter().find_map(|prefix| rest.strip_prefix(prefix)) {
            rest = inner;
        }
        if let Some((class, _)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let digit = class.contains(|c: char| c.is_ascii_digit());
            let letter = class.contains(|c: char| c.is_ascii_alphabetic());
            return if digit || letter { Self { digit, letter } } else { Self { digit: true, letter: true } };
        }
        match rest.chars().next() {
            Some('0'..='9') => Self { digit: true, letter: false },
            Some('a'..='z' | 'A'..='Z') => Self { digit: false, letter: true },
            _ => Self { digit: true, letter: true },
        }
    }

    pub(super) const fn with(self, byte: u8) -> bool {
        if byte.is_ascii_digit() {
            self.digit
        } else if byte.is_ascii_alphabetic() {
            self.letter
        } else {
            true
        }
    }
}

/// All patterns; of two that match at one place the earlier is tried first.
pub(super) fn all() -> Vec<Pattern> {
    let labels = labels::LABELS.iter().map(|label| Pattern {
        regex: labels::regex(label),
        kind: label.kind,
        score: 95,
        check: Check::Label(label),
    });
    let month = "(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|\
                 oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)";
    let suffix = suffix();
    let shapes = SHAPES.iter().map(|&(kind, score, regex, check)| Pattern {
        regex: regex.replace("MONTH", month).replace("SUFFIX", &suffix).replace("STATE", STATE_NAMES),
        kind,
        score,
        check: Check::Shape(check),
    });
    labels.chain(shapes).collect()
}

type Shape = (Kind, u8, &'static str, fn(Seen<'_>) -> Option<Range<usize>>);

/// Types of streets, as the Postal Service lists them and people write them; in lower case only the first line.
const SUFFIXES: [&str; 2] = [
    "street avenue ave road rd boulevard blvd lane ln drive terrace parkway court",
    "st av dr ct place pl square sq terr ter trail trl pkwy highway hwy circle cir crescent cres way alley aly loop \
     plaza plz pike turnpike tpke row run path walk commons crossing xing ridge rdg point pt grove grv heights hts \
     hollow cove cv bend bnd glen mews esplanade expressway expy freeway fwy canyon manor village vista crest",
];

fn suffix() -> String {
    let capital =
        |word: &str| word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect::<String>();
    let [common, others] = SUFFIXES;
    let all = common.split_ascii_whitespace().chain(others.split_ascii_whitespace());
    let words = all.flat_map(|word| [capital(word), word.to_uppercase()]);
    let words: Vec<String> = words.chain(common.split_ascii_whitespace().map(str::to_owned)).collect();
    format!("(?:{})", words.join("|"))
}

const STATE_NAMES: &str = "(?:Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|\
                           Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|\
                           Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|\
                           New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|\
                           Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|\
                           West Virginia|Wisconsin|Wyoming)";

const SHAPES: &[Shape] = &[
    (Kind::Url, 80, r#"\b(?i:https?|ftps?|sftp|wss?|ldaps?|file)://[^\s"'<>`{}|\\^\x80-\xff]+"#, url),
    (Kind::Email, 95, r"\b[A-Za-z0-9][A-Za-z0-9._%+'-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", email),
    (Kind::Photo, 85, r"\b[A-Za-z0-9_.-]+\.(?i:jpe?g|png|gif|bmp|heic|tiff?|webp|dcm)\b", photo),
    (Kind::Photo, 95, r"\bdata:image/[a-z+.-]+;base64,[A-Za-z0-9+/=]+", |seen| seen.whole()),
    (Kind::Photo, 90, r"(?:/9j/|iVBORw0KGgo)[A-Za-z0-9+/]{20,}=*", |seen| seen.whole()),
    (Kind::OtherId, 90, r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b", |seen| {
        seen.whole()
    }),
    (Kind::Device, 95, r"\(01\)[0-9]{14}(?:\([0-9]{2,4}\)[A-Za-z0-9./_-]+)*", |seen| seen.whole()),
    (Kind::Device, 80, r"\b01[0-9]{14}(?:1[17][0-9]{6}){1,2}(?:10|21)[A-Za-z0-9-]+\b", udi),
    (Kind::Device, 90, r"\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}(?:(?:[:-][0-9A-Fa-f]{2}){2})?\b", mac),
    (Kind::Device, 85, r"\b[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\b", mac_dotted),
    (Kind::Ip, 85, r"(?:[0-9A-Fa-f]{1,4})?:(?:[0-9A-Fa-f]{0,4}:){1,6}(?:[0-9A-Fa-f]{1,4}|[0-9.]{7,15})?", ip6),
    (Kind::Ip, 80, r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b", ip4),
    (
        Kind::Date,
        85,
        r"\b(?:1[89]|20)[0-9]{2}[-/.](?:1[0-2]|0?[1-9])[-/.](?:3[01]|[12][0-9]|0?[1-9])(?:[T ][0-2][0-9]:[0-5][0-9](?::[0-6][0-9](?:[.,][0-9]{1,9})?)?(?: ?(?:Z|UTC|[+-][0-2][0-9]:?(?:[0-5][0-9])?))?)?",
        date_iso,
    ),
    (
        Kind::Date,
        80,
        r"\b(?:3[01]|[12][0-9]|0?[1-9])[/.-](?:3[01]|[12][0-9]|0?[1-9])[/.-](?:[0-9]{4}|[0-9]{2})\b",
        date_us,
    ),
    (Kind::Date, 75, r"\b(?:0?[1-9]|1[0-2])/(?:19|20)[0-9]{2}\b", alone),
    (
        Kind::Date,
        80,
        r"\bMONTH(?:\.? |[-/])(?:the )?[0-3]?[0-9](?:st|nd|rd|th)?(?:(?:, ?| |, of |[-/])(?:'[0-9]{2}|(?:18|19|20)[0-9]{2}))?\b",
        date_month_first,
    ),
    (Kind::Date, 70, r"\bMONTH\.?,? ?(?:of )?(?:18|19|20)[0-9]{2}\b", date_month_first),
    (
        Kind::Date,
        80,
        r"\b[0-3]?[0-9](?:st|nd|rd|th)?[-/ .]{0,2}(?:(?i:day )?of )?MONTH\b(?:\.?[-/ ,.]{1,2}(?:(?:18|19|20)[0-9]{2}|'?[0-9]{2}))?\b",
        date_day_first,
    ),
    (Kind::Date, 80, r"\b[0-3]?[0-9]MONTH(?:18|19|20)?[0-9]{2}\b", date_day_first),
    (
        Kind::Date,
        70,
        r"\b(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[0-2][0-9][0-5][0-9](?:[0-5][0-9](?:\.[0-9]{1,4})?)?)?(?:[+-][0-9]{4})?\b",
        date_compact,
    ),
    (
        Kind::Age90,
        90,
        r"\b(?:9[0-9]|1[0-2][0-9])(?i:[ -]?y/o|[ -]?yo|[ -]?y\.o\.?|[ -]?yrs?[ -]old|[ -]?years?[ -]old|[ -]?years of age|[ -]?y\.?[ -]old|[ -]?[mf]\b|[ -]?yof|[ -]?yom|-?y[ -]o)",
        age,
    ),
    (Kind::Age90, 90, r"\b(?i:aged?|age is|age of)[ :=]{1,3}(?:9[0-9]|1[0-2][0-9])\b", age_label),
    (Kind::Ssn, 80, r"\b[0-9]{3}[- .][0-9]{2}[- .][0-9]{4}\b", ssn),
    (
        Kind::HealthPlan,
        90,
        r"\b[1-9][A-Za-z][A-Za-z0-9][0-9][- ]?[A-Za-z][A-Za-z0-9][0-9][- ]?[A-Za-z]{2}[0-9]{2}\b",
        mbi,
    ),
    (
        Kind::Phone,
        85,
        r"(?:\+?1[-. ]{0,2}|\b)?(?:\([2-9][0-9]{2}\)[-. ]{0,2}|\b[2-9][0-9]{2}[-./ ])[2-9][0-9]{2}[-. ][0-9]{4}\b(?:,? ?(?i:x|ext\.?|extension)\.? ?[0-9]{1,6}\b)?",
        phone,
    ),
    (Kind::Phone, 75, r"\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,5}\)?){2,6}", phone_international),
    (Kind::Vehicle, 90, r"\b[A-HJ-NPR-Za-hj-npr-z0-9]{17}\b", vin),
    (Kind::Account, 90, r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", iban),
    (Kind::Account, 90, r"\b[1-6][0-9]{3}(?:[- ]?[0-9]{4}){2}[- ]?[0-9]{1,7}\b", card),
    (Kind::Account, 90, r"\b3[47][0-9]{2}[- ]?[0-9]{6}[- ]?[0-9]{5}\b", card),
    (Kind::Device, 85, r"\b(?:01|35|86|99)[- ]?[0-9]{4,6}[- ]?[0-9]{2,6}[- ]?[0-9]{1,6}[- ]?[0-9]?\b", imei),
    (Kind::License, 75, r"\b[12][0-9]{9}\b", npi),
    (Kind::License, 85, r"\b[A-HJ-MPRSTUXa-hj-mprstux][A-Za-z9][0-9]{7}\b", dea),
    (
        Kind::Street,
        85,
        r"\b[0-9]{1,6}[A-Za-z]?(?:-[0-9]{1,4})? (?:(?:[NSEW]\.?|[NS]\.?[EW]\.?|(?i:north|south|east|west)) )?(?:(?:[A-Z][A-Za-z]{0,2}\.|[A-Z][A-Za-z'-]*|[0-9]{1,3}(?i:st|nd|rd|th)|of|the|de|la|del) ){1,5}SUFFIX\b\.?(?: (?:[NSEW]|[NS][EW])\b\.?)?(?:,? (?i:apt|apartment|suite|ste|unit|room|rm|floor|fl|#|no)\b?\.? ?#?[A-Za-z0-9-]{1,6}\b)?",
        street,
    ),
    (
        Kind::Street,
        70,
        r"\b[0-9]{1,6} (?:[a-z][a-z.'-]* ){1,3}(?:street|avenue|boulevard|road|lane|terrace|drive|court|parkway|ave|blvd|rd|ln)\b",
        street_lower,
    ),
    (
        Kind::Street,
        85,
        r"\b(?i:p\.? ?o\.? box|post office box|rural route|rr ?#?[0-9]{1,3},? box) ?#?[0-9]{1,6}\b",
        |seen| seen.whole(),
    ),
    (Kind::Zip, 85, r"\b[0-9]{5}-[0-9]{4}\b", zip_plus_4),
    (Kind::Zip, 80, r"\bSTATE,? {1,2}[0-9]{5}(?:-[0-9]{4})?\b", zip_state_name),
    (Kind::Zip, 85, r"\b[A-Z]{2}\.?,? {1,3}[0-9]{5}(?:-[0-9]{4})?\b", zip_state),
    (
        Kind::Geo,
        80,
        r"[-+]?[0-9]{1,2}\.[0-9]{3,}\xff?[ ]?[NS]?[,;/ ]{1,3}[-+]?[0-9]{1,3}\.[0-9]{3,}\xff?[ ]?[EW]?\b",
        geo,
    ),
    (
        Kind::Geo,
        80,
        r#"\b[0-9]{1,3}\xff ?[0-9]{1,2}['\xff] ?(?:[0-9]{1,2}(?:\.[0-9]+)?["\xff'] ?)?[NSEWnsew]\b"#,
        |seen| seen.whole(),
    ),
    (
        Kind::County,
        80,
        r"\b(?:(?:St\. |San |Santa |Prince |Los |Las |El |La |De |Fort |New )?[A-Z][A-Za-z'-]+) (?:County|Parish|COUNTY|PARISH)\b",
        county,
    ),
    (Kind::Url, 80, r#"\bwww\.[A-Za-z0-9.-]+\.[a-z]{2,}(?:/[^\s"'<>]*)?"#, url),
];

fn alone(seen: Seen<'_>) -> Option<Range<usize>> {
    seen.alone().then_some(seen.start..seen.end)
}

fn ssn(seen: Seen<'_>) -> Option<Range<usize>> {
    let separators = (seen.matched().get(3), seen.matched().get(6));
    let mut buffer = [0; 40];
    (seen.alone() && separators.0 == separators.1 && check::ssn(seen.compact(&mut buffer)))
        .then_some(seen.start..seen.end)
}

fn mbi(seen: Seen<'_>) -> Option<Range<usize>> {
    let mut buffer = [0; 40];
    (seen.alone() && check::mbi(seen.compact(&mut buffer))).then_some(seen.start..seen.end)
}

fn vin(seen: Seen<'_>) -> Option<Range<usize>> {
    check::vin(seen.matched()).then_some(seen.start..seen.end)
}

fn iban(seen: Seen<'_>) -> Option<Range<usize>> {
    let mut buffer = [0; 40];
    check::iban(seen.compact(&mut buffer)).then_some(seen.start..seen.end)
}

fn card(seen: Seen<'_>) -> Option<Range<usize>> {
    let mut buffer = [0; 40];
    (seen.alone() && check::card(seen.compact(&mut buffer))).then_some(seen.start..seen.end)
}

fn imei(seen: Seen<'_>) -> Option<Range<usize>> {
    let mut buffer = [0; 40];
    (seen.alone() && check::imei(seen.compact(&mut buffer))).then_some(seen.start..seen.end)
}

fn npi(seen: Seen<'_>) -> Option<Range<usize>> {
    (seen.alone() && check::npi(seen.matched())).then_some(seen.start..seen.end)
}

fn dea(seen: Seen<'_>) -> Option<Range<usize>> {
    (seen.alone() && check::dea(seen.matched())).then_some(seen.start..seen.end)
}

fn udi(seen: Seen<'_>) -> Option<Range<usize>> {
    check::gtin14(seen.matched().get(2..16)?).then_some(seen.start..seen.end)
}

fn mac(seen: Seen<'_>) -> Option<Range<usize>> {
    // `12-34-56-78-90-12` mixes no separators, and neither does an address.
    let separators = seen.matched().iter().filter(|byte| matches!(byte, b':' | b'-'));
    let mut kinds = separators.clone();
    let first = kinds.next()?;
    (kinds.all(|byte| byte == first) && seen.alone()).then_some(seen.start..seen.end)
}

fn mac_dotted(seen: Seen<'_>) -> Option<Range<usize>> {
    let letters = seen.matched().iter().any(u8::is_ascii_alphabetic);
    (letters && seen.alone()).then_some(seen.start..seen.end)
}

fn ip4(seen: Seen<'_>) -> Option<Range<usize>> {
    let text = std::str::from_utf8(seen.matched()).ok()?;
    // An object identifier or a version is longer, or says so before.
    let dotted =
        matches!(seen.before(), [.., b'.' | b'v' | b'V' | b'_']) || matches!(seen.after(), [b'.', b'0'..=b'9', ..]);
    let version =
        ["version", "ver", "build", "release", "rev", "revision", "section", "oid", "firmware", "v", "protocol"];
    if dotted || version.iter().any(|word| word_before(seen.before(), word)) {
        return None;
    }
    // The machine itself and no machine at all identify nobody.
    let named = text.parse::<Ipv4Addr>().ok().filter(|address| !address.is_loopback() && !address.is_unspecified());
    named.map(|_| seen.start..seen.end)
}

fn ip6(seen: Seen<'_>) -> Option<Range<usize>> {
    if matches!(seen.before(), [.., last] if last.is_ascii_alphanumeric() || matches!(last, b':' | b'.' | b'_')) {
        return None;
    }
    // The greedy match may have taken a `:` that ends a clause.
    for trim in 0..=1 {
        let end = seen.end - trim;
        let text = std::str::from_utf8(seen.text.get(seen.start..end)?).ok()?;
        let long = text.len() >= 6 || text.starts_with("::") && text.len() > 2;
        if long && text.parse::<Ipv6Addr>().is_ok() {
            let next = seen.text.get(end);
            return (!next.is_some_and(u8::is_ascii_alphanumeric)).then_some(seen.start..end);
        }
    }
    None
}

/// Whether the last word before, skipping spaces, `:` and `=`, is this one.
fn word_before(before: &[u8], word: &str) -> bool {
    let end = before.iter().rposition(|byte| !b" \t:=\"#.".contains(byte)).map_or(0, |last| last + 1);
    let Some(tail) = end.checked_sub(word.len()).and_then(|start| before.get(start..end)) else { return false };
    let bounded =
        end.checked_sub(word.len() + 1).and_then(|at| before.get(at)).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    bounded && tail.eq_ignore_ascii_case(word.as_bytes())
}

fn email(seen: Seen<'_>) -> Option<Range<usize>> {
    let host = seen.matched().iter().rposition(|&byte| byte == b'.')?;
    let top = seen.matched().get(host + 1..)?;
    (top.len() >= 2 && top.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-'))
        .then_some(seen.start..seen.end)
}

/// Addresses of terminologies and standards name no person.
const PUBLIC_HOSTS: &[&str] = &[
    "loinc.org",
    "snomed.info",
    "hl7.org",
    "unitsofmeasure.org",
    "nlm.nih.gov",
    "nih.gov",
    "cdc.gov",
    "cms.gov",
    "fda.gov",
    "who.int",
    "w3.org",
    "ama-assn.org",
    "nucc.org",
    "ihtsdotools.org",
    "json-schema.org",
    "python.org",
    "github.com",
    "wikipedia.org",
    "schema.org",
    "iso.org",
    "ietf.org",
    "rfc-editor.org",
    "postgresql.org",
    "va.gov",
    "hhs.gov",
    "medlineplus.gov",
    "clinicaltrials.gov",
    "doi.org",
    "mozilla.org",
];

fn url(seen: Seen<'_>) -> Option<Range<usize>> {
    let trailing = seen.matched().iter().rev().take_while(|byte| b".,;:!?)]'\"".contains(byte)).count();
    let end = seen.end - trailing;
    let url = seen.text.get(seen.start..end)?;
    let rest = url.iter().position(|&byte| byte == b':').and_then(|colon| url.get(colon + 3..)).unwrap_or(url);
    let slash = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(slash)?;
    let host = authority.rsplit(|&byte| byte == b'@').next()?;
    let host = host.split(|&byte| byte == b':').next()?;
    let public = PUBLIC_HOSTS
        .iter()
        .any(|known| host.strip_suffix(known.as_bytes()).is_some_and(|sub| sub.is_empty() || sub.ends_with(b".")));
    let manual = [b"docs.".as_slice(), b"doc.", b"wiki.", b"developer.", b"help.", b"support.", b"learn."];
    let digits = path.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).max().unwrap_or(0);
    let public = public || digits < 5 && manual.iter().any(|prefix| host.starts_with(prefix));
    // Only a path, a query or a user part can tell of a person.
    (!public && (path.len() > 1 || authority.contains(&b'@'))).then_some(seen.start..end)
}

fn photo(seen: Seen<'_>) -> Option<Range<usize>> {
    let lower = seen.matched().to_ascii_lowercase();
    let telling = [
        "face", "photo", "portrait", "headshot", "selfie", "avatar", "mugshot", "img", "image", "dsc", "pic",
        "patient", "pt", "id", "scan", "frontal", "profile", "badge",
    ];
    let digits = lower.iter().any(u8::is_ascii_digit);
    let named = telling.iter().any(|word| lower.windows(word.len()).any(|at| at == word.as_bytes()));
    (digits || named).then_some(seen.start..seen.end)
}

fn date_iso(seen: Seen<'_>) -> Option<Range<usize>> {
    let separators = (seen.matched().get(4)?, seen.matched().get(5..)?.iter().find(|byte| !byte.is_ascii_digit()));
    (Some(separators.0) == separators.1 && bounded(seen)).then_some(seen.start..seen.end)
}

/// Like [`Seen::alone`], but a clock may follow.
fn bounded(seen: Seen<'_>) -> bool {
    let head = match seen.before() {
        [.., last] if last.is_ascii_digit() => false,
        [.., last, b'-' | b'.' | b'/'] if last.is_ascii_digit() => false,
        _ => true,
    };
    let tail = match seen.after() {
        [first, ..] if first.is_ascii_digit() => false,
        [b'-' | b'/' | b'.', next, ..] if next.is_ascii_digit() => false,
        _ => true,
    };
    head && tail
}

fn date_us(seen: Seen<'_>) -> Option<Range<usize>> {
    let text = seen.matched();
    let mut parts = text.split(|byte| b"/.-".contains(byte));
    let (one, two, year) = (check::number(parts.next()?), check::number(parts.next()?), parts.next()?);
    let separators = || text.iter().filter(|byte| b"/.-".contains(byte));
    let same = separators().next() == separators().next_back();
    let ordered = (1..=12).contains(&one) && two <= 31 || (1..=12).contains(&two) && one <= 31;
    let plausible = match (year.len(), separators().next()) {
        (4, _) => (1850..=2100).contains(&check::number(year)),
        // `4.3.21` is a section, `01-02-03` a code; with strokes it is a date.
        (2, Some(b'/')) => true,
        (2, Some(b'-')) => text.len() == 8 && !matches!(seen.before(), [.., b'#']),
        _ => false,
    };
    (same && ordered && plausible && seen.alone()).then_some(seen.start..seen.end)
}

fn date_month_first(seen: Seen<'_>) -> Option<Range<usize>> {
    let text = seen.matched();
    let digits = text.iter().position(u8::is_ascii_digit)?;
    let day = text.get(digits..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = check::number(text.get(digits..digits + day)?);
    let plausible = if day > 2 { (1850..=2100).contains(&number) } else { (1..=31).contains(&number) };
    // Without a year the month has to look like one: "may 5 times" is no date.
    let year = day > 2 || text.len() > digits + day + 2;
    let capital = text.first().is_some_and(u8::is_ascii_uppercase);
    let unit = matches!(seen.after(), [b'%', ..] | [b' ', b'm', b'g', ..] | [b'.', b'0'..=b'9', ..]);
    (plausible && (year || capital) && !unit).then_some(seen.start..seen.end)
}

fn date_day_first(seen: Seen<'_>) -> Option<Range<usize>> {
    let text = seen.matched();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let day = check::number(text.get(..digits)?);
    let month: usize = text
        .get(digits..)?
        .iter()
        .position(|byte| byte.is_ascii_alphabetic() && byte.is_ascii_uppercase())
        .unwrap_or(0);
    let year = text.last().is_some_and(u8::is_ascii_digit);
    ((1..=31).contains(&day) && (year || month > 0) && seen.alone()).then_some(seen.start..seen.end)
}

fn date_compact(seen: Seen<'_>) -> Option<Range<usize>> {
    let year = check::number(seen.matched().get(..4)?);
    ((1900..=2039).contains(&year) && seen.alone()).then_some(seen.start..seen.end)
}

fn age(seen: Seen<'_>) -> Option<Range<usize>> {
    let digits = seen.matched().iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = check::number(seen.matched().get(..digits)?);
    let bounded = !matches!(seen.before(), [.., b'.' | b'/' | b'-' | b'$' | b':'])
        && !seen.after().first().is_some_and(u8::is_ascii_alphabetic);
    ((90..=125).contains(&number) && bounded).then(|| seen.start..seen.start + digits)
}

fn age_label(seen: Seen<'_>) -> Option<Range<usize>> {
    let digits = seen.matched().iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let number = check::number(seen.text.get(seen.end - digits..seen.end)?);
    let unit = matches!(seen.after(), [b'.', b'0'..=b'9', ..] | [b'%', ..]);
    ((90..=125).contains(&number) && !unit).then(|| seen.end - digits..seen.end)
}

fn phone(seen: Seen<'_>) -> Option<Range<usize>> {
    let head = match seen.before() {
        [.., last] if last.is_ascii_alphanumeric() => false,
        [.., last, b'-' | b'.' | b'/'] if last.is_ascii_digit() => false,
        _ => true,
    };
    let tail = !matches!(seen.after(), [b'-' | b'.', b'0'..=b'9', ..]);
    (head && tail).then_some(seen.start..seen.end)
}

fn phone_international(seen: Seen<'_>) -> Option<Range<usize>> {
    let digits = seen.matched().iter().filter(|byte| byte.is_ascii_digit()).count();
    let head = !matches!(seen.before(), [.., last] if last.is_ascii_alphanumeric());
    (head && (9..=15).contains(&digits)).then_some(seen.start..seen.end)
}

fn street(seen: Seen<'_>) -> Option<Range<usize>> {
    // `3 Metoprolol St`? The words between must not be units or doses.
    let clinical = [
        "mg",
        "ml",
        "mcg",
        "units",
        "tabs",
        "MG",
        "ML",
        "mL",
        "SNOMED",
        "Chest",
        "Head",
        "Abdomen",
        "Abdominal",
        "Contrast",
        "Spine",
        "Brain",
        "Neck",
        "Pelvis",
        "Repeat",
        "MRI",
        "CT",
        "LOINC",
        "CPT",
        "Day",
        "Days",
        "Patients",
        "Hours",
    ];
    let words = seen.matched().split(|&byte| byte == b' ');
    let last = words.clone().count().saturating_sub(1);
    let dose = words.take(last).any(|word| clinical.iter().any(|known| word == known.as_bytes()));
    let head = !matches!(seen.before(), [.., b'.' | b'/' | b'-' | b'$' | b':'] | [.., b'0'..=b'9']);
    (!dose && head).then_some(seen.start..seen.end)
}

fn street_lower(seen: Seen<'_>) -> Option<Range<usize>> {
    let function = [
        "for", "of", "the", "to", "in", "on", "at", "mg", "ml", "times", "days", "weeks", "months", "years", "hours",
        "and", "or", "with", "from", "people", "per", "a", "an", "is", "was", "by", "off", "miles", "min", "minutes",
    ];
    let prose =
        seen.matched().split(|&byte| byte == b' ').any(|word| function.iter().any(|known| word == known.as_bytes()));
    (!prose && seen.alone()).then_some(seen.start..seen.end)
}

fn zip_plus_4(seen: Seen<'_>) -> Option<Range<usize>> {
    seen.alone().then_some(seen.start..seen.end)
}

fn zip_state(seen: Seen<'_>) -> Option<Range<usize>> {
    let digits = seen.matched().iter().position(u8::is_ascii_digit)?;
    (is_state(seen.matched().get(..2)?) && bounded(seen)).then(|| seen.start + digits..seen.end)
}

fn zip_state_name(seen: Seen<'_>) -> Option<Range<usize>> {
    let digits = seen.matched().iter().position(u8::is_ascii_digit)?;
    bounded(seen).then(|| seen.start + digits..seen.end)
}

fn geo(seen: Seen<'_>) -> Option<Range<usize>> {
    let text = std::str::from_utf8(seen.matched()).ok().unwrap_or_default();
    let mut numbers = text
        .split(|byte: char| !(byte.is_ascii_digit() || matches!(byte, '.' | '-' | '+')))
        .filter(|part| !part.is_empty())
        .map(|part| part.parse::<f64>());
    let (lat, lon) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let precise =
        text.split(['.']).skip(1).filter(|part| part.bytes().take_while(u8::is_ascii_digit).count() >= 4).count();
    let head = !matches!(seen.before(), [.., b'0'..=b'9' | b'.']);
    (lat.abs() <= 90.0 && lon.abs() <= 180.0 && precise >= 1 && head).then_some(seen.start..seen.end)
}

fn county(seen: Seen<'_>) -> Option<Range<usize>> {
    let first = seen.matched().split(|&byte| byte == b' ').next()?;
    let article = ["The", "This", "Our", "Each", "Any", "Every", "In", "At", "Rural", "Same", "Local"];
    (!article.iter().any(|word| first == word.as_bytes())).then_some(seen.start..seen.end)
}

/// Whether it is the postal abbreviation of a state or territory.
pub(super) fn is_state(code: &[u8]) -> bool {
    const STATES: &[u8] = b"AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR VI GU AS MP AA AE AP";
    let [first, second] = code else { return false };
    STATES.chunks(3).any(|state| state.starts_with(&[*first, *second]))
}

/// Months are known here too, so that the date of a shape and of a column agree.
pub(super) fn is_month(word: &[u8]) -> bool {
    date::is_month_name(word)
}
