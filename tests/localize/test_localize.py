"""From a fault to its node: what is broken here on purpose is what gets named."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from fixtures.exports import Line as Parity
from harness.budget import COMMITTED
from harness.compare import Status, Verdict
from harness.export import modules
from harness.localize import explain, repro
from harness.localize.explain import localize
from harness.localize.find import Line
from harness.localize.repro import write_repros
from harness.methods import select_methods
from harness.parity import Request
from harness.parity.artifacts import Artifacts, export
from harness.parity.check import Checked
from harness.parity.judges.links import judge_exact, judge_local
from harness.parity.links import observe_exact, observe_local
from harness.runtime.portable import interpreter
from harness.runtime.portable.blas import mx

UNFOLD = {"codec_form": "unfold", "without": ("adjacent-indices",)}


def line(tiny_line: Parity, artifacts: Artifacts | None = None, **options: Any) -> Line:
    plan = dataclasses.replace(tiny_line.plan, **options)
    made = artifacts or export(plan, tiny_line.models)
    return Line(plan, tiny_line.evidence, made, tiny_line.models, COMMITTED)


def test_a_right_export_has_no_wrong_node(tiny_line: Parity) -> None:
    (method,) = select_methods(["semantic_head"])
    assert localize(Request(), line(tiny_line), method) == ()


def test_torchs_warnings_about_itself_stay_off_the_screen(tiny_line: Parity) -> None:
    (method,) = select_methods(["semantic_head"])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        line(tiny_line).graph(method)
    assert not said


def test_both_wrong_lowerings_of_the_unfold_form_are_named(
    tiny_line: Parity, tmp_path: Path
) -> None:
    (codec,) = select_methods(["codec"])
    where = line(tiny_line, **UNFOLD)
    (found,) = localize(Request(), where, codec, links=("exact",))
    assert [finding.place.target for finding in found.findings] == ["aten.im2col.default"] * 2
    assert {finding.owner for finding in found.findings} == {"the lowering"}
    assert {finding.correction for finding in found.findings} == {"adjacent-indices"}
    assert "unfold" in found.findings[0].place.source or "matmul" in found.findings[0].place.source
    assert found.proved
    call = tiny_line.evidence.cases["codec"][0].case.calls[0]
    repros = write_repros(where.graph(codec), call, found.findings, where.plan.without, tmp_path)
    written = {path.name: path.read_text() for path in repros}
    assert set(written) == {
        "repro_im2col.py", "op_test_im2col.py", "repro_im2col_1.py", "op_test_im2col_1.py",
    }  # fmt: skip
    script = written["repro_im2col.py"]
    assert len(script.splitlines()) < 40
    assert "harness" not in script
    assert _exit_code(tmp_path / "repro_im2col.py") == 1


def _exit_code(script: Path) -> int:
    """Run a script where the portable executor stands in for Apple Silicon's runtime."""
    stand_in = (
        "import sys, types, runpy\n"
        "from harness.upstream import enable_mlx_exporter, quiet\n"
        "from harness.arrays import from_torch, to_torch\n"
        "from harness.runtime.portable import PortableExecutor\n"
        "from pathlib import Path\n"
        "enable_mlx_exporter()\n"
        "class Method:\n"
        "    def __init__(self, path): self.run = PortableExecutor(); self.run.load(Path(path))\n"
        "    def load_method(self, name): self.name = name; return self\n"
        "    def execute(self, inputs):\n"
        "        made = self.run.call(self.name, [from_torch(x) for x in inputs])\n"
        "        return [to_torch(x.copy()) for x in made]\n"
        "class Runtime:\n"
        "    get = classmethod(lambda cls: cls())\n"
        "    load_program = staticmethod(Method)\n"
        "fake = types.ModuleType('executorch.runtime'); fake.Runtime = Runtime\n"
        "sys.modules['executorch.runtime'] = fake\n"
        "runpy.run_path(sys.argv[1], run_name='__main__')\n"
    )
    code = [sys.executable, "-c", stand_in, str(script)]
    done = subprocess.run(code, cwd=Path(__file__).parents[2], capture_output=True, timeout=300)
    return done.returncode


