"""An entry is made once, found by what it was made from, and never used in part."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cache import Entry, Recipe, fetch, find, read_or_make
from harness.cache.quota import Record
from harness.errors import InputError

FACTS = {"sizes": {"max_seq_len": 128, "dim": 256}, "weights": "sha256:aa"}


def ask(
    facts: dict = FACTS, content: str = "whole", name: str = "model.pte", brief: str = "", **options
) -> Entry:
    def make(scratch: Path) -> None:
        (scratch / name).write_text(content)

    return fetch(Recipe("artifacts", name, facts, brief, "exporting"), make, **options)


def lines_of(**options) -> list[str]:
    lines: list[str] = []
    ask(progress=lines.append, **options)
    return lines


def test_the_same_facts_are_made_once(store: Path) -> None:
    first, second = ask(), ask(content="never written")

    assert (first.made, second.made) == (True, False)
    assert first.path == second.path
    assert (second.path / "model.pte").read_text() == "whole"


def test_the_order_of_facts_does_not_matter(store: Path) -> None:
    ask({"a": 1, "b": (2, 3)})
    assert not ask({"b": [2, 3], "a": 1}).made


@pytest.mark.parametrize(
    "changed",
    [
        {**FACTS, "weights": "sha256:ab"},
        {**FACTS, "sizes": {"max_seq_len": 129, "dim": 256}},
        {**FACTS, "new": None},
        {"weights": "sha256:aa"},
    ],
)
def test_any_change_is_another_entry(changed: dict, store: Path) -> None:
    assert ask().path != ask(changed).path


def test_what_it_was_made_from_is_kept_beside_it(store: Path) -> None:
    record = Record.read(ask(brief="fp32").path / "facts.json")

    assert record is not None
    assert (record.name, record.brief, record.facts) == ("model.pte", "fp32", FACTS)
    assert record.files == {"model.pte": 5}


def test_a_first_miss_says_that_there_is_none(store: Path) -> None:
    assert lines_of() == ["exporting model.pte: none in the cache yet"]


def test_a_miss_names_what_differs_from_the_nearest(store: Path) -> None:
    ask({**FACTS, "precision": "bf16", "weights": "sha256:ff"})
    ask()
    ask(name="codec_decoder.pte", facts={"precision": "fp32"})

    changed = {**FACTS, "sizes": {"max_seq_len": 256, "dim": 256}}

    assert lines_of(facts=changed) == ["exporting model.pte: max_seq_len 128 → 256"]


def test_a_hit_says_nothing(store: Path) -> None:
    ask()
    assert lines_of() == []


def test_fresh_makes_it_again_in_place(store: Path) -> None:
    first = ask()

    assert lines_of(content="again", fresh=True) == ["exporting model.pte: asked for afresh"]

    assert (first.path / "model.pte").read_text() == "again"
    assert [path.name for path in first.path.parent.iterdir()] == [first.path.name]


def test_what_cannot_be_read_back_is_told_as_damaged(store: Path) -> None:
    told = list[str]()
    contents = iter(("damaged", "whole"))

    def make(path: Path) -> None:
        (path / "model.pte").write_text(next(contents))

    def read(path: Path) -> str | None:
        text = (path / "model.pte").read_text()
        return None if text == "damaged" else text

    recipe = Recipe("artifacts", "model.pte", FACTS, "", "exporting")
    assert read_or_make(recipe, make, read, progress=told.append) == "whole"
    assert told[-1] == "exporting model.pte: the cached one is damaged"


def test_a_file_of_another_size_is_not_used(store: Path) -> None:
    (ask().path / "model.pte").write_text("who")

    assert lines_of() == [
        "exporting model.pte: the cached one cannot be used, model.pte has 3 bytes and had 5"
    ]
    assert (ask().path / "model.pte").read_text() == "whole"


def test_a_missing_file_is_not_used(store: Path) -> None:
    (ask().path / "model.pte").unlink()
    assert "model.pte is missing" in lines_of()[0]


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"name": 1}'])
def test_an_entry_without_readable_facts_is_not_used(damage: str, store: Path) -> None:
    (ask().path / "facts.json").write_text(damage)
    assert "it has no readable facts.json" in lines_of()[0]


def test_a_file_changed_in_place_is_the_readers_to_judge(store: Path) -> None:
    (ask().path / "model.pte").write_text("WHOLE")

    assert not ask().made
    assert (ask().path / "model.pte").read_text() == "WHOLE"


def test_a_failed_make_leaves_nothing(store: Path) -> None:
    def fails(scratch: Path) -> None:
        (scratch / "model.pte").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(Recipe("artifacts", "model.pte", FACTS), fails)

    assert list((store / "artifacts").iterdir()) == []
    assert ask().made


def test_a_bad_bound_is_refused_before_the_work(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE_BYTES", "20GB")

    with pytest.raises(InputError, match="must be a whole number of bytes \\(got '20GB'\\)"):
        ask()
    assert not (store / "artifacts").exists()


def test_find_gives_what_fetch_made_and_nothing_else(store: Path) -> None:
    assert find(Recipe("artifacts", "model.pte", FACTS)) is None
    made = ask()
    assert find(Recipe("artifacts", "model.pte", FACTS)) == made.path
    assert find(Recipe("artifacts", "model.pte", {**FACTS, "weights": "sha256:bb"})) is None
    (made.path / "model.pte").write_text("of another length")
    assert find(Recipe("artifacts", "model.pte", FACTS)) is None
