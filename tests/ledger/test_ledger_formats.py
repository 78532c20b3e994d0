"""Canonical JSON, keys, envelopes, tree and tips against published vectors and against tampering."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.errors import IntegrityError
from solon.ledger import checkpoint as tips
from solon.ledger import dsse
from solon.ledger.canonical import NotCanonical, canonical, parse
from solon.ledger.checkpoint import Checkpoint
from solon.ledger.keys import KeyRefused, PrivateKey, PublicKey, read_private, read_public, write_pair
from solon.ledger.tree import EMPTY, Tree, leaf_hash, node_hash, verify_consistency, verify_inclusion

# --- canonical JSON ---------------------------------------------------------------------------------------------------


def test_rfc8785_sorting_vector() -> None:
    """RFC 8785 §3.2.3: keys sort by UTF-16 code units."""
    record = {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
              "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"): "Emoji: Grinning Face",
              "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}  # fmt: skip
    assert list(json.loads(canonical(record)).values()) == [
        "Carriage Return", "One", "Control", "Latin Small Letter O With Diaeresis", "Euro Sign", "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]  # fmt: skip


def test_rfc8785_string_vector() -> None:
    """RFC 8785 §3.2.2, the string and the literals; its floats are checked of the library, as we refuse them."""
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/"
    expected = bytes.fromhex("7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c22737472696e67223a22e282ac245c7530"
                             "3030665c6e41274"
                             "25c225c5c5c5c5c222f227d")  # fmt: skip
    assert canonical({"string": text, "literals": [None, True, False]}) == expected
    assert rfc8785.dumps([333333333.33333329, 1e30, 4.50, 2e-3, 1e-27]) == b"[333333333.3333333,1e+30,4.5,0.002,1e-27]"


@pytest.mark.parametrize(
    "value", [1.5, float("nan"), {"a": [0.0]}, 2**53, -(2**53), {1: "x"}, "\ud800", b"bytes", {"a": {"b": (1, 2.0)}}]
)
def test_no_canonical_form(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical(value)


def test_deep_records_are_refused() -> None:
    value: object = "x"
    for _ in range(100):
        value = [value]
    with pytest.raises(NotCanonical):
        canonical(value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b"[1.0]",
        b"[NaN]",
        b"[-0]",
        b'"\\u0041"',
        b"\xff",
        b"[1]\n",
        b"",
        b"[" * 9999,
    ],
)
def test_other_spellings_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse(data)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(JSONS)
def test_canonical_round_trip(value: object) -> None:
    assert parse(canonical(value)) == value
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(), st.text(st.characters(max_codepoint=127)))
def test_texts_encode_as_the_library_does(text: str, key: str) -> None:
    record = {key: text, "a": [text, {"b": text}]}
    assert canonical(record) == rfc8785.dumps(record)  # type: ignore[arg-type]
    everything = "".join(map(chr, [*range(0x300), 0x2028, 0x2029, 0xFEFF, 0xFFFF, 0x10000, 0x10FFFF]))
    assert canonical([everything]) == rfc8785.dumps([everything])


# --- keys -------------------------------------------------------------------------------------------------------------

# RFC 8032 §7.1: seed, public key, message, signature.
RFC8032 = [
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
]  # fmt: skip

L = 2**252 + 27742317777372353535851937790883648493  # order of the base point

SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    # not canonical: the same points, encoded with y + p or with the sign bit set on x = 0
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC8032)
def test_rfc8032_vectors(seed: str, public: str, message: str, signature: str) -> None:
    key = PrivateKey("k", bytes.fromhex(seed))
    assert key.id == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert PublicKey("k", bytes.fromhex(public)).verifies(bytes.fromhex(signature), bytes.fromhex(message))


def judged(vector: dict[str, str]) -> bool:
    """Whether a published signature is accepted; a key that cannot be enrolled accepts nothing."""
    try:
        key = PublicKey("k", bytes.fromhex(vector["key"]))
    except KeyRefused:
        return False
    return key.verifies(bytes.fromhex(vector["sig"]), bytes.fromhex(vector["msg"]))


def test_wycheproof_vectors() -> None:
    """Every published vector: valid ones pass, invalid ones do not, nor do those that lenient verifiers may accept."""
    vectors = json.loads((Path(__file__).parent / "wycheproof_ed25519.json").read_text())["vectors"]
    found = Counter((vector["result"], judged(vector)) for vector in vectors)
    assert found == {("valid", True): 117, ("invalid", False): 64, ("acceptable", False): 29}


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC8032)
def test_forms_of_forgery_are_refused(seed: str, public: str, message: str, signature: str) -> None:
    """Made from the RFC's own: other message, length, bit flips, S + L (malleable), R or S of zero."""
    key, said, good = PublicKey("k", bytes.fromhex(public)), bytes.fromhex(message), bytes.fromhex(signature)
    s = int.from_bytes(good[32:], "little")
    bad = [good[:-1], good + b"\0", b"", good[:32] + (s + L).to_bytes(32, "little"), bytes(64), good[:32] + bytes(32)]
    bad += [bytes(32) + good[32:], b"\1" + bytes(31) + good[32:], good[32:] + good[:32]]
    bad += [bytes([*good[:i], good[i] ^ (1 << i % 8), *good[i + 1 :]]) for i in range(64)]
    assert not any(key.verifies(signature, said) for signature in bad)
    assert not key.verifies(good, said + b"\0")
    assert not PublicKey("other", PrivateKey("o", bytes(32)).public.raw).verifies(good, said)


