"""`parity`, `golden_tensor` and `golden_audio`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.outcome import CouldNotJudgeError, MismatchError, require_passed
from harness.plugin.session import KEY, Found, Session, file_name

if TYPE_CHECKING:
    from harness.anymodel import Judged
    from harness.compare import Verdict

__all__ = ["FOUND", "Goldens", "Parity"]

FOUND = pytest.StashKey[Found]()


class Parity:
    """The fixture `parity`: call it with a module and example inputs."""

    def __init__(self, session: Session, found: Found, scratch: Callable[[], Path]) -> None:
        self._session, self._found, self._scratch = session, found, scratch

    def __call__(
        self,
        module: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        calls: Sequence[Any] = (),
        examples: Sequence[Any] = (),
        dynamic_shapes: Any = None,
        ignored: Sequence[Any] = (),
        pte: str | Path | None = None,
        partial: bool = False,
        name: str = "",
        precision: str | None = None,
        without: Sequence[str] = (),
    ) -> Judged:
        """Export a module to MLX, run it, and judge it; the test fails unless all is right.

        Parameters
        ----------
        module, args, kwargs, calls, examples, dynamic_shapes, ignored, pte, partial, name
            See `harness.plugin.Model`. A `Model` may stand in the place of the module.
        precision
            As ``--parity-precision``, which it goes before.
        without
            Corrections of the lowering to leave out, so that the stock lowering is judged.

        Raises
        ------
        MismatchError
            The program is not the module.
        CouldNotJudgeError
            Nothing can be said.
        """
        __tracebackhide__ = True
        from harness.anymodel import Model, Options, judge_model, write_repros
        from harness.errors import HarnessError
        from harness.report import to_json

        chosen = self._session.chosen
        try:
            model = module if isinstance(module, Model) else Model(
                module, args, kwargs or {}, calls, examples, dynamic_shapes, ignored, pte, partial,
                name,
            )  # fmt: skip
            model = _with_file(model, chosen.artifacts)
            options = Options(
                precision or chosen.precision, chosen.executor, chosen.require, tuple(without)
            )
            judged = judge_model(model, options, command="pytest")
        except HarnessError as error:
            raise CouldNotJudgeError(f"could not be judged: {error}") from None
        except Exception as error:
            raise CouldNotJudgeError(f"could not be judged: internal error: {error!r}") from error
        self._found.reports.append(to_json(judged.report))
        repros = []
        if judged.exit_code == 1:
            repros = write_repros(judged, self._scratch())
        require_passed(model.title, judged.verdicts, repros)
        return judged

    def method(self, name: str) -> tuple[Verdict, ...]:
        """Judge one of Voxtral's six methods; the test fails unless all is right.

        ``--parity-checkpoint``, ``--parity-precision``, ``--parity-executor`` and
        ``--parity-artifacts`` say which weights, how exported, run by what. The files and eager's
        outputs are made once, and cached.
        """
        __tracebackhide__ = True
        from harness.errors import HarnessError
        from harness.report import to_json

        try:
            report = self._session.voxtral.report(name)
        except HarnessError as error:
            raise CouldNotJudgeError(f"could not be judged: {error}") from None
        self._found.reports.append(to_json(report))
        require_passed(name, report.verdicts)
        verdicts: tuple[Verdict, ...] = report.verdicts
        return verdicts


def _with_file(model: Any, directory: Path | None) -> Any:
    """The model with its file from ``--parity-artifacts``, if there is one of its name."""
    import dataclasses

    if directory is None or model.pte is not None:
        return model
    path = directory / f"{model.title}.pte"
    return dataclasses.replace(model, pte=path) if path.is_file() else model


class Goldens:
    """Judge arrays of one test against statistics that were reviewed."""

    def __init__(self, session: Session, found: Found, item: pytest.Item) -> None:
        self._session, self._found, self._item = session, found, item

    def judge(self, make: Callable[[], Any], name: str) -> None:
        """Compare what `make` returns, a `harness.plugin.goldens.Tensor` or `Audio`, with the kept.

        What no golden can be made of could not be judged.
        """
        __tracebackhide__ = True
        from harness.errors import HarnessError
        from harness.plugin.goldens import judge

        try:
            made = make()
        except HarnessError as error:
            raise CouldNotJudgeError(str(error)) from None
        parts = [self._item.nodeid.split("::", 1)[-1], *([name] if name else [])]
        path = self._item.path
        file = path.parent / "goldens" / path.stem / f"{file_name('.'.join(parts))}.json"
        self._found.goldens.append(str(file))
        chosen = self._session.chosen
        try:
            troubles = judge(file, made, self._item.nodeid, chosen.update, chosen.reason)
        except HarnessError as error:
            raise CouldNotJudgeError(str(error)) from None
        if troubles:
            command = f'pytest {path.name} --parity-update --parity-reason "…"'
            raise MismatchError("\n".join([*troubles, f"If the change is meant: {command}"]))


@pytest.fixture
def parity(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Parity:
    """Judge a module: ``parity(module, (x,))`` exports it to MLX and compares it with eager."""
    session = request.config.stash[KEY]

    def scratch() -> Path:
        if session.chosen.report is None:
            return tmp_path_factory.mktemp("repro")
        directory = session.chosen.report / "repro" / file_name(request.node.nodeid)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    return Parity(session, request.node.stash.setdefault(FOUND, Found()), scratch)


@pytest.fixture
def golden_tensor(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Judge a tensor against reviewed statistics: ``golden_tensor(y)``.

    Further arguments: `name`, where a test has several, and `rtol`, how far the RMS and any
    element may move, over the RMS.
    """
    kept = _goldens(request)

    def check(array: Any, name: str = "", *, rtol: float = 1e-5) -> None:
        __tracebackhide__ = True
        from harness.plugin.goldens import Tensor

        kept.judge(lambda: Tensor.of(array, rtol), name)

    return check


@pytest.fixture
def golden_audio(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Judge a sound against reviewed statistics: ``golden_audio(waveform, sample_rate)``."""
    kept = _goldens(request)

    def check(waveform: Any, sample_rate: int, name: str = "") -> None:
        __tracebackhide__ = True
        from harness.plugin.goldens import Audio

        kept.judge(lambda: Audio.of(waveform, sample_rate), name)

    return check


def _goldens(request: pytest.FixtureRequest) -> Goldens:
    session = request.config.stash[KEY]
    return Goldens(session, request.node.stash.setdefault(FOUND, Found()), request.node)
