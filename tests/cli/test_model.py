"""``voxtral-parity model`` on a stranger's file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fixtures.command_line import typed

STRANGER = """
import torch

def right():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.SiLU()), (torch.randn(2, 8),)

class Sorted(torch.nn.Module):
    def forward(self, x):
        return torch.sort(x, descending=True)[0]

def wrong():
    return Sorted(), (torch.tensor([[1.0, 3.0, 2.0]]),)

def several():
    from harness.plugin import Call, Model
    return Model(torch.nn.Linear(2, 2), (torch.ones(1, 2),), examples=[Call(torch.zeros(3, 2))])

def broken():
    raise ValueError("no weights here")

def nothing():
    return 3

def leaving():
    raise SystemExit(0)

class Leaving(torch.nn.Module):
    def forward(self, x):
        raise SystemExit(0)

def left():
    return Leaving(), (torch.ones(2),)
"""


@pytest.fixture(autouse=True)
def _keep_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stranger.py"
    path.write_text(STRANGER)
    return path


def test_a_right_model_exits_0(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    code = typed(
        monkeypatch, "model", f"{file}:right", "--executor", "portable", "--json", str(report)
    )
    assert code == 0
    assert "one MLX delegate" in capsys.readouterr().out
    told = json.loads(report.read_text())
    assert told["exit_code"] == 0
    assert {v["case"] for v in told["verdicts"]} >= {"in float64", "each step", "example"}
    assert told["checkpoint"]["name"] == "right"


def test_a_wrong_one_exits_1_and_names_the_operator(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = typed(
        monkeypatch, "model", f"{file}:wrong", "--executor", "portable", "--without", "descending",
        "--repro", str(tmp_path),
    )  # fmt: skip
    out = capsys.readouterr().out
    assert code == 1
    assert "aten.sort.default" in out
    assert "stranger.py" in out
    assert (tmp_path / "repro_sort.py").is_file()


def test_a_module_that_is_imported(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(file.parent)
    assert typed(monkeypatch, "model", "stranger:right", "--precision", "bf16") == 0


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("{}:broken", "no weights here"),
        ("{}:nothing", "must return (module, args)"),
        ("{}:absent", "has no function absent"),
        ("{}", "expected MODULE:FACTORY"),
        ("{}.py:right", "does not exist"),
        ("no_such_module:right", "cannot be imported"),
        ("{}:leaving", "failed: SystemExit: 0"),
        ("{}:left", "itself fails: SystemExit: 0"),
    ],
)
def test_what_cannot_be_judged_exits_2(
    factory: str,
    told: str,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed(monkeypatch, "model", factory.format(file)) == 2
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("by_path", [True, False])
def test_a_factory_may_import_what_is_beside_its_file(
    by_path: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    end = f"{by_path}".lower()
    (tmp_path / f"beside_{end}.py").write_text(STRANGER)
    lazy = f"def make():\n    from beside_{end} import right\n    return right()\n"
    (tmp_path / f"lazy_{end}.py").write_text(lazy)
    name = f"{tmp_path / 'lazy_true.py'}:make" if by_path else "lazy_false:make"
    assert typed(monkeypatch, "model", name, "--executor", "portable") == 0


@pytest.mark.parametrize("status", ["", "0", "1"])
def test_a_file_that_exits_is_not_a_pass(
    status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    report.write_text('{"exit_code": 0}')
    path = tmp_path / "exits.py"
    path.write_text(f"import sys\ndef make(): pass\nsys.exit({status})\n")
    assert typed(monkeypatch, "model", f"{path}:make", "--json", str(report)) == 2
    assert "cannot be imported: SystemExit" in " ".join(capsys.readouterr().err.split())
    assert json.loads(report.read_text())["exit_code"] == 2
