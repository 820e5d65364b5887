"""The command line as a user meets it: what it prints, where, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.command_line import typed
from fixtures.exports import Line

Capture = pytest.CaptureFixture[str]


def test_the_main_job_of_one_method_is_green(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path, tiny_line: Line
) -> None:
    tiny_line.artifact("model.pte")
    report = tmp_path / "report.json"

    code = typed(monkeypatch, "check", "token_embedding", "--executor", "portable",
               "--json", str(report))  # fmt: skip

    out, err = capsys.readouterr()
    assert code == 0
    assert "token_embedding" in out
    assert "exit code 0, every verdict passed" in out
    assert "running token_embedding" in err
    verdicts = json.loads(report.read_text())["verdicts"]
    subjects = {"delegate", "token_embedding", "model.pte"}
    assert {verdict["subject"] for verdict in verdicts} == subjects
    assert {verdict["status"] for verdict in verdicts} == {"pass"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("check", "codek"), "(got 'codek'); did you mean codec?"),
        (("check", "--checkpoint", "nowhere"), "(got 'nowhere', which is neither)"),
        (("check", "--precision", "bf17"), "precision must be one of fp32, bf16, bf16-4w8w (got"),
        (("check", "--executor", "gpu"), "executor must be one of auto, native, portable"),
        (("check", "--require", "gpu"), "require must be one of native, portable"),
        (("check", "--regime", "tf23"), "regime must be one of tf32, bf16-accumulate, fp16-grid"),
        (("check", "--regime", "tf32", "--executor", "native"), "by the executor portable alone"),
        (("check", "--without", "typo"), "correction must be one of adjacent-indices"),
        (("check", "--codec-form", "fold"), "codec form must be one of conv, unfold"),
        (("check", "codec", "--artifacts", "nowhere"), "codec_decoder.pte is not in nowhere"),
        (("check", "--asr", "ear"), "asr must be one of apple, pocketsphinx, whisper, command"),
        (("check", "--asr-command", "cat"), "--asr command and --asr-command go together"),
        (("check", "codec", "--asr", "pocketsphinx"), "--asr transcribes the executor's speech"),
        (("check", "--text", ""), "there is nothing to say: the text is empty"),
        (("check", "--text", "word " * 2000), "positions and the KV cache has 128"),
        (("golden", "bless", "--reason", "ok"), "a golden needs a reason of at least 10"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    code = typed(monkeypatch, *arguments)

    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("voxtral-parity: ")
    assert sentence in last


def test_another_text_is_evidence_and_no_golden(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path, tiny_line: Line
) -> None:
    tiny_line.artifact("model.pte")
    report = tmp_path / "report.json"
    said = ("--text", "Hi.", "--executor", "portable", "--json", str(report))

    assert typed(monkeypatch, "check", "audio_token_embedding", "codec", *said) == 0

    verdicts = json.loads(report.read_text())["verdicts"]
    (codec,) = (v for v in verdicts if (v["subject"], v["case"]) == ("codec", "speech"))
    assert codec["metrics"]["shapes"] == [[1, 1, 40 * 1920]]
    assert not any(verdict["kind"] == "golden" for verdict in verdicts)
    (calls,) = (v["metrics"]["calls"] for v in verdicts
                if (v["subject"], v["case"]) == ("audio_token_embedding", "speech"))  # fmt: skip
    assert calls == 25


@pytest.mark.slow
def test_an_emulated_regime_is_told_with_figures_and_the_codes_that_flip(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path, artifacts: None
) -> None:
    report = tmp_path / "report.json"
    said = ("--executor", "portable", "--regime", "tf32", "--json", str(report))

    assert typed(monkeypatch, "check", *said) == 2

    data = json.loads(report.read_text())
    assert data["executor"]["regime"] == "emulated-tf32"
    assert data["executor"]["measured"]["products"]["matrix float32"] == "tf32-class"
    verdicts = {(v["subject"], v["case"]): v for v in data["verdicts"]}
    assert not any(verdict["status"] == "fail" for verdict in verdicts.values())
    decoder = verdicts["text_decoder", "speech"]
    assert decoder["status"] == "pass"  # under the budget of this regime
    assert 1e-4 < decoder["metrics"]["max_abs_scaled"] < 1e-2
    assert verdicts["text_decoder", "each step"]["status"] == "pass"
    assert verdicts["token_embedding", "speech"]["status"] == "pass"
    codes = verdicts["speech", "codes, free-running"]
    assert codes["status"] == "pass"
    assert "decisions are not eager's, all of them ties: its logits lie up to" in codes["summary"]
    flips = verdicts["speech", "codes, emulated against not"]
    assert flips["metrics"]["differing"] > 0
    assert flips["notes"][0].startswith("It is a decision of ")
    assert flips["notes"][1].startswith("All products move it by ")
    assert "products, alone: step " in flips["notes"][2]


@pytest.mark.skipif("sys.platform == 'darwin'", reason="a Mac may have the native runtime")
def test_a_required_runtime_that_is_missing_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert typed(monkeypatch, "check", "token_embedding", "--require", "native") == 2
    assert "native runs need macOS 14+ on Apple Silicon" in capsys.readouterr().err


def test_a_stock_lowering_put_back_is_a_mismatch(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    code = typed(
        monkeypatch, "check", "semantic_head", "token_embedding",
        "--executor", "portable", "--without", "copy-broadcast",
    )  # fmt: skip

    out = capsys.readouterr().out
    assert code == 1
    assert "FAIL semantic_head · speech" in out
    assert "lowered, but does not run" in out.lower()
    assert "FAIL token_embedding" not in out


def test_a_fault_of_the_harness_is_no_mismatch(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("harness.parity.check", broken)

    assert typed(monkeypatch, "check", "codec") == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_export_writes_both_files(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    assert typed(monkeypatch, "export", "--output-dir", str(tmp_path / "out")) == 0

    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "codec_decoder.nodes.json",
        "codec_decoder.pte",
        "model.nodes.json",
        "model.pte",
    ]
    assert capsys.readouterr().out.count("bytes") == 2


def test_given_artifacts_are_judged_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path, tiny_line: Line
) -> None:
    path = tiny_line.artifact("model.pte").path
    (tmp_path / "model.pte").write_bytes(path.read_bytes()[:-4096])

    code = typed(monkeypatch, "check", "token_embedding", "--artifacts", str(tmp_path))

    assert code == 2
    assert "model.pte" in capsys.readouterr().err
