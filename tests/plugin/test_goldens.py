"""`golden_tensor` and `golden_audio` as a stranger uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]

UPDATE = ("--parity-update", "--parity-reason", "the model was trained anew")

TESTS = """
import numpy as np

def wave(gain=1.0):
    time = np.arange(16000) / 16000
    return (gain * 0.5 * np.sin(2 * np.pi * 440 * time) * (1 + time)).astype(np.float32) / 2

def test_tensor(golden_tensor):
    golden_tensor(np.linspace(-1, 1, 100, dtype=np.float32) * {scale})

def test_sound(golden_audio):
    golden_audio(wave({gain}), 16000, "tone")
"""


def written(pytester: pytest.Pytester, name: str = "test_it", **values: float) -> None:
    text = TESTS.format(**{"scale": 1.0, "gain": 1.0, **values})
    pytester.makepyfile(**{name: text})


def kept(pytester: pytest.Pytester) -> list[Path]:
    return sorted(pytester.path.rglob("goldens/*/*.json"))


def test_a_missing_golden_fails_with_the_command_that_makes_it(
    pytester: pytest.Pytester, stranger: Run
) -> None:
    written(pytester)
    result = stranger()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "E *there is no golden test_it/test_tensor.json",
            'E *pytest test_it.py --parity-update --parity-reason "…"',
        ]
    )
    assert kept(pytester) == []


def test_update_writes_and_the_next_run_is_green(pytester: pytest.Pytester, stranger: Run) -> None:
    written(pytester)
    stranger(*UPDATE).assert_outcomes(passed=2)
    assert [path.name for path in kept(pytester)] == ["test_sound.tone.json", "test_tensor.json"]
    before = [path.read_bytes() for path in kept(pytester)]
    stranger().assert_outcomes(passed=2)
    stranger(*UPDATE).assert_outcomes(passed=2)
    assert [path.read_bytes() for path in kept(pytester)] == before  # what holds is not written


def test_a_change_is_red_until_it_is_reviewed(pytester: pytest.Pytester, stranger: Run) -> None:
    written(pytester)
    stranger(*UPDATE)
    written(pytester, scale=1.0001, gain=0.99)
    result = stranger()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*the RMS moved by 1.0e-4 of the RMS, up to 1.0e-5 allowed*"])
    result.stdout.fnmatch_lines(["*rms_dbfs*"])
    stranger(*UPDATE).assert_outcomes(passed=2)
    (_, tensor) = kept(pytester)
    assert [entry["reason"] for entry in json.loads(tensor.read_text())["history"]] == [
        UPDATE[2],
        UPDATE[2],
    ]
    stranger().assert_outcomes(passed=2)


def test_an_unused_golden_fails_the_run_and_update_deletes_it(
    pytester: pytest.Pytester, stranger: Run
) -> None:
    written(pytester)
    stranger(*UPDATE)
    path = pytester.path / "test_it.py"
    path.write_text(path.read_text().replace("def test_sound", "def helper_sound"))
    result = stranger()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*goldens not used by any test*", "*test_sound.tone.json"])
    assert stranger("-k", "tensor").ret == 0  # a part of the tests tells nothing of the rest
    assert stranger(*UPDATE).ret == 0
    assert [path.name for path in kept(pytester)] == ["test_tensor.json"]


def test_a_golden_that_its_own_test_does_not_use_is_told(
    pytester: pytest.Pytester, stranger: Run
) -> None:
    written(pytester)
    stranger(*UPDATE)
    path = pytester.path / "test_it.py"
    path.write_text(path.read_text().replace('16000, "tone"', '16000, "tone"') + "\n")
    path.write_text(path.read_text().replace("    golden_audio(wave(1.0)", "    print(wave(1.0)"))
    assert stranger().ret == pytest.ExitCode.TESTS_FAILED


MARKED = """
import numpy as np
import pytest

@pytest.fixture
def needed():
    pass  # setup

def test_kept(golden_tensor):
    golden_tensor(np.arange(3.0))

@pytest.mark.usefixtures()  # mark
def test_other(needed, golden_tensor):
    golden_tensor(np.arange(3.0))
"""

LEFT_OUT = """
def pytest_collection_modifyitems(config, items):
    gone = [item for item in items if item.name == "test_other"]
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item in items if item not in gone]
"""


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("@pytest.mark.usefixtures()", "@pytest.mark.skip(reason='slow')"),
        ("pass  # setup", "raise OSError('no network')"),
        ("pass  # setup", "pytest.skip('no network')"),
        ("", ""),
    ],
    ids=["skipped", "its setup fails", "skipped in its setup", "deselected"],
)
def test_a_golden_whose_test_did_not_run_is_kept(
    pytester: pytest.Pytester, stranger: Run, alone: Run, before: str, after: str, workers: int
) -> None:
    path = pytester.makepyfile(test_it=MARKED)
    stranger(*UPDATE).assert_outcomes(passed=2)
    if before:
        path.write_text(path.read_text().replace(before, after))
    else:
        pytester.makeconftest(LEFT_OUT)
    run = alone if workers else stranger
    where = ("-n", "1") if workers else ()
    result = run(*where)
    assert "not used" not in result.stdout.str()
    assert result.ret == (1 if "OSError" in after else 0)
    run(*where, *UPDATE)
    assert len(kept(pytester)) == 2


@pytest.mark.parametrize("damage", ["{", '{"format": "other"}', "[]"])
def test_a_damaged_golden_is_an_error(
    pytester: pytest.Pytester, stranger: Run, damage: str
) -> None:
    written(pytester)
    stranger(*UPDATE)
    for path in kept(pytester):
        path.write_text(damage)
    result = stranger()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["E *is damaged*"])


def test_what_is_no_sound_is_an_error(pytester: pytest.Pytester, stranger: Run) -> None:
    pytester.makepyfile(
        """
        import numpy as np

        def test_silence(golden_audio):
            golden_audio(np.zeros(16000, np.float32), 16000)

        def test_text(golden_tensor):
            golden_tensor(np.array(["a"]))

        def test_nan(golden_tensor):
            golden_tensor(np.array([1.0, np.nan, -np.inf]))
        """
    )
    result = stranger(*UPDATE)
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["*finite numbers (2 elements of 3 are not)*"])


def test_names_that_are_alike_get_files_of_their_own(
    pytester: pytest.Pytester, stranger: Run
) -> None:
    pytester.makepyfile(
        """
        import numpy as np
        import pytest

        @pytest.mark.parametrize("name", ["a b", "a/b"])
        def test_it(golden_tensor, name):
            golden_tensor(np.arange(3.0), name)
        """
    )
    stranger(*UPDATE).assert_outcomes(passed=2)
    assert len(kept(pytester)) == 2
