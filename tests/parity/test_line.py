"""The values as files, judged elsewhere: the same verdicts without torch, executorch or mlx."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.exports import Line
from harness.arrays import BFLOAT16
from harness.compare import Status
from harness.errors import InputError
from harness.parity.archive import load, save
from harness.parity.artifacts import Artifacts
from harness.parity.evidence import Evidence
from harness.parity.judge import judge
from harness.parity.judges.golden import find_golden
from harness.parity.observation import Observation
from harness.parity.plan import Plan

KINDS: dict[str, type] = {
    "plan": Plan, "evidence": Evidence, "artifacts": Artifacts, "observation": Observation,
}  # fmt: skip

JUDGE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "executorch", "torchao", "mlx"):
            raise ImportError(f"{name} is not to be had here")

sys.meta_path.insert(0, Refuse())
from pathlib import Path
from harness.parity.archive import load
from harness.parity.artifacts import Artifacts
from harness.parity.evidence import Evidence
from harness.parity.judge import judge
from harness.parity.judges.golden import find_golden
from harness.parity.observation import Observation
from harness.parity.plan import Plan

root = Path(sys.argv[1])
kinds = {"plan": Plan, "evidence": Evidence, "artifacts": Artifacts, "observation": Observation}
values = {name: load(root / f"{name}.safetensors", kind) for name, kind in kinds.items()}
golden = find_golden(values["plan"], values["observation"].executor)
for verdict in judge(**values, golden=golden):
    print(repr(verdict))
"""


@pytest.fixture(scope="module")
def files(tiny_line: Line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("line")
    for name in KINDS:
        save(root / f"{name}.safetensors", getattr(tiny_line, name))
    return root


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and (one.tobytes() == other.tobytes())
        )
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, Path):
        return one.name == other.name
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("name", ["evidence", "observation"])
def test_a_value_comes_back_as_it_was(name: str, files: Path, tiny_line: Line) -> None:
    assert same(getattr(tiny_line, name), load(files / f"{name}.safetensors", KINDS[name]))


def test_another_process_judges_the_same_without_torch_or_mlx(files: Path, tiny_line: Line) -> None:
    values = {name: getattr(tiny_line, name) for name in KINDS}
    golden = find_golden(tiny_line.plan, tiny_line.observation.executor)
    here = [repr(verdict) for verdict in judge(**values, golden=golden)]

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, files], env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == here
    assert len(here) > 40


def test_a_path_is_kept_by_its_last_part(files: Path) -> None:
    artifacts = load(files / "artifacts.safetensors", Artifacts)
    assert str(artifacts.files["model.pte"].made.path) == "model.pte"


@dataclasses.dataclass(frozen=True)
class Sample:
    array: np.ndarray[Any, np.dtype[Any]]
    numbers: tuple[float, ...]
    status: Status
    inner: dict[str, int] | None = None


def test_bfloat16_infinities_and_enums_survive(tmp_path: Path) -> None:
    array = np.array([1.5, -2.0], BFLOAT16)
    value = Sample(array, (1.0, float("inf"), float("-inf")), Status.FAIL, {"a": 1})
    save(tmp_path / "a.safetensors", value)
    back = load(tmp_path / "a.safetensors", Sample)
    assert back.array.dtype == BFLOAT16
    assert back.array.tolist() == [1.5, -2.0]
    assert (back.numbers, back.status, back.inner) == (value.numbers, Status.FAIL, {"a": 1})


@pytest.mark.parametrize("damage", ["cut", "flip", "missing", "other kind", "text"])
def test_a_damaged_file_is_one_sentence(damage: str, tmp_path: Path, files: Path) -> None:
    path = tmp_path / "value.safetensors"
    content = (files / "plan.safetensors").read_bytes()
    kind: Any = Plan
    if damage == "cut":
        path.write_bytes(content[:100])
    elif damage == "flip":
        path.write_bytes(content[:300] + bytes([content[300] ^ 255]) + content[301:])
    elif damage == "text":
        path.write_text("[1, 2]")
    elif damage == "other kind":
        path.write_bytes(content)
        kind = Observation
    with pytest.raises(InputError, match=r"value\.safetensors"):
        load(path, kind)


def test_another_budget_judges_the_same_observation(tiny_line: Line) -> None:
    from harness.budget import COMMITTED
    from harness.budget.ledger import Ledger
    from harness.compare import Allowance

    exact = Allowance(0, 0, 0, source="this test")
    strict = dataclasses.replace(COMMITTED, ledger=Ledger({}, ()), otherwise=exact)
    values = {name: getattr(tiny_line, name) for name in KINDS}
    failed = {v.subject for v in judge(**values, budget=strict) if v.status is Status.FAIL}
    assert {"text_decoder", "predict_velocity", "codec"} <= failed
