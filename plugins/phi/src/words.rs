//! Names taken apart: `patient_firstName2` is `patient`, `first`, `name`.

/// A name in lower-case words, without separators and trailing numbers.
pub(crate) struct Words {
    words: Vec<String>,
    runs: Vec<String>,
    joined: String,
}

impl Words {
    pub(crate) fn of(name: &str) -> Self {
        let mut words: Vec<String> = Vec::new();
        let mut word = String::new();
        let mut before = ' ';
        for letter in name.chars() {
            let starts_word = letter.is_uppercase() && before.is_lowercase();
            if !letter.is_alphanumeric() || starts_word {
                push(&mut words, &mut word);
            }
            if letter.is_alphanumeric() {
                word.extend(letter.to_lowercase());
            }
            before = letter;
        }
        push(&mut words, &mut word);
        Self { runs: runs(&words), joined: words.concat(), words }
    }

    pub(crate) fn is(&self, pattern: &str) -> bool {
        self.joined == pattern
    }

    pub(crate) fn last(&self) -> &str {
        self.words.last().map_or("", String::as_str)
    }

    pub(crate) fn first(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub(crate) fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        self.words.iter().any(|word| test(word))
    }

    pub(crate) fn has_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.any(|known| known == *word))
    }

    /// Whether consecutive words make up the pattern: `first_name`, `firstname` and `pt_first_name` hold `firstname`.
    /// A long pattern also counts inside a word: `emergencycontactname`.
    pub(crate) fn holds(&self, pattern: &str) -> bool {
        self.runs.iter().any(|run| run == pattern)
            || pattern.len() >= INSIDE_MIN && self.joined.len() > pattern.len() && self.joined.contains(pattern)
    }
}

/// Every run of consecutive words, put together: a column is held against hundreds of patterns.
fn runs(words: &[String]) -> Vec<String> {
    let mut runs = Vec::with_capacity(words.len() * (words.len() + 1) / 2);
    for start in 0..words.len() {
        let mut run = String::new();
        // No pattern is longer than a handful of words.
        for word in words[start..].iter().take(RUN_MAX) {
            run.push_str(word);
            runs.push(run.clone());
        }
    }
    runs
}

const RUN_MAX: usize = 6;

/// Shorter patterns occur inside other words (`fax` in `halifax`).
const INSIDE_MIN: usize = 8;

/// A number after letters says which of several (`phone2`, `addr1`), except where it makes the word (`icd10`, `zip5`).
fn push(words: &mut Vec<String>, word: &mut String) {
    let bare = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let numbered = !bare.is_empty() && bare.len() + 1 == word.len();
    let taken = if numbered { bare.to_owned() } else { std::mem::take(word) };
    word.clear();
    if !taken.is_empty() {
        words.push(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_however_they_are_written() {
        for (name, pattern, expected) in [
            ("first_name", "firstname", true),
            ("FirstName", "firstname", true),
            ("firstname", "firstname", true),
            ("pt_first_name", "firstname", true),
            ("First Name", "firstname", true),
            ("emergencycontactname", "contactname", true),
            ("phone2", "phone", true),
            ("icd10", "icd10", true),
            ("halifax", "fax", false),
            ("shipping", "ip", false),
            ("last_login_ip", "ip", true),
            ("SSN", "ssn", true),
            ("patientSSN", "ssn", true),
            ("description", "script", false),
        ] {
            assert_eq!(Words::of(name).holds(pattern), expected, "{pattern} in {name}");
        }
    }
}
