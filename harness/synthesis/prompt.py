"""Prompt ids of a text and a voice, from mistral-common, checked against the documented layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint import DEFAULT_VOICE, Checkpoint
from harness.errors import CheckpointError, InputError, in_a_sentence

__all__ = ["build_prompt", "check_text", "open_tokenizer"]

_BOS = 1


def build_prompt(
    checkpoint: Checkpoint, text: str, voice: str | None, voice_rows: int
) -> NDArray[np.int64]:
    """Token ids that ask `voice` to say `text`, shape (1, S).

    The layout is ``[BOS] [BEGIN_AUDIO] [AUDIO]×N [NEXT_AUDIO_TEXT] text [REPEAT_AUDIO_TEXT]
    [BEGIN_AUDIO]``, with the ids that `params.json` and upstream's runner use; the voice's N
    embedding rows replace the [AUDIO] embeddings.

    Of a voice that is a file's path, or of none, the tokenizer knows nothing: the prompt is then
    laid out as documented, and as upstream's runner does it. `voice_rows` is N.

    Raises
    ------
    InputError
        There is no text, or it cannot be written as UTF-8.
    CheckpointError
        The tokenizer cannot be read, does not know the voice, lays the prompt out otherwise,
        or makes a token that the model has no embedding for.
    """
    from mistral_common.protocol.speech.request import SpeechRequest

    config, path = checkpoint.config, checkpoint.tokenizer
    tokenizer = open_tokenizer(path)
    check_text(text)
    with _mistral_common(path, "encode the text"):
        spoken = tokenizer.instruct_tokenizer.tokenizer.encode(text, bos=False, eos=False)
    documented = [
        _BOS,
        config.begin_audio_token_id,
        *[config.audio_token_id] * voice_rows,
        config.text_to_audio_token_id,
        *spoken,
        config.repeat_audio_text_token_id,
        config.begin_audio_token_id,
    ]
    name, ids = voice or DEFAULT_VOICE, documented
    if voice_rows > 0 and name == Path(name).stem:
        with _mistral_common(path, f"make a speech prompt for voice {name}"):
            request = SpeechRequest(input=text, voice=name)
            ids = list(tokenizer.encode_speech_request(request).tokens)
    if ids != documented:
        raise CheckpointError(
            f"{path} lays out the prompt for voice {name} as {_brief(ids)}; the model "
            f"and its voice embedding of {voice_rows} rows expect {_brief(documented)}"
        )
    beyond = [token for token in ids if token >= config.vocab_size]
    if beyond:
        piece = tokenizer.instruct_tokenizer.tokenizer.id_to_piece(beyond[0])
        raise CheckpointError(
            f"the text's token {beyond[0]} ({piece!r}) has no embedding: {path} has more "
            f"tokens than params.json's vocab_size {config.vocab_size}"
        )
    return np.array([ids], np.int64)


def check_text(text: str) -> None:
    """Refuse what nobody can say: no text, and what cannot be written as UTF-8."""
    if not text.strip():
        raise InputError("there is nothing to say: the text is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text's character {error.start + 1} cannot be written as UTF-8 "
            f"({error.object[error.start]!r}); give the text in UTF-8"
        ) from None


@lru_cache(maxsize=4)
def open_tokenizer(path: Path) -> Any:
    """mistral-common's tokenizer of a `tekken.json`; raises `CheckpointError` if it opens none."""
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    with _mistral_common(path, "open it"):
        return MistralTokenizer.from_file(path)


@contextmanager
def _mistral_common(path: Path, task: str) -> Iterator[None]:
    """Say of which file a failure of mistral-common is; a damaged one makes it raise anything."""
    try:
        yield
    except BaseException as error:
        panic = type(error).__name__ == "PanicException"  # of tiktoken's Rust, and no Exception
        if isinstance(error, MemoryError) or not (panic or isinstance(error, Exception)):
            raise
        raise CheckpointError(
            f"{path}: mistral-common cannot {task}: {in_a_sentence(error)}"
        ) from error


def _brief(ids: Sequence[int]) -> str:
    """Ids with runs folded: ``1 25 24×12 36 ...``."""
    runs = [(token, len(list(run))) for token, run in groupby(ids)]
    return " ".join(f"{token}×{count}" if count > 1 else str(token) for token, count in runs)