@pytest.mark.parametrize("raw", SMALL_ORDER)
def test_small_order_and_odd_encodings_are_refused_at_enrolment(raw: str) -> None:
    with pytest.raises(KeyRefused):
        PublicKey("k", bytes.fromhex(raw))


def test_published_signed_note() -> None:
    """The worked example of the signed-note format: key, note and signature by the name PeterNeumann."""
    key = PublicKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    body = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    note = (
        body + "\n\u2014 PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert tips.open_note(note, [key]) == (body, [key])
    private = PrivateKey.parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
    assert private.public == key
    assert tips.sign_note(body, private) == note


def test_key_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    key = PrivateKey.generate("ana")
    private, public = write_pair(key, tmp_path)
    assert read_private(private).id == key.id and read_public(public) == key.public
    assert private.stat().st_mode & 0o777 == 0o600
    assert key.secret_text not in repr(key)
    with pytest.raises(KeyRefused):
        write_pair(PrivateKey.generate("ana"), tmp_path)
    private.chmod(0o644)
    with pytest.raises(KeyRefused, match="chmod 600"):
        read_private(private)


def test_texts_that_are_no_keys() -> None:
    good = PrivateKey.generate("a").public.text
    name, digest, tail = good.split("+", 2)
    for text in (
        "",
        "x",
        f"b+{digest}+{tail}",
        f"{name}+00000000+{tail}",
        f"{name}+{digest}+{tail[:-4]}",
        f"a b+{digest}+{tail}",
    ):
        with pytest.raises(KeyRefused):
            PublicKey.parse(text)
    with pytest.raises(KeyRefused):
        PrivateKey.parse(good)


# --- envelopes --------------------------------------------------------------------------------------------------------


def test_dsse_pae_vectors() -> None:
    """dsse/protocol.md."""
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert dsse.pae("", b"") == b"DSSEv1 0  0 "


def test_envelope_counts_keys_not_names() -> None:
    a, b = PrivateKey.generate("a"), PrivateKey.generate("b")
    again = PrivateKey.parse(a.secret_text)
    envelope = dsse.seal("vote", {"x": 1}, [a, again, b])
    assert envelope.signers == (a.id, b.id) and envelope.clean
    assert dsse.read(json.loads(json.dumps(envelope.as_dict())), "vote") == envelope
    twice = dsse.Envelope(envelope.type, envelope.payload, (*envelope.signatures, envelope.signatures[0]))
    assert len(twice.signers) == 2 and not twice.clean
    junk = dsse.Envelope(envelope.type, envelope.payload, (*envelope.signatures, ("00" * 32, bytes(64))))
    assert len(junk.signers) == 2 and not junk.clean


def test_signature_holds_for_its_type_only() -> None:
    envelope = dsse.seal("vote", {"x": 1}, [PrivateKey.generate("a")])
    other = dsse.Envelope(dsse.payload_type("approval"), envelope.payload, envelope.signatures)
    assert envelope.signers and not other.signers
    with pytest.raises(IntegrityError, match="expected the type"):
        dsse.read(envelope.as_dict(), "approval")


@pytest.mark.parametrize("change", [{"payload": "%%"}, {"signatures": [{}]}, {"payloadType": 3}, {"signatures": None}])
def test_malformed_envelopes(change: dict[str, object]) -> None:
    good = dsse.seal("vote", {"x": 1}, [PrivateKey.generate("a")]).as_dict()
    with pytest.raises(IntegrityError):
        dsse.read({**good, **change})


# --- tree -------------------------------------------------------------------------------------------------------------

# The certificate-transparency reference inputs and roots (sizes 1 to 8).
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
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
    (0, 1): [],
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
CONSISTENT = {
    (1, 1): [],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}


def known_tree() -> Tree:
    tree = Tree()
    for text in INPUTS:
        tree.add(bytes.fromhex(text))
    return tree


def test_published_roots_and_proofs() -> None:
    tree = known_tree()
    assert EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Tree().root() == EMPTY
    assert [tree.root(size).hex() for size in range(1, 9)] == ROOTS
    for (index, size), path in PATHS.items():
        assert [node.hex() for node in tree.inclusion(index, size)] == path
    for (old, new), path in CONSISTENT.items():
        assert [node.hex() for node in tree.consistency(old, new)] == path


def reference_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(reference_root(leaves[:k]), reference_root(leaves[k:]))


def test_every_proof_of_every_small_tree() -> None:
    leaves = [bytes([i]) * i for i in range(40)]
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    for size in range(1, 41):
        root = tree.root(size)
        assert root == reference_root(leaves[:size])
        for index in range(size):
            path = tree.inclusion(index, size)
            assert verify_inclusion(leaf_hash(leaves[index]), index, size, path, root)
            assert not verify_inclusion(leaf_hash(leaves[index] + b"x"), index, size, path, root)
            assert not verify_inclusion(leaf_hash(leaves[index]), index, size, [*path, root], root)
            assert not path or not verify_inclusion(leaf_hash(leaves[index]), index, size, path[:-1], root)
            assert not verify_inclusion(leaf_hash(leaves[index]), (index + 1) % size, size, path, root) or size == 1
        for old in range(1, size + 1):
            proof, before = tree.consistency(old, size), tree.root(old)
            assert verify_consistency(old, size, proof, before, root)
            assert old == size or not verify_consistency(old, size, proof, root, root)
            assert not verify_consistency(old, size, [*proof, root], before, root)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=8), min_size=2, max_size=70), st.data())
