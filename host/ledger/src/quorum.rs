//! Whom a reader trusts: the logs, the witnesses, and how many of them have to have signed (C2SP tlog-policy).

use crate::witness::cosignature;
use crate::{NoteError, VerifierKey, note};

/// The specification asks for 32 of each; a few more cost nothing, and names stay easy to look through.
const MEMBERS_MAX: usize = 256;
/// A policy of so many members stays far below.
const POLICY_BYTES_MAX: usize = 256 << 10;

/// A policy file: which checkpoints are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    logs: Vec<VerifierKey>,
    members: Vec<(String, Member)>,
    /// None: the log's own signature suffices.
    quorum: Option<usize>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    Witness { key: VerifierKey, url: Option<String> },
    Group { need: usize, of: Vec<usize> },
}

/// Why a text is no policy.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct PolicyError {
    /// Counted from 1; one behind the last where something is missing.
    pub line: usize,
    /// What is wrong, and what stands there instead.
    pub why: String,
}

/// What the signatures under a checkpoint are worth.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Witnessed {
    /// The witnesses that signed, by their names in the policy, and when, in Unix seconds.
    pub by: Vec<(String, u64)>,
    /// What the quorum lacks, in words; none where it is reached.
    pub lacks: Option<String>,
}

impl TrustPolicy {
    /// Reads a policy file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self { logs: Vec::new(), members: Vec::new(), quorum: None, text: text.to_owned() };
        let mut has_quorum = false;
        let lines = text.split('\n').enumerate().map(|(at, line)| (at + 1, line));
        let fail = |line: usize, why: String| PolicyError { line, why };
        if text.len() > POLICY_BYTES_MAX {
            return Err(fail(1, format!("a policy has at most {POLICY_BYTES_MAX} bytes")));
        }
        for (number, line) in lines {
            if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                return Err(fail(
                    number,
                    "control characters are not allowed; end lines with a line feed alone".to_owned(),
                ));
            }
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            let done = match words[..] {
                [] => Ok(()),
                [word, ..] if word.starts_with('#') => Ok(()),
                ["log", key] | ["log", key, _] => policy.add_log(key),
                ["witness", name, key] => policy.add_witness(name, key, None),
                ["witness", name, key, url] => policy.add_witness(name, key, Some(url)),
                ["group", name, need, ref of @ ..] if !of.is_empty() => policy.add_group(name, need, of),
                ["quorum", _] if has_quorum => Err("a second quorum line".to_owned()),
                ["quorum", name] => {
                    has_quorum = true;
                    policy.set_quorum(name)
                }
                _ => Err(format!(
                    "`{line}` is none of `log KEY [URL]`, `witness NAME KEY [URL]`, \
                                  `group NAME all|any|K MEMBER…`, `quorum NAME|none`"
                )),
            };
            done.map_err(|why| fail(number, why))?;
        }
        if !has_quorum {
            let why = "there is no quorum line; write `quorum none` to ask for none";
            return Err(fail(text.lines().count() + 1, why.to_owned()));
        }
        Ok(policy)
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The keys of a log, by its name.
    #[must_use]
    pub fn log(&self, origin: &str) -> Option<&VerifierKey> {
        self.logs.iter().find(|log| log.origin() == origin)
    }

    /// Whether it names any log; else the log's key has to come from elsewhere.
    #[must_use]
    pub const fn has_logs(&self) -> bool {
        !self.logs.is_empty()
    }

    /// The witnesses that can be asked: their keys and addresses.
    pub fn witnesses(&self) -> impl Iterator<Item = (&VerifierKey, &str)> {
        self.members.iter().filter_map(|(_, member)| match member {
            Member::Witness { key, url } => Some((key, url.as_deref()?)),
            Member::Group { .. } => None,
        })
    }

    /// Who of the witnesses signed this note, and whether that is enough.
    pub fn judge(&self, text: &str) -> Result<Witnessed, NoteError> {
        let (_, signatures) = note::split(text)?;
        let mut has_signed = Vec::with_capacity(self.members.len());
        let mut by = Vec::new();
        for (name, member) in &self.members {
            has_signed.push(match member {
                Member::Witness { key, .. } => match cosignature(signatures, text, key) {
                    Ok((_, at)) => {
                        by.push((name.clone(), at));
                        true
                    }
                    Err(NoteError::Malformed) => return Err(NoteError::Malformed),
                    Err(_) => false,
                },
                Member::Group { need, of } => of.iter().filter(|&&one| has_signed[one]).count() >= *need,
            });
        }
        let lacks = self.quorum.filter(|&quorum| !has_signed[quorum]).map(|quorum| self.lack(quorum, &has_signed));
        Ok(Witnessed { by, lacks })
    }

    /// What is missing below a member that did not sign.
    fn lack(&self, member: usize, has_signed: &[bool]) -> String {
        let (name, what) = &self.members[member];
        match what {
            Member::Witness { .. } => format!("the signature of witness {name} is missing"),
            Member::Group { need, of } => {
                let have = of.iter().filter(|&&one| has_signed[one]).count();
                let missing = of.iter().filter(|&&one| !has_signed[one]);
                let missing: Vec<String> = missing.map(|&one| self.lack(one, has_signed)).collect();
                format!("group {name} takes {need} of {} and has {have}: {}", of.len(), missing.join("; "))
            }
        }
    }

    fn add_log(&mut self, key: &str) -> Result<(), String> {
        let key = VerifierKey::from_text(key).map_err(|error| error.to_string())?;
        if key.is_witness() {
            return Err(format!("`{}` is a witness's key, not a log's", key.origin()));
        }
        if self.logs.iter().any(|log| log.is_same_key(&key)) {
            return Err(format!("the key of `{}` stands there twice", key.origin()));
        }
        self.logs.push(key);
        self.check_count(self.logs.len())
    }

    fn add_witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), String> {
        let key = VerifierKey::from_text(key).map_err(|error| error.to_string())?;
        if !key.is_witness() {
            return Err(format!("`{}` is a log's key, not a witness's", key.origin()));
        }
        let is_known =
            |member: &Member| matches!(member, Member::Witness { key: known, .. } if known.is_same_key(&key));
        if self.members.iter().any(|(_, member)| is_known(member)) {
            return Err(format!("the key of `{}` stands there twice", key.origin()));
        }
        self.add(name, Member::Witness { key, url: url.map(str::to_owned) })
    }

    fn add_group(&mut self, name: &str, need: &str, of: &[&str]) -> Result<(), String> {
        let need = match need {
            "any" => 1,
            "all" => of.len(),
            number => {
                let is_decimal = number.bytes().all(|byte| byte.is_ascii_digit());
                let need = number.parse().ok().filter(|need| is_decimal && (1..=of.len()).contains(need));
                need.ok_or_else(|| format!("`{number}` of {} members: say all, any, or a number up to that", of.len()))?
            }
        };
        let mut members = Vec::with_capacity(of.len());
        for one in of {
            let member = self.find(one)?;
            // A witness counts in one way only.
            let is_used =
                self.members.iter().any(|(_, used)| matches!(used, Member::Group { of, .. } if of.contains(&member)));
            if is_used || members.contains(&member) {
                return Err(format!("`{one}` is a member already"));
            }
            members.push(member);
        }
        self.add(name, Member::Group { need, of: members })
    }

    fn set_quorum(&mut self, name: &str) -> Result<(), String> {
        self.quorum = if name == "none" { None } else { Some(self.find(name)?) };
        Ok(())
    }

    fn add(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" || self.find(name).is_ok() {
            return Err(format!("`{name}` has a meaning already: take another name"));
        }
        self.members.push((name.to_owned(), member));
        self.check_count(self.members.len())
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let found = self.members.iter().position(|(known, _)| known == name);
        found.ok_or_else(|| format!("no line above defines `{name}`"))
    }

    fn check_count(&self, count: usize) -> Result<(), String> {
        if count > MEMBERS_MAX { Err(format!("a policy has at most {MEMBERS_MAX} of them")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use crate::keys::KeyKind;

    fn key(name: &str, kind: KeyKind) -> VerifierKey {
        SigningKey::generate().unwrap().verifier_key(name).unwrap().of_kind(kind)
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_line() {
        let (log, one) = (key("log", KeyKind::Ed25519), key("w/1", KeyKind::Cosignature));
        let two = key("w/2", KeyKind::Cosignature);
        let good = format!("# ours\nlog {log} https://log.example\n\nwitness a {one}\n\twitness b {two} http://w \n");
        let good = format!("{good}group g any a b\nquorum g\n");
        let policy = TrustPolicy::parse(&good).unwrap();
        assert_eq!((policy.log("log"), policy.log("else")), (Some(&log), None));
        assert_eq!(policy.witnesses().collect::<Vec<_>>(), [(&two, "http://w")]);
        assert!(TrustPolicy::parse("quorum none\n").unwrap().quorum.is_none());
        for (text, line, why) in [
            (String::new(), 1, "no quorum line"),
            ("quorum x\n".to_owned(), 1, "no line above defines `x`"),
            ("quorum none\nquorum none\n".to_owned(), 2, "second quorum"),
            (format!("witness a {log}\n"), 1, "a log's key"),
            (format!("log {one}\n"), 1, "a witness's key"),
            (format!("witness a {one}\nwitness b {one}\n"), 2, "twice"),
            (format!("witness none {one}\n"), 1, "meaning already"),
            (format!("witness a {one}\ngroup g 2 a\n"), 2, "`2` of 1 members"),
            (format!("witness a {one}\ngroup g +1 a\n"), 2, "`+1` of 1 members"),
            (format!("witness a {one}\ngroup g all a a\n"), 2, "member already"),
            (format!("witness a {one}\ngroup g all a\ngroup h all a g\n"), 3, "member already"),
            ("group g all\n".to_owned(), 1, "is none of"),
            ("quorum none\r\n".to_owned(), 1, "control characters"),
            ("witness a b\n".to_owned(), 1, "not a key"),
        ] {
            let error = TrustPolicy::parse(&text).unwrap_err();
            assert!(error.line == line && error.why.contains(why), "{text:?}: {error}");
        }
    }
}
