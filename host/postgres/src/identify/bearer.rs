//! The first message of OAUTHBEARER: `n,,` ^A `auth=Bearer TOKEN` ^A ^A.

/// What stands between the parts.
const SEPARATOR: u8 = 1;
/// RFC 7628 defines `host`, `port` and `auth`; others are to be ignored, though not without end.
const PAIRS_MAX: usize = 16;

/// The token, which is empty when the caller asks where it gets one. What is no bearer token counts as one that nobody
/// issued. The error is for the caller.
pub(super) fn token(message: &[u8]) -> Result<&str, &'static str> {
    let pairs = match message {
        [b'n' | b'y', b',', b',', SEPARATOR, pairs @ ..] => pairs,
        [b'p', ..] => return Err("OAUTHBEARER knows no channel binding"),
        [b'n' | b'y', b',', b'a', ..] => {
            return Err("OAUTHBEARER: another authorization identity is not supported here");
        }
        _ => return Err("OAUTHBEARER: the message does not begin with a GS2 header"),
    };
    // Each pair ends with a separator, and one more ends them all.
    let [pairs @ .., SEPARATOR] = pairs else { return Err("OAUTHBEARER: the message does not end as it should") };
    let mut auth = None;
    for (at, pair) in pairs.split_inclusive(|byte| *byte == SEPARATOR).enumerate() {
        let [pair @ .., SEPARATOR] = pair else { return Err("OAUTHBEARER: a key does not end as it should") };
        let equals = pair.iter().position(|byte| *byte == b'=').filter(|_| at < PAIRS_MAX);
        let Some((key, [_, value @ ..])) = equals.and_then(|equals| pair.split_at_checked(equals)) else {
            return Err("OAUTHBEARER: a key without a value, or too many of them");
        };
        if key == b"auth" && auth.replace(value).is_some() {
            return Err("OAUTHBEARER: the key auth comes twice");
        }
    }
    let auth = auth.ok_or("OAUTHBEARER: the message has no key auth")?;
    if auth.is_empty() {
        return Ok("");
    }
    Ok(bearer(auth).unwrap_or(NO_TOKEN))
}

/// RFC 6750, section 2.1: the scheme in any case, blanks, and a token of a few harmless characters.
fn bearer(auth: &[u8]) -> Option<&str> {
    let (scheme, rest) = std::str::from_utf8(auth).ok()?.split_once(' ')?;
    let token = rest.trim_start_matches(' ');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    let is_token = !token.is_empty() && token.trim_end_matches('=').bytes().all(plain);
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

/// No issuer signs this.
const NO_TOKEN: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_messages_that_are_right_to_the_byte() {
        let cases: &[(&[u8], Result<&str, &str>)] = &[
            (b"n,,\x01auth=Bearer a.b-c_d~e+f/g==\x01\x01", Ok("a.b-c_d~e+f/g==")),
            (b"y,,\x01auth=bEARER  x\x01\x01", Ok("x")),
            (b"n,,\x01host=db\x01port=5432\x01auth=Bearer x\x01\x01", Ok("x")),
            (b"n,,\x01auth=\x01\x01", Ok("")),
            (b"n,,\x01auth=Basic eDp5\x01\x01", Ok(NO_TOKEN)),
            (b"n,,\x01auth=Bearer \x01\x01", Ok(NO_TOKEN)),
            (b"n,,\x01auth=Bearer a b\x01\x01", Ok(NO_TOKEN)),
            (b"n,,\x01auth=Bearer \xff\x01\x01", Ok(NO_TOKEN)),
            (b"", Err("GS2")),
            (b"n", Err("GS2")),
            (b"x,,\x01auth=Bearer x\x01\x01", Err("GS2")),
            (b"n,,auth=Bearer x\x01\x01", Err("GS2")),
            (b"p=tls-server-end-point,,\x01auth=Bearer x\x01\x01", Err("channel binding")),
            (b"n,a=ann,\x01auth=Bearer x\x01\x01", Err("authorization identity")),
            (b"n,,\x01", Err("does not end")),
            (b"n,,\x01\x01", Err("no key auth")),
            (b"n,,\x01auth=Bearer x\x01", Err("a key does not end")),
            (b"n,,\x01auth=Bearer x", Err("does not end")),
            (b"n,,\x01auth=Bearer x\x01\x01\x01", Err("without a value")),
            (b"n,,\x01auth\x01\x01", Err("without a value")),
            (b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01", Err("twice")),
            (b"n,,\x01host=db\x01\x01", Err("no key auth")),
        ];
        for (message, expected) in cases {
            let found = token(message);
            let fits = match (&found, expected) {
                (Ok(found), Ok(expected)) => found == expected,
                (Err(found), Err(expected)) => found.contains(expected),
                _ => false,
            };
            assert!(fits, "{} gave {found:?}, not {expected:?}", message.escape_ascii());
        }
        let many = [b"n,,\x01".as_slice(), &b"k=\x01".repeat(PAIRS_MAX + 1), b"auth=Bearer x\x01\x01"].concat();
        assert!(token(&many).is_err(), "keys without end");
    }
}
