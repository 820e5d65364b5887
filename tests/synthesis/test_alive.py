"""What `tiny` says: the measurements that its gains and its seed were chosen by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness.checkpoint import Checkpoint
from harness.reference.eager import EagerModel
from harness.synthesis import (
    FlowNoise,
    Limits,
    Recorder,
    Speech,
    Utterance,
    make_prompt,
    speak,
)

FRAMES = 14


TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Hi.",
    "No",
    "a",
    "Yes, please.",
    "What time is it?",
    "Where did you put the keys to the car, and why?",
    "It costs $1,250.75, not 3.5 euros.",
    "1 2 3 4 5 6 7 8 9 10",
    "In 1969, two people walked on the moon.",
    "Good morning, everybody!",
    "WARNING: do not open the door!!!",
    "To be, or not to be, that is the question.",
    "Dr. Smith's e-mail is smith@example.org.",
    "Please call Stella and ask her to bring these things with her from the store.",
    "She sells sea shells by the sea shore; the shells she sells are surely seashells.",
    "Thank you very much for listening to this short test of a speech model today.",
    "Guten Morgen, wie geht es Ihnen heute?",
    "Bonjour, je m'appelle Claire et j'habite à Lyon.",
    "¿Dónde está la estación de tren más cercana?",
    "O tempo hoje está bonito, não acha?",
    "Buongiorno, vorrei un caffè, per favore.",
    "Goedemorgen, hoe gaat het met u?",
    "नमस्ते, आप कैसे हैं?",
    "مرحبا، كيف حالك اليوم؟",
    "今日はいい天気ですね。",
)


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_it_stops_by_itself(tiny_speech: tuple[Speech, Recorder]) -> None:
    speech, _ = tiny_speech
    assert speech.ended
    assert speech.frames == FRAMES


def frames_of(tiny: Checkpoint, model: Any, text: str, voice: str | None) -> tuple[int, bool]:
    utterance = Utterance(text, voice, max_new_tokens=40)
    limits = Limits(max_seq_len=128, codec_frames=40)
    speech = speak(EagerModel(model), tiny.config, make_prompt(tiny, utterance), utterance, limits)
    return speech.frames, speech.ended


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_it_says_any_text_at_a_sensible_length(
    tiny: Checkpoint, tiny_model: Any, every: int
) -> None:
    """Nine of sixteen such texts used to end before their first frame."""
    said = [frames_of(tiny, tiny_model, text, "neutral_female") for text in TEXTS[::every]]
    assert all(8 <= frames <= 40 for frames, _ in said)
    assert sum(ended for _, ended in said) >= 0.75 * len(said)
    assert len({frames for frames, _ in said}) > len(said) / 4  # the text decides


@pytest.mark.parametrize("voice", ["casual_male", None])
def test_another_voice_or_none_speaks_too(
    tiny: Checkpoint, tiny_model: Any, voice: str | None
) -> None:
    assert all(frames_of(tiny, tiny_model, text, voice)[0] >= 4 for text in TEXTS[:2])


def test_the_semantic_code_changes_with_nearly_each_frame(
    tiny_speech: tuple[Speech, Recorder],
) -> None:
    speech, _ = tiny_speech
    assert speech.codes[0].tolist() == [
        222, 483, 483, 434, 275, 185, 176, 267, 28, 209, 10, 111, 381, 311,
    ]  # fmt: skip


def test_acoustic_codes_use_every_level(tiny_speech: tuple[Speech, Recorder]) -> None:
    speech, _ = tiny_speech
    assert sorted(set(speech.codes[1:].ravel().tolist())) == list(range(2, 23))


def test_few_acoustic_codes_are_clipped(tiny_speech: tuple[Speech, Recorder]) -> None:
    speech, _ = tiny_speech
    clipped = np.isin(speech.codes[1:], [2, 22]).mean()
    assert clipped < 0.1


def test_no_decision_is_near_another(tiny_speech: tuple[Speech, Recorder]) -> None:
    # One thread or two moves the margins of `small` by 2e-5 of a level and 1e-6 of a logit;
    # with these of `tiny`, other processors make the same codes.
    speech, _ = tiny_speech
    assert speech.argmax_margins.shape == (FRAMES + 1,)
    assert speech.argmax_margins.min() > 0.1
    assert speech.rounding_margins.shape == (36, FRAMES)
    assert speech.rounding_margins.min() > 0.003


def test_the_waveform_is_loud_and_unclipped(tiny_speech: tuple[Speech, Recorder]) -> None:
    speech, _ = tiny_speech
    assert speech.waveform.shape == (FRAMES * 1920,)
    assert 0.1 < np.abs(speech.waveform).max() < 0.9
    assert 0.05 < rms(speech.waveform) < 0.3


def test_hidden_states_are_of_order_one(tiny_speech: tuple[Speech, Recorder]) -> None:
    _, recorder = tiny_speech
    for call in recorder.calls("text_decoder"):
        assert 0.8 < rms(call.output) < 1.2


def test_the_run_is_a_prompt_a_seed_step_and_frames(
    tiny_speech: tuple[Speech, Recorder],
) -> None:
    _, recorder = tiny_speech
    counts = {
        name: len(recorder.calls(name))
        for name in (
            "token_embedding", "audio_token_embedding", "text_decoder",
            "semantic_head", "predict_velocity", "codec",
        )
    }  # fmt: skip
    assert counts == {
        "token_embedding": 2,
        "audio_token_embedding": FRAMES,
        "text_decoder": FRAMES + 2,
        "semantic_head": FRAMES + 1,
        "predict_velocity": FRAMES * 14,
        "codec": 1,
    }


def test_voice_rows_take_the_place_of_the_audio_tokens(
    tiny: Checkpoint, tiny_speech: tuple[Speech, Recorder]
) -> None:
    from harness.checkpoint.voices import load_voice

    speech, recorder = tiny_speech
    embeds, positions = recorder.calls("text_decoder")[0].inputs
    table = recorder.calls("token_embedding")[0].output
    assert np.array_equal(positions, np.arange(26))
    assert np.array_equal(embeds[0, 2:14], load_voice(tiny, "neutral_female"))
    assert np.array_equal(embeds[0, :2], table[0, :2])
    assert np.array_equal(embeds[0, 14:], table[0, 14:])
    assert (speech.prompt_ids[2:14] == 24).all()


def test_frames_are_those_of_upstreams_own_solver(
    tiny_model: Any, tiny_speech: tuple[Speech, Recorder], monkeypatch: Any
) -> None:
    """`FlowMatchingHead.forward`, given the runner's noise, batches guidance and rounds alike."""
    speech, recorder = tiny_speech
    noise = FlowNoise(42)
    monkeypatch.setattr(
        torch, "randn", lambda *shape, device: torch.from_numpy(noise.normal(36)).reshape(shape)
    )
    for frame, call in enumerate(recorder.calls("semantic_head")[: speech.frames]):
        with torch.inference_mode():
            codes = tiny_model.flow_head(torch.from_numpy(call.inputs[0].copy()))
        assert codes[0].tolist() == speech.codes[:, frame].tolist()
