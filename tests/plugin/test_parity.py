"""The fixture `parity` as a stranger uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from harness.methods.precision import PRECISIONS
from harness.plugin import options
from harness.report import to_json
from harness.runtime.select import NAMES
from tests.report.test_gate import report

Run = Callable[..., pytest.RunResult]

TEN_LINES = """
import torch

class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(8, 16), torch.nn.Linear(16, 8)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))

def test_mlp(parity):
    parity(Mlp(), (torch.ones(2, 8) * torch.arange(8),))
"""

RED = """
import torch

class Sorted(torch.nn.Module):
    def forward(self, x):
        return torch.sort(x, descending=True)[0]

def test_sorted(parity):
    parity(Sorted(), (torch.tensor([[1.0, 3.0, 2.0]]),), without=["descending"])
"""

UNJUDGED = """
import torch

def test_linear(parity):
    parity(torch.nn.Linear(8, 8), (torch.ones(2, 7),))
"""


def test_green_red_and_could_not_judge(pytester: pytest.Pytester, stranger: Run) -> None:
    pytester.makepyfile(test_one=TEN_LINES, test_two=RED, test_three=UNJUDGED)
    result = stranger("--parity-executor", "portable", "--parity-report", "found", "-v")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    # The order is that of pytest: errors before failures.
    result.stdout.fnmatch_lines(
        [
            "test_one.py::test_mlp PASSED*",
            "test_three.py::test_linear ERROR*",
            "test_two.py::test_sorted FAILED*",
            "E *could not be judged: Linear itself fails*",
            "E *MismatchError: Sorted: the lowering is at fault, at aten.sort.default (*, line *",
            "E *FAIL Sorted * in float64: means something else than eager*",
            "E *equals what is meant*",
            "E *repro: *repro_sort.py",
            "parity report: *report.json",
        ]
    )
    assert "torch.__trace" not in result.stdout.str()
    assert list(pytester.path.glob("found/repro/*/repro_sort.py"))
    told = json.loads((pytester.path / "found" / "report.json").read_text())
    assert told["exit_code"] == 1
    assert {verdict["subject"] for verdict in told["verdicts"]} == {"Mlp", "Sorted"}


FOUND = """
from pathlib import Path

def test_one(parity):
    parity._found.reports.append(Path("kept.json").read_text())
    Path("found/report.json").mkdir(parents=True)
"""


def test_a_report_that_cannot_be_written_is_one_sentence(
    pytester: pytest.Pytester, stranger: Run
) -> None:
    pytester.makepyfile(FOUND)
    (pytester.path / "kept.json").write_text(to_json(report("portable")))
    result = stranger("--parity-report", "found")
    result.assert_outcomes(passed=1)
    assert result.ret == 2
    result.stdout.fnmatch_lines(["error: cannot write *found/report.json: it is a directory*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_missing_executor_is_an_error(pytester: pytest.Pytester, stranger: Run) -> None:
    from harness.runtime.native import why_not

    if why_not() is None:
        pytest.skip("this machine has the native executor")
    pytester.makepyfile(TEN_LINES)
    result = stranger("--parity-require", "native")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*native executor is not available*"])


def test_precision_and_files_of_others(pytester: pytest.Pytester, stranger: Run) -> None:
    import torch

    from harness.plugin import corrected

    class Gelu(torch.nn.Module):  # what the file holds is another model
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.gelu(x)

    with corrected():
        from executorch.backends.mlx import MLXPartitioner
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

        edge = to_edge_transform_and_lower(
            torch.export.export(Gelu(), (torch.ones(2, 8, dtype=torch.bfloat16),)),
            partitioner=[MLXPartitioner()],
            compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
        )
    (pytester.path / "build").mkdir()
    (pytester.path / "build" / "Held.pte").write_bytes(edge.to_executorch().buffer)
    pytester.makepyfile(test_one=TEN_LINES, test_two=TEN_LINES.replace("Mlp", "Held"))
    chosen = ("--parity-precision", "bf16", "--parity-artifacts", "build")
    result = stranger(*chosen, "--parity-report", "found", "-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["test_one.py::test_mlp PASSED*", "*the export that made the file*"]
    )
    told = json.loads((pytester.path / "found" / "report.json").read_text())
    assert told["precision"] == "bf16"


@pytest.mark.slow
def test_workers_send_what_they_found(pytester: pytest.Pytester, alone: Run) -> None:
    pytester.makepyfile(test_one=TEN_LINES, test_two=RED, test_three=UNJUDGED)
    result = alone("-n", "2", "--parity-report", "found")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    told = json.loads((pytester.path / "found" / "report.json").read_text())
    assert {verdict["subject"] for verdict in told["verdicts"]} == {"Mlp", "Sorted"}


def test_a_run_without_the_fixtures_imports_no_framework() -> None:
    script = (
        "import sys, pytest\n"
        "pytest.main(['--co', '-q', '-p', 'harness.plugin.hooks', '--version'])\n"
        "import harness.plugin.hooks\n"
        "sys.exit(bool({'torch', 'numpy', 'mlx', 'executorch'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--parity-executor", "fast"], "--parity-executor must be one of auto, native"),
        (["--parity-precision", "fp8"], "--parity-precision must be one of fp32, bf16"),
        (["--parity-artifacts", "absent"], "--parity-artifacts must be a directory"),
        (["--parity-update"], "--parity-update needs --parity-reason"),
        (["--parity-reason", "because it is so"], "--parity-reason needs --parity-update"),
    ],
)
def test_bad_options_are_refused(stranger: Run, arguments: list[str], told: str) -> None:
    result = stranger(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert told in result.stderr.str() + result.stdout.str()


def test_the_options_are_those_of_the_harness() -> None:
    assert set(options.TYPES) == set(PRECISIONS)
    assert set(options.EXECUTORS) == set(NAMES) - {"xnnpack"}
