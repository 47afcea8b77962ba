//! FF1 of NIST SP 800-38G for decimal digits, on AES of the one crypto backend.
//!
//! The crates for FF1 bring a second implementation of AES and big numbers of their own. With at most 36 digits both
//! halves fit a `u64`, and what remains is the Feistel network of the standard's algorithm 7, held to its vectors.

use aws_lc_rs::cipher::EncryptingKey;

/// The standard wants a domain of 10^6 at least.
pub(crate) const DIGITS_MIN: usize = 6;
/// So that half of the digits fit a u64.
pub(crate) const DIGITS_MAX: usize = 36;
/// So that the tweak fits the blocks below; classes are short names.
pub(crate) const TWEAK_MAX: usize = 64;

const ROUNDS: u8 = 10;
const BLOCK: usize = 16;
/// P, the tweak, the padding, the round and one half: at most 16 + 64 + 15 + 1 + 8, in whole blocks.
const INPUT_MAX: usize = 7 * BLOCK;

/// Encrypts digits (values 0 to 9) in place. None if there are too few or too many, or the tweak is too long.
pub(crate) fn encrypt(key: &EncryptingKey, tweak: &[u8], digits: &mut [u8]) -> Option<()> {
    let n = digits.len();
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&n) || tweak.len() > TWEAK_MAX {
        return None;
    }
    let u = n / 2;
    let v = n - u;
    let (left, right) = digits.split_at_checked(u)?;
    let (mut a, mut b) = (number(left), number(right));

    let b_len = usize::try_from(power(v)?.checked_sub(1)?.ilog2() / 8 + 1).ok()?;
    let d = 4 * b_len.div_ceil(4) + 4;
    let mut p = [1, 2, 1, 0, 0, 10, ROUNDS, u8::try_from(u).ok()?, 0, 0, 0, u8::try_from(n).ok()?, 0, 0, 0, 0];
    p.get_mut(12..)?.copy_from_slice(&u32::try_from(tweak.len()).ok()?.to_be_bytes());

    let padding = (BLOCK - (tweak.len() + b_len + 1) % BLOCK) % BLOCK;
    let total = BLOCK + tweak.len() + padding + 1 + b_len;
    let mut input = [0; INPUT_MAX];
    let input = input.get_mut(..total)?;
    input.get_mut(..BLOCK)?.copy_from_slice(&p);
    input.get_mut(BLOCK..BLOCK + tweak.len())?.copy_from_slice(tweak);

    for round in 0..ROUNDS {
        let (m, modulus) = if round % 2 == 0 { (u, power(u)?) } else { (v, power(v)?) };
        debug_assert!(m <= DIGITS_MAX / 2);
        *input.get_mut(total - b_len - 1)? = round;
        let half = b.to_be_bytes();
        input.get_mut(total - b_len..)?.copy_from_slice(half.get(half.len() - b_len..)?);
        // d is at most 12, so one block of output is enough and S needs no further blocks.
        let output = cbc_mac(key, input)?;
        let y = output.get(..d)?.iter().fold(0_u128, |y, &byte| y << 8 | u128::from(byte));
        let c = (u128::from(a) + y % u128::from(modulus)) % u128::from(modulus);
        a = b;
        b = u64::try_from(c).ok()?;
    }
    let (left, right) = digits.split_at_mut_checked(u)?;
    write(a, left);
    write(b, right);
    Some(())
}

/// The standard's PRF: CBC-MAC with a zero initialisation vector.
fn cbc_mac(key: &EncryptingKey, input: &[u8]) -> Option<[u8; BLOCK]> {
    let mut state = [0; BLOCK];
    for block in input.chunks_exact(BLOCK) {
        state.iter_mut().zip(block).for_each(|(state, byte)| *state ^= byte);
        key.encrypt(&mut state).ok()?;
    }
    Some(state)
}

fn power(digits: usize) -> Option<u64> {
    10_u64.checked_pow(u32::try_from(digits).ok()?)
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, &digit| number * 10 + u64::from(digit))
}

fn write(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, Algorithm, UnboundCipherKey};

    use super::*;

    const KEY: [u8; 32] = [
        0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c, 0xef, 0x43,
        0x59, 0xd8, 0xd5, 0x80, 0xaa, 0x4f, 0x7f, 0x03, 0x6d, 0x6f, 0x04, 0xfc, 0x6a, 0x94,
    ];

    fn encrypted(algorithm: &'static Algorithm, key: &[u8], tweak: &[u8], plain: &str) -> Option<String> {
        let key = EncryptingKey::ecb(UnboundCipherKey::new(algorithm, key).unwrap()).unwrap();
        let mut digits: Vec<u8> = plain.bytes().map(|digit| digit - b'0').collect();
        encrypt(&key, tweak, &mut digits)?;
        Some(digits.iter().map(|digit| char::from(digit + b'0')).collect())
    }

    #[test]
    fn gives_what_the_samples_of_sp_800_38g_give() {
        let tweak = b"9876543210";
        for (algorithm, length, tweak, cipher) in [
            (&AES_128, 16, b"".as_slice(), "2433477484"),
            (&AES_128, 16, tweak, "6124200773"),
            (&AES_192, 24, b"", "2830668132"),
            (&AES_192, 24, tweak, "2496655549"),
            (&AES_256, 32, b"", "6657667009"),
            (&AES_256, 32, tweak, "1001623463"),
        ] {
            assert_eq!(encrypted(algorithm, &KEY[..length], tweak, "0123456789").as_deref(), Some(cipher));
        }
    }

    #[test]
    fn is_a_permutation_of_every_length() {
        for length in DIGITS_MIN..=DIGITS_MAX {
            let mut seen = std::collections::HashSet::new();
            for last in 0..50 {
                let plain = format!("{last:0length$}");
                let cipher = encrypted(&AES_256, &KEY, b"class", &plain).unwrap();
                assert_eq!(cipher.len(), length);
                assert!(seen.insert(cipher));
            }
        }
        assert_eq!(encrypted(&AES_256, &KEY, b"", "12345"), None);
        assert_eq!(encrypted(&AES_256, &KEY, b"", &"1".repeat(37)), None);
    }
}
