"""How two sets of facts differ, in words."""

from __future__ import annotations

from harness.cache.facts import differences, digest_of, nearest, source_facts


def test_values_are_spelt_out() -> None:
    old = {"sizes": {"max_seq_len": 128}, "options": {"without": []}}
    new = {"sizes": {"max_seq_len": 256}, "options": {"without": ["copy-broadcast"]}}

    assert differences(old, new) == "max_seq_len 128 → 256, without none → copy-broadcast"


def test_digests_are_not() -> None:
    assert differences({"weights": digest_of(b"a")}, {"weights": digest_of(b"b")}) == (
        "weights changed"
    )


def test_sources_are_named_with_what_became_of_them() -> None:
    old = {"sources": {"ours": {"a.py": digest_of(b"a"), "gone.py": digest_of(b"g")}}}
    new = {"sources": {"ours": {"a.py": digest_of(b"b"), "new.py": digest_of(b"n")}}}

    assert differences(old, new) == "sources changed: a.py, +new.py, −gone.py"


def test_many_sources_are_counted() -> None:
    old = {"sources": {f"{n}.py": digest_of(b"a") for n in range(9)}}
    new = {"sources": {f"{n}.py": digest_of(b"b") for n in range(9)}}

    assert differences(old, new) == "sources changed: 0.py, 1.py, 2.py, 3.py and 5 more"


def test_the_nearest_has_the_fewest_differences() -> None:
    facts = {"a": 1, "b": 2, "c": 3}

    assert nearest(facts, [{"a": 0, "b": 0, "c": 3}, {"a": 1, "b": 0, "c": 3}]) == {
        "a": 1, "b": 0, "c": 3,
    }  # fmt: skip
    assert nearest(facts, []) is None


def test_a_source_is_known_by_its_path_and_content() -> None:
    assert source_facts({"a/b.py": b"x = 1\r\n"}) == {"a/b.py": digest_of(b"x = 1\n")}
