//! Identifiers that are plain numbers or codes are known by the words before them.

use std::ops::Range;

use super::Kind;

/// Words that announce an identifier, and what it looks like.
#[derive(Debug)]
pub(super) struct Label {
    pub(super) kind: Kind,
    /// Alternatives of a regex, lower case; a space stands for any one or no separator of words.
    words: &'static str,
    shape: Shape,
}

/// What follows a label.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// A code with at least so many digits, and at least so many characters.
    Code { digits: usize, length: usize },
    /// The same, but of letters only if need be, as plates are.
    Loose { length: usize },
    /// A code whose parts may be parted by spaces.
    Spaced { digits: usize },
    /// A long token without spaces.
    Blob { length: usize },
    /// A date in any of its forms, also without its year.
    Date,
    /// Five digits or nine.
    Zip,
    /// What people log in with: letters with digits or dots among them.
    Handle,
    /// A number with at least three decimals.
    Decimal,
}

const fn label(kind: Kind, words: &'static str, shape: Shape) -> Label {
    Label { kind, words, shape }
}

pub(super) const LABELS: &[Label] = &[
    label(
        Kind::Ssn,
        "ssn|ss ?(?:no|num|number|#)|soc(?:ial)? sec(?:urity)?|social|itin|tin|tax(?:payer)? id(?:entification)?|national id",
        Shape::Spaced { digits: 9 },
    ),
    label(
        Kind::Mrn,
        "mrn|mr ?(?:no|num|number|#)|med(?:ical)? rec(?:ord)?s?|chart|hrn|hospital (?:no|num|number|id|#)|hosp ?(?:no|id|#)|\
         unit (?:no|num|number|#)|patient (?:id|identifier|no|num|number|account|#)|pt (?:id|no|num|number|#)|\
         (?:health|unit) record|record (?:no|num|number|id|#)|subject (?:id|identifier)|hadm id|emr (?:id|no|#)|\
         empi|e?mpi (?:id|no|#)|epic id|ehr id|client (?:id|no|number)|resident (?:id|no|number)|person (?:id|no)",
        Shape::Code { digits: 4, length: 4 },
    ),
    label(
        Kind::HealthPlan,
        "mbi|hicn?|(?:medicare|medicaid|medi-cal|beneficiary|member(?:ship)?|subscriber|enrollee|insured|insurance|policy|\
         plan|health plan|payer|payor|coverage|certificate holder|tricare|rx|rxid|cardholder|recipient)(?:'?s)?\
         (?: (?:policy|member|card|plan|beneficiary))? ?(?:id|identifier|no|num|number|nbr|card|#)(?: (?:card|no|number))?|policy|\
         mem(?:ber)? ?(?:id|#)|sub(?:scriber)? ?(?:id|#)|medicare|medicaid",
        Shape::Code { digits: 5, length: 6 },
    ),
    label(
        Kind::Account,
        "acc(?:oun)?t|account|acc|a/c|bank account|checking|savings|routing|aba|rtn|har|guarantor (?:id|no|num|number|#|acct|account)|\
         iban|swift|(?:credit|debit|payment|bank)? ?card|visa|mastercard|amex|discover|pan|invoice|billing (?:id|no|number)|\
         billing account|patient acct|visit acct",
        Shape::Spaced { digits: 4 },
    ),
    label(
        Kind::License,
        "npi|dea|upin|clia|(?:driver'?s?|drivers?'?|driving|state|medical|nursing|pharmacy|professional|rn|md|board)? ?(?:license|licence|lic)|\
         (?:dl|d\\.l\\.|cdl) ?(?:no|num|number|#|:)|cert(?:ificate)?(?:ion)?|permit|state id",
        Shape::Code { digits: 4, length: 5 },
    ),
    label(Kind::Vehicle, "vin|vehicle (?:id|identification|ident|no|number)", Shape::Code { digits: 3, length: 8 }),
    label(
        Kind::Vehicle,
        "(?:license|licence|number|vehicle|registration|reg|car|truck)? ?(?:plate|tag)s?(?: (?:no|number|#))?|vehicle reg(?:istration)?",
        Shape::Loose { length: 5 },
    ),
    label(
        Kind::Device,
        "(?:device|pump|pacemaker|implant|lead|generator|monitor|unit|sensor|equipment|model)? ?(?:serial|sn|s/n|ser)|device (?:id|identifier)|imei|meid|udi|implant (?:id|no)|asset (?:tag|id|no)",
        Shape::Code { digits: 3, length: 5 },
    ),
    label(
        Kind::Biometric,
        "(?:finger ?print|voice ?print|retinal?|iris|palm(?: ?print| vein)?|facial|face|biometric|hand geometry|gait|thumb ?print|ear ?print)(?: \
         (?:template|scan|embedding|vector|hash|id|image|data|recognition|minutiae|signature|pattern|code|ref(?:erence)?|token|record|sample|biometric)){0,3}",
        Shape::Blob { length: 12 },
    ),
    label(
        Kind::OtherId,
        "passport|accession|specimen|sample id|(?:encounter|visit|case|claim|episode|incident|referral|authori[sz]ation|auth|prior auth(?:orization)?|\
         confirmation|study subject|study|participant|enrol?lment|transaction|tracking|reference|ref|requisition|req|order|report|ticket|\
         employee|badge|voter|student|military|dod|inmate|alien|visa|green card|registration|donor|transplant|trial|prescription|rx|script|barcode|wristband|session)\
         (?: (?:id|identifier|no|num|number|nbr|code|#))|employee id|edipi|a-number|csn|fin|unos id",
        Shape::Code { digits: 3, length: 5 },
    ),
    label(Kind::Fax, "fax|facsimile|telefax|efax", Shape::Spaced { digits: 7 }),
    label(
        Kind::Phone,
        "phone|telephone|tel|ph|mobile|cell(?:ular)?|call ?back|pager|beeper|contact|whats ?app|sms|reach(?:ed)? (?:at|on)|hotline|voicemail|vm",
        Shape::Spaced { digits: 7 },
    ),
    label(
        Kind::Date,
        "dob|d\\.o\\.b|birth ?(?:date|day)|date of birth|bday|b-day|born(?: on)?|dod|date of death|died(?: on)?|expired on|deceased|admit(?:ted)?(?: (?:on|date))?|admission(?: date)?|adm|\
         disch(?:arged?)?(?: (?:on|date))?|dc date|date of (?:service|visit|admission|discharge|surgery|procedure|injury|exam|onset)|dos|doa|doi|service date|visit date|seen on|\
         (?:surgery|procedure|exam|collection|collected|received|reported|signed|dictated|transcribed|encounter|appointment|appt|onset|injury|accident|due|expiry|issue)(?: (?:date|on))|follow[- ]?up on|rtc on|scheduled for|lmp|edd|edc",
        Shape::Date,
    ),
    label(Kind::OtherId, "user(?: name| id)?|login(?: name| id)?|screen name|logon", Shape::Handle),
    label(Kind::Geo, "lat(?:itude)?|long?(?:itude)?|lng", Shape::Decimal),
    label(
        Kind::HealthPlan,
        "(?:humana|aetna|cigna|bcbs|blue cross|blue shield|kaiser|united(?: ?healthcare)?|uhc|anthem|molina|centene|wellcare|oscar|\
         ambetter|champus|tricare) (?:id|member|policy|no|number|#|card)",
        Shape::Code { digits: 5, length: 6 },
    ),
    label(Kind::Zip, "zip|zip code|postal ?code|postcode|zip5|zip ?\\+ ?4", Shape::Zip),
];

