"""Prompt ids: the documented layout, and what breaks it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoint import Checkpoint, open_checkpoint
from harness.errors import CheckpointError, InputError
from harness.synthesis import build_prompt

TEXT = "Hello, how are you today?"


@pytest.fixture
def changed(tiny: Checkpoint, tmp_path: Path) -> Callable[..., Checkpoint]:
    """Makes a copy of `tiny` whose JSON file `name` was passed through `change`."""

    def make(name: str, change: Callable[[dict[str, Any]], None]) -> Checkpoint:
        directory = tmp_path / "copy"
        shutil.copytree(tiny.directory, directory)
        contents = json.loads((directory / name).read_text())
        change(contents)
        (directory / name).write_text(json.dumps(contents))
        return open_checkpoint(directory)

    return make


def test_prompt_has_the_documented_layout(tiny: Checkpoint) -> None:
    ids = build_prompt(tiny, TEXT, "neutral_female", 12)
    assert ids.shape == (1, 26)
    assert ids[0].tolist() == [
        *[1, 25], *[24] * 12, 36,
        *[1072, 5525, 1044, 2606, 1584, 1636, 1317, 4643, 1063],
        *[35, 25],
    ]  # fmt: skip


def test_the_voice_decides_how_many_audio_tokens(tiny: Checkpoint) -> None:
    assert (build_prompt(tiny, TEXT, "casual_male", 9) == 24).sum() == 9


def test_any_text_is_made_of_tokens_with_an_embedding(tiny: Checkpoint) -> None:
    ids = build_prompt(tiny, "Ünïcödé 🎧 \n 日本 [AUDIO]", "casual_male", 9)
    assert ids.max() < 8192
    assert (ids == 24).sum() == 9


def test_a_voice_of_another_length_shows_both_layouts(tiny: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match=r"1 25 24×12 36 .* 13 rows expect 1 25 24×13 36"):
        build_prompt(tiny, TEXT, "neutral_female", 13)


def test_another_token_id_shows_both_layouts(changed: Callable[..., Checkpoint]) -> None:
    def swap(tekken: dict[str, Any]) -> None:
        special = tekken["special_tokens"]
        special[35]["token_str"], special[36]["token_str"] = (
            special[36]["token_str"],
            special[35]["token_str"],
        )

    with pytest.raises(CheckpointError, match=r"24×12 35 .* 36 25; .* 24×12 36 .* 35 25"):
        build_prompt(changed("tekken.json", swap), TEXT, "neutral_female", 12)


def test_a_voice_that_the_tokenizer_does_not_know_is_refused(tiny: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="cannot make a speech prompt for voice nobody"):
        build_prompt(tiny, TEXT, "nobody", 12)


def test_a_tokenizer_without_audio_is_refused(changed: Callable[..., Checkpoint]) -> None:
    with pytest.raises(CheckpointError, match=r"tekken\.json has no audio\.sampling_rate"):
        changed("tekken.json", lambda tekken: tekken.pop("audio"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("pattern", "("),
        ("default_vocab_size", 2**20),
        ("default_num_special_tokens", 2),
        ("version", "v99"),
    ],
)
def test_a_tokenizer_that_mistral_common_cannot_open_is_refused(
    changed: Callable[..., Checkpoint], path: str, value: object
) -> None:
    broken = changed("tekken.json", lambda tekken: tekken["config"].update({path: value}))
    with pytest.raises(
        CheckpointError, match=r"copy/tekken\.json: mistral-common cannot open it: "
    ) as caught:
        build_prompt(broken, TEXT, "neutral_female", 12)
    assert len(str(caught.value)) < 1500


def test_a_panic_in_rust_is_of_the_file(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiktoken import Encoding

    from harness.synthesis.prompt import open_tokenizer

    whole = Encoding.__init__

    def empty(self: Encoding, name: str, **options: Any) -> None:
        whole(self, name, **{**options, "pat_str": ""})

    monkeypatch.setattr(Encoding, "__init__", empty)
    open_tokenizer.cache_clear()
    with pytest.raises(CheckpointError, match=r"tekken\.json: mistral-common cannot .*Panic"):
        build_prompt(tiny, TEXT, "neutral_female", 12)
    open_tokenizer.cache_clear()


def test_a_token_without_an_embedding_is_named(tiny: Checkpoint) -> None:
    import dataclasses

    config = dataclasses.replace(tiny.config, vocab_size=5000)
    with pytest.raises(CheckpointError, match=r"token 5525 \('ello'\) has no embedding"):
        build_prompt(dataclasses.replace(tiny, config=config), TEXT, "neutral_female", 12)


def test_of_a_voice_file_the_tokenizer_knows_nothing(tiny: Checkpoint) -> None:
    assert (build_prompt(tiny, TEXT, "mine/somebody.pt", 5) == 24).sum() == 5


def test_without_a_voice_the_text_follows_at_once(tiny: Checkpoint) -> None:
    assert build_prompt(tiny, TEXT, None, 0)[0, :4].tolist() == [1, 25, 36, 1072]


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_nothing_to_say_is_refused(tiny: Checkpoint, text: str) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        build_prompt(tiny, text, "neutral_female", 12)


def test_text_that_is_no_unicode_is_refused(tiny: Checkpoint) -> None:
    with pytest.raises(InputError, match="character 3 cannot be written as UTF-8"):
        build_prompt(tiny, "ab\udcff", "neutral_female", 12)
