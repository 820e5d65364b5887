"""``voxtral-parity bundle`` as it is typed."""

from __future__ import annotations

import dataclasses
import json
import os
from importlib.metadata import version
from pathlib import Path

import pytest

from fixtures.command_line import typed
from harness.bundle import bundle_digest, read_manifest
from harness.bundle.contents import open_bundle
from harness.bundle.observing import read_observation, write_observation
from harness.report import read_json

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_pack_run_and_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, seen = tmp_path / "a.bundle", tmp_path / "a.observation"
    run, judgement = tmp_path / "run.json", tmp_path / "judgement.json"
    calls, bpte = tmp_path / "calls", tmp_path / "bpte"
    monkeypatch.setenv("GITHUB_SHA", COMMIT)
    pack = ("semantic_head", str(file), "--golden-dir", str(calls), "--bpte", str(bpte))
    assert typed(monkeypatch, "bundle", "pack", *pack) == 0
    assert bundle_digest(file) in capsys.readouterr().out
    assert read_manifest(file).origin.commit == COMMIT
    assert (calls / "index.json").is_file()
    assert (bpte / "model.bpte").is_file()

    options = ("--executor", "portable")
    assert typed(monkeypatch, "bundle", "run", str(file), *options, "--json", str(run)) == 0
    observe = (*options, "--observe-only", str(seen))
    assert typed(monkeypatch, "bundle", "run", str(file), *observe) == 0
    judge = (str(file), str(seen), "--json", str(judgement))
    assert typed(monkeypatch, "bundle", "judge", *judge) == 0

    told = json.loads(run.read_text())["bundle"]
    assert told["sha256"] == bundle_digest(file)
    assert told["commit"] == COMMIT
    assert read_json(run).verdicts == read_json(judgement).verdicts
    assert told["observed"] >= told["packed"]
    assert told["observed_by"] == version("voxtral-parity")


def test_a_judgement_says_when_and_by_what_it_was_observed(
    v1: Path, v1_observation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with open_bundle(v1) as bundle:
        made = read_observation(v1_observation, bundle)
        old = {**made.versions, "voxtral-parity": "0.0.1"}
        made = dataclasses.replace(made, observed="2001-02-03T04:05:06Z", versions=old)
    seen, report = tmp_path / "old.observation", tmp_path / "report"
    write_observation(made, seen)
    markdown = tmp_path / "report.md"
    faces = ("--report", str(report), "--markdown", str(markdown))
    assert typed(monkeypatch, "bundle", "judge", str(v1), str(seen), *faces) == 0

    facts = read_json(report / "report.json").bundle
    assert facts is not None
    assert (facts.observed, facts.observed_by) == ("2001-02-03T04:05:06Z", "0.0.1")
    said = "observed 2001-02-03T04:05:06Z by voxtral-parity 0.0.1"
    assert said in " ".join(capsys.readouterr().out.split())
    assert said in (report / "index.html").read_text(encoding="utf-8")
    assert "voxtral-parity 0.0.1" in markdown.read_text(encoding="utf-8").replace("\\", "")


@pytest.mark.parametrize("form", [("--observe-only", "{}"), ("--observe-only={}",)])
def test_a_failed_run_leaves_no_earlier_observation(
    form: tuple[str, ...], v1_observation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    for content, left in ((v1_observation.read_bytes(), False), (b"\5\0\0\0\0\0\0\0hello", True)):
        seen.write_bytes(content)
        os.utime(seen, (0, 0))
        words = [word.format(seen) for word in form]
        assert typed(monkeypatch, "bundle", "run", str(tmp_path / "missing"), *words) == 2
        assert seen.exists() == left  # what was named by mistake stays


def test_a_commit_on_the_command_line_goes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.bundle"
    monkeypatch.setenv("GITHUB_SHA", COMMIT)
    assert typed(monkeypatch, "bundle", "pack", "codec", str(file), "--commit", "abcdef0") == 0
    assert read_manifest(file).origin.commit == "abcdef0"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("pack", "cdec", "a.bundle"), "method must be one of"),
        (("pack", "a.bundle", "codec"), "the last word must be the file to write"),
        (("pack", "codec"), "the last word must be the file to write, and codec is a method"),
        (("pack", "codec", "a.bundle", "--commit", "main"), "a commit must be"),
        (("pack", "codec", "a.bundle", "--backend", "cuda"), "backend must be one of"),
        (("pack", "codec", "a.bundle", "--taps", "--backend", "xnnpack"), "leave --artifacts and"),
        (("pack", "codec", "a.bundle", "--taps", "--artifacts", "."), "leave --artifacts and"),
        (("run", "missing.bundle"), "missing.bundle cannot be read"),
        (("judge", "missing.bundle", "x"), "missing.bundle cannot be read"),
        (("run", "junk.bundle"), "is no bundle"),
        (("judge", "{v1}", "junk.bundle"), "holds no BundleObservation"),
        (("judge", "{v1}", "missing"), "observation missing cannot be read"),
        (("judge", "{v1}", "."), "there is no output in"),
        (("judge", "{v1}", "{seen}", "--budget", "junk.bundle"), "is no ledger"),
        (("run", "{v1}", "--executor", "xnnpack"), "was lowered to mlx"),
        (("run", "{v1}", "--observe-only", "new"), "--observe-only judges nothing"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...],
    sentence: str,
    v1: Path,
    v1_observation: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk.bundle").write_text("junk")
    report = tmp_path / "report.json"
    report.write_text('{"tool_version": "yesterday", "verdicts": []}')
    words = [word.format(v1=v1, seen=v1_observation) for word in arguments]
    json_too = () if words[0] == "pack" else ("--json", str(report))
    assert typed(monkeypatch, "bundle", *words, *json_too) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("· ")]
    assert len(lines) == 1
    assert sentence in lines[0]
    if json_too:
        assert read_json(report).exit_code == 2
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"junk.bundle", "report.json"}


def test_a_committed_bundle_is_run_and_judged(
    v1: Path, v1_observation: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    judge = ("bundle", "judge", str(v1), str(v1_observation), "--json", str(report))
    assert typed(monkeypatch, *judge) == 0
    assert read_json(report).counts["pass"] >= 20
    run = ("bundle", "run", str(v1), "--executor", "portable", "--json", str(report))
    assert typed(monkeypatch, *run) == 0
    assert read_json(report).counts["pass"] >= 20
