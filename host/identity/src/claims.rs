use std::fmt;
use std::sync::Arc;

use grille_policy::{Actor, Subject};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::token::short;
use crate::{Denied, Issuer};

/// The claims of a token as they stand there, each once.
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Denied> {
        serde_json::from_slice(payload)
            .map_err(|_| Denied::Malformed("its claims are not usable JSON, or repeat a name"))
    }

    /// The issuer that the token names; not verified.
    pub(crate) fn issuer(&self) -> Result<&str, Denied> {
        self.text("iss")
    }

    /// Whether this is what only an ID token carries. Providers that do not mark access tokens make the two alike.
    pub(crate) fn is_id_token(&self) -> bool {
        ["nonce", "at_hash", "c_hash", "s_hash"].iter().any(|claim| self.0.contains_key(*claim))
            || self.0.get("typ").is_some_and(|typ| typ == "ID")
    }

    /// The subject, once the signature is known to be good.
    pub(crate) fn subject(&self, issuer: &Issuer, payload: &[u8], now: u64) -> Result<Subject, Denied> {
        if self.0.contains_key("cnf") {
            return Err(wrong("cnf", "binds the token to a key that the caller cannot prove here"));
        }
        let leeway = issuer.leeway.as_secs();
        let expires_at = self.seconds("exp")?.ok_or_else(|| wrong("exp", "is missing"))?;
        if expires_at.saturating_add(leeway) < now {
            return Err(Denied::Expired);
        }
        if expires_at > now.saturating_add(LIFETIME_MAX) {
            return Err(wrong("exp", "is further away than any access token lives"));
        }
        for claim in ["nbf", "iat"] {
            if self.seconds(claim)?.is_some_and(|moment| moment > now.saturating_add(leeway)) {
                return Err(Denied::TooEarly(if claim == "nbf" { "nbf" } else { "iat" }));
            }
        }
        let sub = self.text("sub")?;
        if sub.is_empty() || sub.len() > SUB_MAX || sub.chars().any(char::is_control) {
            return Err(wrong("sub", "is empty, too long, or holds control characters"));
        }
        let name = ["preferred_username", "email", "name"]
            .iter()
            .find_map(|claim| self.0.get(*claim)?.as_str().filter(|name| !name.trim().is_empty()))
            .unwrap_or(sub);
        Ok(Subject {
            provider: issuer.name.clone(),
            issuer: issuer.issuer.clone(),
            sub: sub.into(),
            name: name.chars().filter(|letter| !letter.is_control()).take(NAME_MAX).collect::<String>().into(),
            groups: self.groups(&issuer.groups_claim)?,
            actors: self.actors(&issuer.issuer)?,
            expires_at,
            claims: std::str::from_utf8(payload).map_err(|_| Denied::Malformed("its claims are not UTF-8"))?.into(),
        })
    }

    /// Unknown is not empty: whatever is not plainly a list of groups denies.
    fn groups(&self, claim: &str) -> Result<Vec<Arc<str>>, Denied> {
        let unknown = |why: String| Denied::GroupsUnknown(why);
        let is_elsewhere = self.0.get("_claim_names").is_some_and(|names| match names {
            Value::Object(names) => names.contains_key(claim) || names.contains_key("groups"),
            _ => true,
        });
        if is_elsewhere || self.0.get("hasgroups").is_some_and(|more| *more != Value::Bool(false)) {
            return Err(unknown("the provider left them out because they are too many (overage)".to_owned()));
        }
        let groups = match self.0.get(claim) {
            Some(Value::Array(groups)) => groups,
            Some(_) => return Err(unknown(format!("the claim `{claim}` is not a list"))),
            None => return Err(unknown(format!("the claim `{claim}` is missing"))),
        };
        if groups.len() > GROUPS_MAX {
            let count = groups.len();
            return Err(unknown(format!("the claim `{claim}` lists {count} groups, at most {GROUPS_MAX} are read")));
        }
        groups
            .iter()
            .map(|group| match group.as_str() {
                Some(group) if !group.is_empty() => Ok(group.into()),
                _ => Err(unknown(format!("the claim `{claim}` lists something that is no group"))),
            })
            .collect()
    }

    /// RFC 8693: who acts, outermost first. An actor that cannot be read must not vanish.
    fn actors(&self, issuer: &Arc<str>) -> Result<Vec<Actor>, Denied> {
        let mut actors = Vec::new();
        let mut act = self.0.get("act");
        while let Some(value) = act {
            let sub = value.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty() && sub.len() <= SUB_MAX);
            let own = match value.get("iss") {
                None => Some(issuer.clone()),
                Some(iss) => iss.as_str().map(Into::into),
            };
            match (sub, own) {
                (Some(sub), Some(issuer)) if actors.len() < ACTORS_MAX => {
                    actors.push(Actor { issuer, sub: sub.into() });
                }
                _ => return Err(wrong("act", "is not a chain of at most 8 actors with a `sub` each")),
            }
            act = value.get("act");
        }
        Ok(actors)
    }

    fn text(&self, claim: &str) -> Result<&str, Denied> {
        match self.0.get(claim) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(wrong(claim, "is not a string")),
            None => Err(wrong(claim, "is missing")),
        }
    }

    fn seconds(&self, claim: &str) -> Result<Option<u64>, Denied> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong(claim, "is not a whole number of seconds")),
        }
    }
}

fn wrong(claim: &str, what: &'static str) -> Denied {
    Denied::Claim { claim: short(claim), what }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachOnce).map(Claims)
    }
}

/// A name that stands there twice means one thing here and another one elsewhere.
struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that repeats no name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is repeated"));
            }
        }
        Ok(map)
    }
}

/// OpenID Connect Core: at most 255 ASCII characters.
const SUB_MAX: usize = 255;
/// For display in a list.
const NAME_MAX: usize = 100;
/// Entra stops at 200; ten times that is somebody's mistake.
const GROUPS_MAX: usize = 2_000;
const ACTORS_MAX: usize = 8;
/// A year and a day.
const LIFETIME_MAX: u64 = 366 * 86_400;
