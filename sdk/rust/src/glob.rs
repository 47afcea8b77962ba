/// A pattern of dot-separated parts in which `*` stands for any run of characters within one part, as everywhere in
/// Grille's configuration: `public.*.ssn`. A lone `*` matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// The pattern as written.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// How many parts the pattern has.
    pub fn parts(&self) -> usize {
        self.0.split('.').count()
    }

    /// Whether the parts of a name match.
    pub fn matches(&self, name: &[&str]) -> bool {
        self.0 == "*"
            || self.parts() == name.len()
                && self.0.split('.').zip(name).all(|(pattern, part)| part_matches(pattern.as_bytes(), part.as_bytes()))
    }
}

/// Linear in both lengths: on a mismatch only the last `*` is widened.
fn part_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, n));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part() {
        for (pattern, name, expected) in [
            ("*", ["a", "b", "c"], true),
            ("*.*.ssn", ["public", "patients", "ssn"], true),
            ("mart.*.dob", ["mart", "people", "dob"], true),
            ("mart.*.dob", ["mart", "people", "dob2"], false),
            ("public.p*s.*", ["public", "patients", "x"], true),
            ("public.p*x.*", ["public", "patients", "x"], false),
            ("public.*", ["public", "patients", "ssn"], false),
        ] {
            assert_eq!(Glob::new(pattern).matches(&name), expected, "{pattern} on {name:?}");
        }
    }
}