/// The regex of a label with all that may stand between it and the identifier.
pub(super) fn regex(label: &Label) -> String {
    let words = label.words.replace("# ", "#").replace(" ?", " ").replace(' ', "[ _.-]{0,2}");
    format!(
        r#"(?i)(?:\b|_)(?:{words})(?:\b|[_\s"':=.(>-])(?:[ _-]?(?:id|no|nos|num|number|numbers|nbr|code|card|is|was|says|reads|shows|ending in|of record|on file|#)\b)*[\s"'#:=.(>\[*-]{{0,6}}(?:(?:is|was|no|num|number|id|says|reads|#)\b[\s"'#:=.(>*-]{{1,4}}){{0,2}}"#
    )
}

/// The identifier that starts at `at`, right behind a label.
pub(super) fn value(label: &Label, text: &[u8], at: usize) -> Option<Range<usize>> {
    // A label ends where its identifier begins; a word that merely starts like a label does not.
    let before = text.get(..at)?.last()?;
    let first = text.get(at)?;
    if before.is_ascii_alphanumeric() && first.is_ascii_alphanumeric()
        || !first.is_ascii_alphanumeric() && !b"(+-/\xff".contains(first)
    {
        return None;
    }
    // A parenthesis may open a label's value, or the first element of a UDI.
    if *before == b'(' && text.get(at..)?.starts_with(b"01)") {
        return None;
    }
    match label.shape {
        Shape::Code { digits, length } => {
            let end = code_end(text, at, false);
            let code = text.get(at..end)?;
            (count_digits(code) >= digits && code.len() >= length).then_some(at..end)
        }
        Shape::Loose { length } => {
            let end = code_end(text, at, true);
            let code = text.get(at..end)?;
            let plain = code.iter().all(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_alphabetic());
            (code.len() >= length && count_digits(code) >= 1 && plain).then_some(at..end)
        }
        Shape::Spaced { digits } => {
            let end = code_end(text, at, true);
            let code = text.get(at..end)?;
            let found = count_digits(code);
            // The spaces are within numbers, not before them.
            if count_digits(code.split(|&byte| byte == b' ').next()?) == 0 {
                return None;
            }
            // No number of anything has more digits; an object identifier has.
            if (digits..=24).contains(&found) {
                return Some(at..end);
            }
            // `O` for 0 and `l` for 1 fool a pattern and no reader.
            let confusable = code.iter().filter(|byte| b"OolI".contains(byte)).count();
            (label.kind == Kind::Ssn && found >= 5 && found + confusable == digits).then_some(at..end)
        }
        Shape::Blob { length } => {
            let rest = text.get(at..)?;
            let end =
                at + rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=_-:".contains(byte)).count();
            let blob = text.get(at..end)?;
            (blob.len() >= length && count_digits(blob) >= 2).then_some(at..end)
        }
        Shape::Date => date(text, at),
        Shape::Handle => {
            let rest = text.get(at..)?;
            let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(byte)).count();
            let handle = rest.get(..length)?.trim_ascii_end();
            let length = handle.iter().rposition(u8::is_ascii_alphanumeric)? + 1;
            let handle = rest.get(..length)?;
            let letters = handle.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
            let mixed = handle.iter().any(|byte| !byte.is_ascii_alphabetic() && *byte != b'-');
            (letters >= 2 && mixed && handle.len() >= 4 && rest.get(length) != Some(&b'@')).then_some(at..at + length)
        }
        Shape::Decimal => {
            let rest = text.get(at..)?;
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit() || b"+-.".contains(byte)).count();
            let number = rest.get(..length)?;
            let point = number.iter().position(|&byte| byte == b'.')?;
            let decimals = number.get(point + 1..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (decimals >= 3).then_some(at..at + point + 1 + decimals)
        }
        Shape::Zip => {
            let end = code_end(text, at, false);
            let code = text.get(at..end)?;
            let digits = count_digits(code);
            let plain = code.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
            (plain && matches!(digits, 5 | 9)).then_some(at..end)
        }
    }
}

