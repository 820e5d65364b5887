"""``voxtral-parity check``: the main job."""

from __future__ import annotations

import datetime
from typing import Annotated

from harness.cli import console, options
from harness.cli.faces import Faces, tell
from harness.cli.options import asked, flag

__all__ = ["check"]


def check(
    methods: options.Methods = None,
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    qlinear: options.QLinear = None,
    qlinear_group_size: options.QLinearGroup = None,
    decoder_qlinear_scope: options.Scope = None,
    qembedding: options.QEmbedding = None,
    qembedding_group_size: options.QEmbeddingGroup = None,
    executor: options.Executor = "auto",
    require: options.Require = None,
    regime: options.Regime = None,
    max_seq_len: options.SeqLen = None,
    max_codec_frames: options.Frames = None,
    artifacts: options.Artifacts = None,
    codec_form: options.CodecForm = "conv",
    without: options.Without = None,
    fresh: options.Fresh = False,
    triangulate: Annotated[bool, flag("--triangulate", "Also run the methods on XNNPACK.")] = False,
    speak: options.Speak = True,
    local: options.Local = "some",
    text: options.Text = None,
    voice: options.Voice = None,
    seed: options.Seed = 42,
    asr: options.Asr = None,
    asr_command: options.AsrCommand = None,
    runner_path: options.RunnerPath = None,
    runner_timeout: options.RunnerTimeout = 3600.0,
    semantics: options.Semantics = "executorch",
    allow_virtual_gpu: options.VirtualGpu = False,
    json: options.Json = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    report_directory: options.ReportDirectory = None,
) -> None:
    """Export, run and judge methods against eager PyTorch.

    METHOD is token_embedding, audio_token_embedding, text_decoder, semantic_head,
    predict_velocity or codec. Upstream's runner cannot call one method at a time: with
    --runner-path, its speech alone is judged.

    Exit code 0: every verdict passed. 1: a mismatch. 2: could not judge.
    """
    faces = Faces(json, junit, markdown, report_directory)
    faces.check()
    request = asked(
        locals(),
        executor=executor,
        require=require,
        regime=regime,
        triangulate=triangulate,
        asr=asr,
        asr_command=asr_command,
        runner=runner_path,
        runner_timeout=runner_timeout,
        allow_virtual_gpu=allow_virtual_gpu,
    )
    from harness.compare import Status
    from harness.parity import check as walk
    from harness.parity import report
    from harness.parity.check import open_models
    from harness.parity.figures import figures

    started = datetime.datetime.now(datetime.UTC)
    with console.progress() as progress:
        checked = walk(request, progress)
        broken = [v for v in checked.verdicts if v.kind in ("exact", "local")]
        if any(verdict.status is Status.FAIL for verdict in broken):
            from harness.localize.explain import explained

            checked = explained(request, checked, open_models(request), progress, repros=faces.any)
    made = report(checked, started, console.command_line())
    tell(made, faces, lambda: figures(checked))
