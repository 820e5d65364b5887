"""A sweep's results are kept, put together, compared, shown and reported."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.command_line import typed
from harness.errors import InputError
from harness.zoo import Program, Request, Sweep, bugs, merged, read_sweep, run
from harness.zoo.changes import changes
from harness.zoo.page import page
from harness.zoo.reports import emitted, script, write_reports
from harness.zoo.sweep import chosen, write_sweep
from harness.zoo.trial import Outcome, Result, Verdict

X = ("torch.rand((2, 3))",)
RIGHT, WRONG = Outcome(Verdict.RIGHT), Outcome(Verdict.WRONG, "1.0 at (0,), expected 2.0")
SORT = Program(
    "aten.sort.default", "descending=True", "torch.ops.aten.sort.default(a, -1, True)", X
)
ABS = Program("aten.abs.default", "plain", "torch.ops.aten.abs.default(a)", X)


def sweep(*results: Result) -> Sweep:
    versions = {"torch": "2.13.0", "executorch": "1.5.1"}
    return Sweep(results, ("aten.item.default",), versions, "2026-01-02")


BOTH = sweep(Result(SORT, WRONG, RIGHT, "descending"), Result(ABS, RIGHT, RIGHT))


def test_a_sweep_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_sweep(BOTH, tmp_path / "zoo.json")
    assert read_sweep(tmp_path / "zoo.json") == BOTH


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zoo.json").write_text('{"programs": [{}]}')
    with pytest.raises(InputError, match="zoo --json"):
        read_sweep(tmp_path / "zoo.json")


def test_shards_are_put_together_unless_versions_differ() -> None:
    one, other = (replace(BOTH, results=(result,)) for result in BOTH.results)
    assert Counter(merged([one, other]).results) == Counter(BOTH.results)
    with pytest.raises(InputError, match="same versions"):
        merged([one, replace(other, versions={"torch": "3"})])


def test_what_became_worse_and_better_is_told() -> None:
    now = sweep(Result(SORT, RIGHT, RIGHT), Result(ABS, RIGHT, WRONG))
    found = changes(BOTH, now)
    assert len(found.better) == len(found.worse) == 1
    assert "aten.abs.default, plain, corrected: right → wrong" in found.worse[0]
    assert list(changes(BOTH, BOTH).sentences()) == ["no verdict changed"]


def test_the_page_lists_what_is_wrong_and_counts_what_is_right() -> None:
    text = page(BOTH)
    assert "| sort-descending | 1 |" in text
    assert "1.0 at (0,), expected 2.0" in text
    assert "aten.abs.default 1." in text
    assert "`aten.item.default`" in text


def test_bugs_are_grouped_by_operator_and_cure() -> None:
    again = replace(SORT, call="torch.ops.aten.sort.default(a, 0, True)")
    empty = Outcome(Verdict.CANNOT_RUN, "input 0 of forward is empty (shape (0, 3))")
    found = bugs(
        sweep(
            Result(SORT, WRONG, RIGHT, "descending"),
            Result(again, WRONG, RIGHT, "descending"),
            Result(ABS, empty, empty),
            Result(replace(ABS, target="aten.neg.default"), empty, empty),
        )
    )
    assert [(bug.name, len(bug.results)) for bug in found] == [
        ("sort-descending", 2), ("empty-input", 2),
    ]  # fmt: skip


def test_a_report_holds_all_that_upstream_needs(tmp_path: Path) -> None:
    ((_, path), (gone, nothing)) = write_reports(
        [*bugs(BOTH), *bugs(sweep(Result(ABS, WRONG, WRONG)))], BOTH, tmp_path
    )
    assert path is not None
    text = path.read_text()
    for part in (
        "# MLX: `aten.sort.default(a, -1, True)` computes something else than eager",
        "executorch 1.5.1", "expected", "_sort_handler", "backends/mlx/ops.py`, line ",
        "class SortDefaultTest(OpTestCase)", "`descending`", "SortNode(",
    ):  # fmt: skip
        assert part in text
    # what is not seen again is not reported
    assert nothing is None
    assert gone.name == "abs-wrong"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("weights", [(), ("torch.rand((3,))",)])
def test_a_script_is_short_and_needs_the_stock_wheel_alone(weights: tuple[str, ...]) -> None:
    program = replace(
        SORT, call="torch.sort(a + self.p)" if weights else SORT.call, weights=weights
    )
    text = script(program)
    compile(text, "repro.py", "exec")
    assert len(text.splitlines()) < 20
    assert "harness" not in text
    names: dict[str, object] = {}
    exec(text.partition("kept =")[0], names)  # all but lowering and running
    model: object = names["model"]
    assert callable(model)
    inputs = names["inputs"]
    assert isinstance(inputs, tuple)
    assert inputs[0].equal(program.tensors()[0])
    model(*inputs)
    compile(program.repro.test_case(), "test_ops.py", "exec")


def test_the_script_and_the_trial_have_the_same_parameters() -> None:
    program = Program("shared", "", "a @ self.p", ("torch.rand((2, 3))",), ("torch.rand((3, 3))",))
    names: dict[str, object] = {}
    exec(script(program).partition("kept =")[0], names)
    model = names["model"]
    assert model.p.equal(program.module().p)  # type: ignore[attr-defined]


def test_emitted_instructions_show_the_fault() -> None:
    assert "SortNode(" in emitted(SORT)


def test_an_operator_that_nobody_claims_is_refused() -> None:
    with pytest.raises(InputError, match="claims no operator sotr"):
        run(Request(ops=("sotr",)))


def test_the_command_line_compares_and_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    was, now = tmp_path / "was.json", tmp_path / "now.json"
    write_sweep(BOTH, was)
    write_sweep(sweep(Result(SORT, WRONG, WRONG)), now)
    compared = ("zoo", "--against", str(was), "--merge")
    assert typed(monkeypatch, *compared, str(now)) == 1
    assert "worse: aten.sort.default, descending=True, corrected" in capsys.readouterr().out
    assert typed(monkeypatch, *compared, str(was)) == 0
    assert "no verdict changed" in capsys.readouterr().out
    assert typed(monkeypatch, "zoo", "--shard", "5/4") == 2
    assert "--shard must be K/N" in capsys.readouterr().err


def test_reports_are_written_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, out = tmp_path / "zoo.json", tmp_path / "out"
    write_sweep(BOTH, kept)
    assert typed(monkeypatch, "repro", "--all", str(out), "--sweep", str(kept)) == 0
    assert [path.name for path in out.iterdir()] == ["sort-descending.md"]
    assert typed(monkeypatch, "repro", "--all", str(out), "--sweep", "no-such-file") == 2


def test_a_run_judges_its_shard_of_the_chosen_operators_in_processes() -> None:
    every, _ = chosen(("neg",), most=3)
    (found,) = run(Request(ops=("neg",), jobs=1, most=3, shard=(2, 3))).results
    assert found.program == every[1]
    assert found.stock.verdict is Verdict.RIGHT
