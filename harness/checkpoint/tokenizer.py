"""Cut a small Tekken tokenizer from the real one that mistral-common carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

from harness.errors import UnavailableError

__all__ = ["cut_tokenizer"]

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


def cut_tokenizer(vocab_size: int, voices: Mapping[str, int]) -> bytes:
    """Contents of a `tekken.json` of `vocab_size` tokens with an audio section.

    Parameters
    ----------
    vocab_size
        Tokens, the 1000 special ones included. As in the published file the vocabulary lists
        more entries than are used, which a reader must cut off itself.
    voices
        Audio tokens of each voice, one for each row of its embedding.

    Raises
    ------
    UnavailableError
        The installed mistral-common does not carry the tokenizer this is cut from.
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