/// Where a code of letters, digits and single separators ends; with `spaces`, a space between groups with digits counts
/// as one.
fn code_end(text: &[u8], at: usize, spaces: bool) -> usize {
    let mut end = at;
    let mut index = at;
    if matches!(text.get(at), Some(b'(' | b'+')) {
        index += 1;
    }
    while let Some(&byte) = text.get(index) {
        if byte.is_ascii_alphanumeric() {
            index += 1;
            end = index;
            continue;
        }
        let gap = match text.get(index..) {
            Some([b')', b' ', ..]) if spaces => 2,
            Some([b'-' | b'/' | b'.' | b'_' | b'*' | b')', ..]) => 1,
            Some([b' ', ..]) if spaces => 1,
            _ => break,
        };
        let next = text.get(index + gap..).unwrap_or_default();
        let word = next.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let digits = count_digits(next.get(..word).unwrap_or_default());
        let joined = if byte == b' ' || gap == 2 {
            // Only digits go on behind a space, or a short group of capitals as plates have.
            word > 0 && digits == word && index - at <= 20
        } else {
            word > 0 && (byte != b'.' || digits == word)
        };
        if !joined {
            break;
        }
        index += gap;
    }
    end
}

fn count_digits(text: &[u8]) -> usize {
    text.iter().filter(|byte| byte.is_ascii_digit()).count()
}

/// What a date label may be followed by that no shape finds by itself: `3/14`, `031487`, an epoch.
fn date(text: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit() || b"/.-".contains(byte)).count();
    let token = rest.get(..length)?.trim_ascii_end();
    let length = token.iter().rposition(u8::is_ascii_digit)? + 1;
    let token = rest.get(..length)?;
    if rest.get(length).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'%') {
        return None;
    }
    let parts: Vec<&[u8]> = token.split(|byte| b"/.-".contains(byte)).collect();
    let numbers = |index: usize| parts.get(index).map_or(0, |part| super::check::number(part));
    let plausible = match parts.as_slice() {
        [one] => matches!(one.len(), 6 | 8 | 10 | 13),
        [one, two] => {
            let day = (1..=12).contains(&numbers(0)) && (1..=31).contains(&numbers(1)) && two.len() <= 2;
            let month = one.len() == 4 && (1..=12).contains(&numbers(1)) || two.len() == 4;
            (day || month) && !token.contains(&b'.')
        }
        [one, two, three] => one.len() <= 4 && two.len() <= 2 && matches!(three.len(), 1 | 2 | 4),
        _ => false,
    };
    plausible.then_some(at..at + length)
}
