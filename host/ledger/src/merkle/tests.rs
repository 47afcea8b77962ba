use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// The leaves of the test vectors that Certificate Transparency implementations share.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::try_from(char::from(text.as_bytes()[at]).to_digit(16).unwrap()).unwrap();
    (0..text.len()).step_by(2).map(|at| digit(at) << 4 | digit(at + 1)).collect()
}

fn hash(text: &str) -> Hash {
    hex(text).try_into().unwrap()
}

fn frontier(leaves: impl IntoIterator<Item = Hash>) -> Frontier {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(leaf, |_| Ok::<_, Infallible>(())).unwrap();
    }
    frontier
}

fn numbered(size: u64) -> Vec<Hash> {
    (0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect()
}

fn reader(leaves: &[Hash]) -> impl FnMut(u32, u64) -> Result<Hash, Infallible> + '_ {
    |height, number| {
        let start = usize::try_from(number << height).unwrap();
        Ok(perfect_root(&leaves[start..start + (1 << height)]))
    }
}

#[test]
fn roots_are_those_of_the_shared_vectors() {
    assert_eq!(empty_root(), hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    assert_eq!(Frontier::default().root(), empty_root());
    for (count, root) in (1..).zip(ROOTS) {
        let leaves = LEAVES.iter().take(count).map(|leaf| leaf_hash(&hex(leaf)));
        assert_eq!(frontier(leaves).root(), hash(root), "{count} leaves");
    }
}

/// Inclusion and consistency proofs of the same vectors.
#[test]
fn proofs_are_those_of_the_shared_vectors() {
    let leaves: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(&hex(leaf))).collect();
    let inclusion_of = |index, size: u64| inclusion(index, size, &mut reader(&leaves)).unwrap();
    assert!(inclusion_of(0, 1).is_empty());
    assert_eq!(
        inclusion_of(0, 8),
        [
            hash("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"),
            hash("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
            hash("6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"),
        ]
    );
    assert_eq!(
        inclusion_of(1, 5),
        [
            hash("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            hash("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
            hash("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"),
        ]
    );
    assert_eq!(
        consistency(6, 8, &mut reader(&leaves)).unwrap(),
        [
            hash("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"),
            hash("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"),
            hash("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
        ]
    );
}

#[test]
fn a_frontier_over_many_tiles_has_the_root_of_the_definition() {
    for size in [1, 2, 3, 255, 256, 257, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 70_001] {
        let leaves = numbered(size);
        let expected = range_hash(0, size, &mut reader(&leaves)).unwrap();
        assert_eq!(frontier(leaves.iter().copied()).root(), expected, "{size} leaves");
    }
}

#[test]
fn tiles_are_numbered_by_level() {
    let mut full = Vec::new();
    let mut frontier = Frontier::default();
    for leaf in numbered(65_536 + 256 + 3) {
        let mut note = |tile: FullTile| {
            full.push((tile.level, tile.number));
            Ok::<_, Infallible>(())
        };
        frontier.push(leaf, &mut note).unwrap();
    }
    assert_eq!(full.len(), 256 + 1 + 1);
    assert_eq!(full[0], (0, 0));
    assert_eq!(full[255..258], [(0, 255), (1, 0), (0, 256)]);
    let partial: Vec<_> = frontier.partial().map(|(level, number, hashes)| (level, number, hashes.len())).collect();
    assert_eq!(partial, [(0, 257, 3), (1, 1, 1), (2, 0, 1)]);
}

proptest! {
    #[test]
    fn inclusion_proofs_hold_and_only_for_their_leaf(size in 1u64..400, pick in any::<u64>(), other in any::<u64>()) {
        let leaves = numbered(size);
        let root = frontier(leaves.iter().copied()).root();
        let index = pick % size;
        let path = inclusion(index, size, &mut reader(&leaves)).unwrap();
        let hash = leaf_hash(&index.to_be_bytes());
        prop_assert!(includes(index, size, hash, &path, &root));
        let other = other % (size + 3);
        if other != index {
            prop_assert!(!includes(other, size, hash, &path, &root));
        }
        prop_assert!(!includes(index, size, leaf_hash(b"another"), &path, &root));
    }

    #[test]
    fn consistency_proofs_hold_and_only_for_their_trees(size in 1u64..400, pick in any::<u64>(), bit in any::<u16>()) {
        let leaves = numbered(size);
        let old = 1 + pick % size;
        let root = frontier(leaves.iter().copied()).root();
        let mut old_root = frontier(leaves[..usize::try_from(old).unwrap()].iter().copied()).root();
        let path = consistency(old, size, &mut reader(&leaves)).unwrap();
        prop_assert!(extends(old, &old_root, size, &root, &path));
        old_root[usize::from(bit / 8 % 32)] ^= 1 << (bit % 8);
        prop_assert!(!extends(old, &old_root, size, &root, &path));
    }
}
