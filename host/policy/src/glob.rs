use std::fmt;
use std::sync::Arc;

/// A pattern of dot-separated parts in which `*` stands for any run of characters within one part. A lone `*` matches
/// everything.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob(Arc<str>);

impl Glob {
    /// The pattern as written.
    #[must_use]
    pub fn new(pattern: impl Into<Arc<str>>) -> Self {
        Self(pattern.into())
    }

    /// Whether the name matches, part by part.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if &*self.0 == "*" {
            return true;
        }
        let mut names = name.split('.');
        self.0.split('.').all(|pattern| names.next().is_some_and(|name| part_matches(pattern, name)))
            && names.next().is_none()
    }
}

/// Linear in both lengths: on a mismatch only the last `*` is widened.
fn part_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
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

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A list of globs with removals: `["public.*", "!public.billing"]`. Nothing matches an empty list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameList {
    includes: Vec<Glob>,
    excludes: Vec<Glob>,
}

impl NameList {
    /// The list out of its entries; an entry with a leading `!` removes.
    pub fn new<T: AsRef<str>>(entries: impl IntoIterator<Item = T>) -> Self {
        let mut list = Self::default();
        for entry in entries {
            match entry.as_ref().strip_prefix('!') {
                Some(removed) => list.excludes.push(Glob::new(removed)),
                None => list.includes.push(Glob::new(entry.as_ref())),
            }
        }
        list
    }

    /// What any of the lists contains. A removal of one list holds only where no other list gives the same name.
    #[must_use]
    pub fn union(lists: &[&Self]) -> Self {
        let includes = lists.iter().flat_map(|list| list.includes.iter().cloned()).collect();
        let given_elsewhere = |index: usize, removed: &Glob| {
            lists.iter().enumerate().any(|(other, list)| other != index && list.contains(&removed.0))
        };
        let excludes = lists.iter().enumerate().flat_map(|(index, list)| {
            list.excludes.iter().filter(move |removed| !given_elsewhere(index, removed)).cloned()
        });
        Self { includes, excludes: excludes.collect() }
    }

    /// Whether the list is a lone `*`: no limit at all.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.excludes.is_empty() && self.includes.iter().any(|glob| &*glob.0 == "*")
    }

    /// Whether an entry includes the name and none removes it.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.includes(name) && !self.excludes(name)
    }

    /// Whether an entry includes the name.
    #[must_use]
    pub fn includes(&self, name: &str) -> bool {
        self.includes.iter().any(|glob| glob.matches(name))
    }

    /// Whether an entry removes the name.
    #[must_use]
    pub fn excludes(&self, name: &str) -> bool {
        self.excludes.iter().any(|glob| glob.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part() {
        for (pattern, name, expected) in [
            ("*", "a.b.c", true),
            ("public.*", "public.patients", true),
            ("public.*", "public.patients.ssn", false),
            ("mart.*.dob", "mart.people.dob", true),
            ("mart.*.dob", "mart.a.b.dob", false),
            ("public.p*s", "public.patients", true),
            ("public.p*x", "public.patients", false),
            ("*.*.ssn", "public.patients.ssn", true),
            ("public", "public", true),
            ("a*b*c", "a-b-b-c", true),
            ("", "x", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_removal_wins() {
        let list = NameList::new(["public.*", "!public.billing"]);
        assert!(list.contains("public.patients") && !list.contains("public.billing") && !list.contains("other.t"));
        assert!(!NameList::default().contains("public.patients"));
        let (narrow, wide) = (NameList::new(["public.*", "!public.billing"]), NameList::new(["public.billing"]));
        let both = NameList::union(&[&narrow, &wide]);
        assert!(both.contains("public.billing") && both.contains("public.patients") && !both.contains("x.y"));
        assert!(!NameList::union(&[&narrow, &NameList::new(["x.y"])]).contains("public.billing"));
        assert!(NameList::new(["*"]).is_unlimited() && !NameList::new(["*", "!a"]).is_unlimited());
    }
}