def test_a_changed_history_is_never_consistent(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    place = data.draw(st.integers(0, old - 1))
    true, false = Tree(), Tree()
    for index, leaf in enumerate(leaves):
        true.add(leaf)
        false.add(leaf + b"!" if index == place else leaf)
    assert not verify_consistency(old, len(leaves), false.consistency(old), true.root(old), false.root())


def test_cut_gives_the_shorter_tree() -> None:
    tree = known_tree()
    tree.cut(5)
    assert tree.root().hex() == ROOTS[4]
    for text in INPUTS[5:]:
        tree.add(bytes.fromhex(text))
    assert tree.root().hex() == ROOTS[7]
    for call in (lambda: tree.root(9), lambda: tree.inclusion(8), lambda: tree.consistency(0), lambda: tree.consistency(9)):
        with pytest.raises(ValueError, match="expected"):
            call()


# --- tips -------------------------------------------------------------------------------------------------------------


def test_tip_round_trip_and_tampering() -> None:
    key, other = PrivateKey.generate("ledger"), PrivateKey.generate("ledger")
    tip = Checkpoint("solon/ledger", 3, known_tree().root(3))
    note = tips.sign(tip, key)
    assert note.split("\n")[:3] == ["solon/ledger", "3", base64.b64encode(tip.root).decode()]
    assert tips.read(note, [key.public]) == tip
    cosigned = note + tips.signature_line(tip.body, PrivateKey.generate("witness"))
    assert tips.read(cosigned, [key.public]) == tip
    for bad in (note.replace("\n3\n", "\n4\n"), note.replace("solon/ledger", "solon/other"), note[:-1], tip.body, "", note + "x"):
        with pytest.raises(IntegrityError):
            tips.read(bad, [key.public])
    with pytest.raises(IntegrityError):
        tips.read(note, [other.public])


@pytest.mark.parametrize(
    "body", ["o\n03\nAAAA\n", "o\n3\nAAAA\n", "\n3\n", "o\n-1\n" + base64.b64encode(bytes(32)).decode() + "\n"]
)
def test_bodies_that_are_no_tips(body: str) -> None:
    with pytest.raises(IntegrityError):
        tips.parse_body(body)
