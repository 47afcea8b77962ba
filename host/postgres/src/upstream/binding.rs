//! `tls-server-end-point` (RFC 5929, section 4.1): the hash of the server's certificate, by which SCRAM notices that
//! somebody else ends the TLS connection.

use aws_lc_rs::digest::{self, Algorithm};

/// The hash of a certificate in DER: by its signature's own hash function, and by SHA-256 for MD5 and SHA-1. None where
/// RFC 5929 defines none, as for Ed25519.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_hash(certificate)?;
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, parameters }, signature }
fn signature_hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    let (SEQUENCE, certificate, []) = element(certificate)? else { return None };
    let (SEQUENCE, _, rest) = element(certificate)? else { return None };
    let (SEQUENCE, algorithm, _) = element(rest)? else { return None };
    let (OID, oid, parameters) = element(algorithm)? else { return None };
    if oid == RSASSA_PSS {
        return pss_hash(parameters);
    }
    SIGNATURES.iter().find(|(known, _)| *known == oid).map(|(_, hash)| *hash)
}

/// RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] SEQUENCE { OID, … } DEFAULT sha1, … }
fn pss_hash(parameters: &[u8]) -> Option<&'static Algorithm> {
    let (SEQUENCE, parameters, []) = element(parameters)? else { return None };
    let Some((HASH_ALGORITHM, hash, _)) = element(parameters) else { return Some(&digest::SHA256) };
    let (SEQUENCE, hash, []) = element(hash)? else { return None };
    let (OID, oid, _) = element(hash)? else { return None };
    HASHES.iter().find(|(known, _)| *known == oid).map(|(_, hash)| *hash)
}

/// Tag, contents, and what follows. Lengths beyond 64 KiB are no certificate's.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (length, rest) = match der.get(1..)? {
        [short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*der.first()?, contents, rest))
}

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const HASH_ALGORITHM: u8 = 0xa0;
const RSASSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";

/// 1.2.840.113549.1.1 (RSA) and 1.2.840.10045.4 (ECDSA).
const SIGNATURES: [(&[u8], &Algorithm); 9] = [
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", &digest::SHA256),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", &digest::SHA256),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", &digest::SHA256),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", &digest::SHA384),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", &digest::SHA512),
    (b"\x2a\x86\x48\xce\x3d\x04\x01", &digest::SHA256),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", &digest::SHA256),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", &digest::SHA384),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", &digest::SHA512),
];

/// 1.3.14.3.2.26 and 2.16.840.1.101.3.4.2.
const HASHES: [(&[u8], &Algorithm); 4] = [
    (b"\x2b\x0e\x03\x02\x1a", &digest::SHA256),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x01", &digest::SHA256),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x02", &digest::SHA384),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x03", &digest::SHA512),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
        let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, contents].concat()
    }

    fn certificate(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
        let algorithm = der(SEQUENCE, &[der(OID, oid), parameters.to_vec()].concat());
        der(SEQUENCE, &[der(SEQUENCE, b"who and how long"), algorithm, der(3, b"\0signature")].concat())
    }

    fn check(oid: &[u8], parameters: &[u8], expected: Option<&'static Algorithm>) {
        let certificate = certificate(oid, parameters);
        let expected = expected.map(|algorithm| digest::digest(algorithm, &certificate).as_ref().to_vec());
        assert_eq!(end_point(&certificate), expected, "{}", oid.escape_ascii());
    }

    #[test]
    fn the_hash_is_the_one_of_the_certificates_signature() {
        check(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", b"\x05\0", Some(&digest::SHA256));
        check(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", b"\x05\0", Some(&digest::SHA384));
        check(b"\x2a\x86\x48\xce\x3d\x04\x03\x04", b"", Some(&digest::SHA512));
        check(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", b"\x05\0", Some(&digest::SHA256));
        check(b"\x2b\x65\x70", b"", None);
        let sha384 = der(SEQUENCE, &der(OID, b"\x60\x86\x48\x01\x65\x03\x04\x02\x02"));
        check(RSASSA_PSS, &der(SEQUENCE, &der(HASH_ALGORITHM, &sha384)), Some(&digest::SHA384));
        check(RSASSA_PSS, &der(SEQUENCE, b""), Some(&digest::SHA256));
        check(RSASSA_PSS, b"", None);
    }

    #[test]
    fn what_is_no_certificate_has_no_hash() {
        let whole = certificate(b"\x2a\x86\x48\xce\x3d\x04\x03\x02", b"");
        for end in 0..whole.len() {
            assert_eq!(end_point(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(end_point(&[&whole[..], b"x"].concat()), None);
        assert_eq!(end_point(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
