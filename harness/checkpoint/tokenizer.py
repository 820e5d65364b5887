"""Check a Tekken tokenizer; cut a small one from the real one that mistral-common carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from harness.checkpoint.table import integer, mapping, number, objects, read_table, text, under
from harness.errors import UnavailableError

__all__ = ["check_tokenizer", "cut_tokenizer"]

_SOURCE = "tekken_240911.json"

_N_SPECIAL = 1000

# Special tokens by id, as the published tokenizer has them; the other ids are fillers.
# [TRANSCRIBE] is required by mistral-common of every tokenizer with an audio section.
_NAMES: Mapping[int, str] = {
    0: "<unk>", 1: "<s>", 2: "</s>", 3: "[INST]", 4: "[/INST]", 5: "[AVAILABLE_TOOLS]",
    6: "[/AVAILABLE_TOOLS]", 7: "[TOOL_RESULTS]", 8: "[/TOOL_RESULTS]", 9: "[TOOL_CALLS]",
    10: "[IMG]", 11: "<pad>", 12: "[IMG_BREAK]", 13: "[IMG_END]", 14: "[PREFIX]", 15: "[MIDDLE]",
    16: "[SUFFIX]", 17: "[SYSTEM_PROMPT]", 18: "[/SYSTEM_PROMPT]", 19: "[TOOL_CONTENT]",
    24: "[AUDIO]", 25: "[BEGIN_AUDIO]", 26: "[OUTPUT_AUDIO]", 34: "[TRANSCRIBE]",
    35: "[REPEAT_AUDIO_TEXT]", 36: "[NEXT_AUDIO_TEXT]",
}  # fmt: skip


# What mistral-common reads of `tekken.json`. It checks little of it: a count makes as many tokens,
# and an empty pattern panics in Rust.
_TABLE = {
    **under("config", {
        "pattern": text(10_000),
        "default_vocab_size": integer(1, 2**20),
        "default_num_special_tokens": integer(1, 2**16),
        "version": text(20),
    }),
    "vocab": objects(2**20),
    "special_tokens": objects(2**16),
    **under("audio", {
        "sampling_rate": integer(1, 10**6),
        "frame_rate": number(1000),
        "audio_encoding_config.num_mel_bins": integer(1, 2**16),
        "audio_encoding_config.hop_length": integer(1, 2**16),
        "audio_encoding_config.window_size": integer(1, 2**16),
        "voice_num_audio_tokens": mapping(integer(1, 2**14), 1000),
    }),
}  # fmt: skip


def check_tokenizer(contents: Mapping[str, Any], file: Path | str) -> None:
    """Refuse the contents of a `tekken.json` that mistral-common could not bear."""
    read_table(contents, _TABLE, file)


def cut_tokenizer(vocab_size: int, voices: Mapping[str, int]) -> bytes:
    """Contents of a `tekken.json` of `vocab_size` tokens, the 1000 special ones included.

    As in the published file the vocabulary lists more entries than are used, which a reader must
    cut off itself. `voices` gives the rows of each voice's embedding. Raises `UnavailableError` if
    the installed mistral-common does not carry the tokenizer this is cut from.
    """
    source = _source()
    special = [
        {"rank": i, "token_str": _NAMES.get(i, f"<SPECIAL_{i}>"), "is_control": True}
        for i in range(_N_SPECIAL)
    ]
    contents = {
        "config": {
            "pattern": source["config"]["pattern"],
            "num_vocab_tokens": vocab_size,
            "default_vocab_size": vocab_size,
            "default_num_special_tokens": _N_SPECIAL,
            "version": "v7",
        },
        "vocab": source["vocab"][:vocab_size],
        "special_tokens": special,
        "audio": {
            "sampling_rate": 24000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
            "voice_num_audio_tokens": dict(voices),
        },
    }
    return json.dumps(contents, separators=(",", ":")).encode()


@lru_cache(maxsize=1)
def _source() -> dict[str, Any]:
    try:
        text = (resources.files("mistral_common") / "data" / _SOURCE).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise UnavailableError(
            f"mistral-common's {_SOURCE} is not installed; run `python -m pip install -e .`"
        ) from error
    contents: dict[str, Any] = json.loads(text)
    return contents
