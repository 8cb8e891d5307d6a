"""The Merkle tree gives the roots and audit paths of RFC 6962."""

import random

import pytest
from hypothesis import given, settings, strategies as st

from store.audit import tree
from store.audit.tree import BLOCK, EMPTY, Tree, leaf, node, proof_of, root_of

ENTRIES = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
"""The entries of the test vectors of Certificate Transparency, from which the roots and paths below are published."""
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}


def by_definition(leaves: list[bytes]) -> bytes:
    """The root as RFC 6962 defines it, by recursion over all leaves."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return node(by_definition(leaves[:middle]), by_definition(leaves[middle:]))


def grown(leaves: list[bytes]) -> Tree:
    found = Tree()
    for each in leaves:
        found.add(each)
    return found


def numbered(size: int) -> list[bytes]:
    return [leaf(str(number).encode()) for number in range(size)]


def test_roots_are_those_of_the_published_vectors() -> None:
    leaves = [leaf(entry) for entry in ENTRIES]
    assert [grown(leaves[:size]).root().hex() for size in range(1, 9)] == ROOTS
    assert Tree().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(("number", "size"), PATHS)
def test_proofs_of_one_leaf_are_the_published_audit_paths(number: int, size: int) -> None:
    leaves = [leaf(entry) for entry in ENTRIES[:size]]
    nodes = {each: by_definition(leaves[slice(*each)]) for each in proof_of(size, [number])}
    assert {root.hex() for root in nodes.values()} == {*PATHS[number, size]}
    assert root_of(size, {number: leaves[number]}, nodes).hex() == ROOTS[size - 1]


@given(st.integers(0, 1100))
def test_a_grown_tree_has_the_root_of_the_definition(size: int) -> None:
    found = grown(numbered(size))
    assert (found.size, found.root()) == (size, by_definition(numbered(size)))
    assert Tree.read(size, found.text()).root() == found.root()


def test_each_block_is_told_once_and_stands_for_its_leaves() -> None:
    leaves, one = numbered(5 * BLOCK + 77), Tree()
    blocks = [root for each in leaves if (root := one.add(each))]
    assert blocks == [by_definition(leaves[at : at + BLOCK]) for at in range(0, 5 * BLOCK, BLOCK)]
    other = Tree()
    for root in blocks:
        other.add_block(root)
    for each in leaves[5 * BLOCK :]:
        other.add(each)
    assert (other.size, other.peaks) == (one.size, one.peaks)
    with pytest.raises(ValueError, match="cannot follow leaf 1357"):
        other.add_block(blocks[0])


@pytest.mark.parametrize(
    ("size", "peaks"),
    [(1, ""), (0, "00" * 32), (3, "00" * 32), (-1, ""), (1, "zz" * 32), (1, "AB" * 32), (1, "ab" * 31 + "  ")],
)
def test_peaks_of_another_size_are_refused(size: int, peaks: str) -> None:
    with pytest.raises(ValueError):
        Tree.read(size, peaks)


@settings(max_examples=60)
@given(st.integers(1, 700), st.randoms())
def test_a_proof_gives_the_root_and_no_other_leaves_give_it(size: int, chance: random.Random) -> None:
    leaves = numbered(size)
    chosen = sorted(chance.sample(range(size), chance.randint(1, min(size, 20))))
    nodes = {each: by_definition(leaves[slice(*each)]) for each in proof_of(size, chosen)}
    given_ = {number: leaves[number] for number in chosen}
    root = by_definition(leaves)
    assert root_of(size, given_, nodes) == root
    one = chance.choice(chosen)
    assert root_of(size, given_ | {one: leaf(b"another")}, nodes) != root
    if nodes:
        several = {**nodes, chance.choice([*nodes]): leaf(b"another")}
        assert root_of(size, given_, several) != root
        del several[chance.choice([*nodes])]
        with pytest.raises(KeyError):
            root_of(size, given_, several)


def test_a_proof_of_many_neighbours_is_short() -> None:
    assert len(list(proof_of(100_000, range(40_000, 50_000)))) < 2 * (100_000).bit_length()
    assert list(proof_of(7, range(7))) == []


def test_the_leaf_of_an_event_is_its_hash_in_hexadecimal_digits() -> None:
    assert tree.leaf_of("ab" * 32) == leaf(b"ab" * 32)
