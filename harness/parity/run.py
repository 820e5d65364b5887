"""From a checkpoint to a report: the main job's one line of work."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.asr import Transcriber
from harness.budget.tolerances import FLOOR_SOURCE, floor
from harness.checkpoint import Checkpoint, open_checkpoint
from harness.compare import Status, Verdict
from harness.compare.sqnr import judge_sqnr
from harness.export.artifacts import Artifact, ExportOptions, export_artifact, given_artifact
from harness.methods import CODEC, MODEL, Dimensions, Method, select_methods
from harness.methods.precision import FP32, Precision, parse_precision
from harness.parity import facts
from harness.parity.declared import declared_size
from harness.parity.evidence import EagerRun, Evidence, Script, gather, replay_speech
from harness.parity.judge import (
    judge_coverage,
    judge_delegation,
    judge_evidence,
    judge_steps,
    unlowered,
)
from harness.parity.keep import kept_run
from harness.parity.quantization import judge_quantization
from harness.parity.request import (
    CAPACITIES,
    MOST_FRAMES,
    SEED,
    UPSTREAM_CAPACITIES,
    VOICE,
    Request,
)
from harness.pte.coverage import delegation
from harness.report import Report
from harness.runtime.protocol import Executor
from harness.runtime.select import choose
from harness.synthesis import Speech
from harness.upstream import quiet

if TYPE_CHECKING:
    from executorch.examples.models.voxtral_tts.model import VoxtralTTSModel

    from harness.reference.eager import EagerModel

__all__ = ["Parity"]

BACKEND_NAMES = {"mlx": "MLX", "xnnpack": "XNNPACK"}


class Parity:
    """One checkpoint's eager run, its artifacts, and their judgement; parts are made on demand.

    Parameters
    ----------
    request
        What to judge.
    progress
        Called with one line a step.

    Attributes
    ----------
    made, loaded
        The artifacts and the executors so far, by the file's name.
    """

    def __init__(
        self, request: Request, progress: Callable[[str], None] = lambda text: None
    ) -> None:
        self.request = request
        self.progress = progress
        self.made: dict[str, Artifact] = {}
        self.loaded: dict[str, Executor] = {}
        self.methods = select_methods(request.methods)
        self.precision = parse_precision(request.precision)

    # --- what eager did --------------------------------------------------------------------

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, opened and its tensors checked by name and shape."""
        self.progress(f"opening checkpoint {self.request.checkpoint}")
        return open_checkpoint(self.request.checkpoint, self.progress)

    @cached_property
    def sizes(self) -> Dimensions:
        """Dimensions of the artifacts: as asked for, as given files say, or as usual."""
        seq_len, frames = CAPACITIES.get(self.checkpoint.name, UPSTREAM_CAPACITIES)
        request = self.request
        if request.artifacts is not None:
            if request.max_seq_len is None:
                seq_len = declared_size(request.artifacts, MODEL, "max_seq_len")
            if request.max_codec_frames is None:
                frames = declared_size(request.artifacts, CODEC, "max_codec_frames")
        return Dimensions.of(
            self.checkpoint.config,
            max_seq_len=request.max_seq_len or seq_len,
            max_codec_frames=request.max_codec_frames or frames,
        )

    @cached_property
    def model(self) -> VoxtralTTSModel:
        """Upstream's eager model in the precision asked for, which is also what gets exported."""
        model = self._load(self.precision.float_type)
        if self.precision.quantized:
            from harness.export.quantize import quantize_in_place

            quantize_in_place(model, self.precision, self.checkpoint.digest, self.progress)
        return model

    @cached_property
    def mapped_model(self) -> VoxtralTTSModel:
        """The model in fp32 that takes little memory: it runs, and its codec can be exported."""
        return self._load(FP32.float_type, mapped=True)

    def _load(self, float_type: str, *, mapped: bool = False) -> VoxtralTTSModel:
        self.progress("loading the eager model")
        with quiet():
            from harness.checkpoint.loading import load_model

            return load_model(
                self.checkpoint,
                max_seq_len=self.sizes.max_seq_len,
                dtype=float_type,
                mapped=mapped,
            )

    @cached_property
    def eager(self) -> EagerModel:
        """The reference: upstream's eager model behind the executor's shape."""
        model = self.mapped_model if self.precision == FP32 else self.model
        from harness.reference.eager import EagerModel

        return EagerModel(model)

    @cached_property
    def voice(self) -> str:
        """Upstream's default voice where the checkpoint has it, else its first."""
        voices = self.checkpoint.voices()
        return VOICE if VOICE in voices or not voices else voices[0]

    @cached_property
    def eager_run(self) -> EagerRun:
        """What the eager model said and did, from the cache if it did so before."""
        script = self.script

        def make() -> EagerRun:
            self.progress(f"eager speaks: {script.text[:60]}")
            return gather(
                self.eager, self.checkpoint, self.sizes, script, self.precision.float_type
            )

        return kept_run(
            self.checkpoint.digest,
            self.sizes,
            script,
            asdict(self.precision),
            make,
            fresh=self.request.fresh,
        )

    @property
    def script(self) -> Script:
        """What eager, and then the executor, is asked to say."""
        frames = MOST_FRAMES.get(self.checkpoint.name, self.sizes.max_codec_frames)
        return Script(self.request.text, self.voice, SEED, frames)

    @cached_property
    def ear(self) -> Transcriber | None:
        """Who listens to the whole path, if anybody."""
        return Transcriber.of(self.request.asr, self.request.asr_command)

    @cached_property
    def fp32_run(self) -> EagerRun:
        """What eager in fp32 makes of the recorded calls of the precision judged."""

        def make() -> EagerRun:
            run = self.eager_run
            model = self.mapped_model
            from harness.reference.eager import EagerModel

            self.progress("replaying the speech in fp32")
            return replay_speech(EagerModel(model), run)

        return kept_run(
            self.checkpoint.digest,
            self.sizes,
            self.script,
            {**asdict(self.precision), "replayed in": "fp32"},
            make,
            fresh=self.request.fresh,
            progress=self.progress,
        )

    @property
    def speech(self) -> Speech:
        """What the eager model said: codes, waveform and how close its choices were."""
        return self.eager_run.speech

    def evidence(self, method: Method) -> tuple[Evidence, ...]:
        """Every case of one method, with eager's outputs."""
        return self.eager_run.evidence[method.name]

    # --- what is judged --------------------------------------------------------------------

    @property
    def backend(self) -> str:
        """What artifacts are lowered to: the executor decides."""
        return "xnnpack" if "xnnpack" in (self.request.executor, self.request.require) else "mlx"

    @property
    def allowance(self) -> str:
        """Which of a method's allowances applies."""
        prefix = "" if self.backend == "mlx" else f"{self.backend}/"
        return f"{prefix}{self.precision.allowance}"

    def artifact(self, name: str) -> Artifact:
        """One of the two files, given or exported."""
        if name not in self.made:
            request = self.request
            if request.artifacts is not None:
                self.made[name] = given_artifact(request.artifacts, name)
            else:
                self.made[name] = export_artifact(
                    name,
                    self._to_export(name),
                    self.sizes,
                    ExportOptions(
                        self._precision_of(name), request.codec_form, request.without, self.backend
                    ),
                    weights=self.checkpoint.digest,
                    voice=self.checkpoint.voice_file(self.voice),
                    fresh=request.fresh,
                    progress=self.progress,
                )
        return self.made[name]

    def _to_export(self, name: str) -> Callable[[], VoxtralTTSModel]:
        if name == CODEC and self.precision == FP32:
            return lambda: self.mapped_model
        return lambda: self.model

    def _precision_of(self, name: str) -> Precision:
        """The codec is never quantised: precisions of one type share one file of it."""
        return self.precision if name == MODEL else Precision(self.precision.base)

    def executor(self, name: str) -> Executor:
        """An executor with artifact `name` loaded."""
        if name not in self.loaded:
            executor = choose(self.request.executor, self.request.require)
            self.progress(f"loading {name} on the {executor.fingerprint.executor} executor")
            executor.load(self.artifact(name).path)
            self.loaded[name] = executor
        return self.loaded[name]

    def close(self) -> None:
        """Release the executors, child processes and all."""
        for executor in self.loaded.values():
            executor.close()
        self.loaded.clear()

    def judge(self, method: Method) -> list[Verdict]:
        """Every verdict on one method."""
        artifact = self.artifact(method.artifact)
        if method.name in artifact.failures:
            reason = artifact.failures[method.name]
            return [unlowered(method, reason, BACKEND_NAMES[self.backend])]
        judge_split = judge_delegation if self.backend == "mlx" else judge_coverage
        delegated = judge_split(method, delegation(artifact.path))
        if delegated.status is Status.UNJUDGED:
            return [delegated]
        executor = self.executor(method.artifact)
        self.progress(f"judging {method.name}")
        found = [delegated]
        evidence = self.evidence(method)
        for item in evidence:
            found.append(judge_evidence(method, item, executor, self.sizes, self.allowance))
        found += self._judge_precision(method, artifact.path)
        if method.stateful:
            found.append(
                judge_steps(method, evidence[0].case, executor, self.sizes, self.allowance)
            )
        return found

    def _judge_precision(self, method: Method, path: Path) -> list[Verdict]:
        """Whether weights are quantised as asked, and what the precision costs against fp32."""
        found = []
        if self.precision.quantized and self.backend == "mlx":  # XNNPACK gets the values as floats
            found.append(judge_quantization(method, path, self.checkpoint, self.precision))
        least = floor(method.name, self.precision)
        if least is not None:
            width, decibels = least
            narrow, wide = (run.evidence[method.name][0] for run in (self.eager_run, self.fp32_run))
            case = f"{width} weights vs fp32" if width.endswith("w") else f"{width} vs fp32"
            pairs = list(zip(narrow.outputs, wide.outputs, strict=True))
            found.append(judge_sqnr(method.name, case, pairs, decibels, FLOOR_SOURCE))
        return found

    # --- all of it -------------------------------------------------------------------------

    def report(self, command: str = "") -> Report:
        """Judge every requested method, and the golden where one is kept."""
        started = datetime.datetime.now(datetime.timezone.utc)
        _ = self.ear  # a recogniser that is not here is told before the work
        from harness.parity.everything import judge_everything

        verdicts, executor = judge_everything(self)
        return Report(
            tool_version=facts.tool_version(),
            started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            seconds=(datetime.datetime.now(datetime.timezone.utc) - started).total_seconds(),
            command=command,
            checkpoint=facts.checkpoint_facts(self.checkpoint),
            precision=self.precision.name,
            executor=executor,
            artifacts=tuple(map(facts.artifact_facts, self.made.values())),
            reference=facts.reference(self.request.codec_form, self.request.without),
            verdicts=tuple(verdicts),
        )