def test_a_fault_of_our_wrapper_is_given_to_the_wrapper(
    tiny_line: Parity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The feed-forward half of a layer halved: the graph and the program agree, eager does not."""
    forward = modules._DecoderLayer.forward

    def wrong(self: Any, x: torch.Tensor, start: int) -> torch.Tensor:
        return forward(self, x, start) * 1.001

    monkeypatch.setattr(modules._DecoderLayer, "forward", wrong)
    found = _exported_anew(tiny_line, "text_decoder", tmp_path)
    assert [finding.owner for finding in found.findings] == ["our wrapper of the module"]
    assert found.findings[0].place.module.endswith("layers.0")


def _exported_anew(tiny_line: Parity, name: str, folder: Path) -> Any:
    from harness.export.lower import lower_to_mlx
    from harness.export.programs import PROGRAMS

    (method,) = select_methods([name])
    path = folder / method.artifact
    program = PROGRAMS[name](tiny_line.model, tiny_line.sizes)
    lower_to_mlx({method.entry: program}, {}, path)
    files = dict(tiny_line.artifacts.files)
    made = dataclasses.replace(files[method.artifact].made, path=path)
    files[method.artifact] = dataclasses.replace(files[method.artifact], made=made)
    where = line(tiny_line, Artifacts(files))
    (found,) = localize(Request(), where, method, links=("exact",))
    return found


@pytest.mark.parametrize("kind", ["SiluNode", "SoftmaxNode"])
def test_a_wrong_kernel_is_named_and_proved(
    tiny_line: Parity, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (method,) = select_methods(["predict_velocity"])
    right = interpreter.OPS[kind]
    monkeypatch.setitem(interpreter.OPS, kind, lambda n, s: right(n, s) * mx.array(1.001))
    (found,) = localize(Request(), line(tiny_line), method, links=("local",))
    assert {finding.place.op for finding in found.findings} == {kind}
    assert len(found.findings) == 2
    assert found.proved
    first = found.findings[0].place
    assert first.module.startswith("flow_head.layers.0")
    assert first.target.startswith("aten.")
    assert first.source.startswith("model.py, line ")


def test_both_links_of_a_right_export_are_green(tiny_line: Parity) -> None:
    plan = dataclasses.replace(tiny_line.plan, speaks=False)
    exact = observe_exact(plan, tiny_line.evidence, tiny_line.artifacts)
    for method in plan.selected:
        verdict = judge_exact(
            method.name,
            tiny_line.evidence.exact[method.name],
            exact[method.name],
            COMMITTED.exact,
            "",
        )
        assert verdict.status is Status.PASS
        executor: Any = tiny_line.executor(method.artifact)
        items = tiny_line.evidence.cases[method.name]
        seen = observe_local(plan, method, items, executor, {})
        assert judge_local(method, seen, COMMITTED.local).status is Status.PASS


def test_a_stale_kv_cache_is_seen_at_the_step_that_writes_it(
    tiny_line: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    (method,) = select_methods(["text_decoder"])
    monkeypatch.setitem(interpreter.OPS, "SliceUpdateNode", lambda n, s: s.tensor(n.dst))
    (found,) = localize(Request(), line(tiny_line), method, links=("local",))
    assert found.findings[0].place.op == "SliceUpdateNode"


def test_a_script_that_cannot_be_made_leaves_what_was_found(
    tiny_line: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unspeakable(*arguments: object) -> None:
        raise NameError("name 'device' is not defined")

    monkeypatch.setattr(repro, "_repros", unspeakable)
    monkeypatch.setitem(interpreter.OPS, "SiluNode", lambda n, s: s.tensor(n.x))
    (method,) = select_methods(["predict_velocity"])
    broken = Verdict(method.name, "each step", "local", Status.FAIL, "wrong")
    where = line(tiny_line)
    checked = Checked(where.plan, where.evidence, where.artifacts, tiny_line.observation, (broken,))
    told = explain.explained(Request(), checked, where.models, repros=True)
    assert told.findings[0].findings[0].place.op == "SiluNode"
    assert told.findings[0].findings[0].repro == ""
    assert told.verdicts[0].metrics["op"] == "SiluNode"
