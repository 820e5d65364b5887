"""``voxtral-parity bundle``: pack on one machine, run on another, judge on a third."""

from __future__ import annotations

import dataclasses
import datetime
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from harness.cli import console, options
from harness.cli.faces import Faces, tell
from harness.cli.options import asked, flag, option
from harness.errors import InputError, one_of
from harness.files import check_directory, check_targets

__all__ = ["app"]

app = typer.Typer(
    help="One file that any machine can run and judge, without eager model and checkpoint.",
    no_args_is_help=True,
)

_BACKENDS = ("mlx", "xnnpack")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle.")]
Budget = Annotated[
    Path | None, option("--budget", "FILE", "Judge under this ledger, not under the bundle's own.")
]


@app.command("pack")
def bundle_pack(
    methods: options.Methods = None,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle to write.")],
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    qlinear: options.QLinear = None,
    qlinear_group_size: options.QLinearGroup = None,
    decoder_qlinear_scope: options.Scope = None,
    qembedding: options.QEmbedding = None,
    qembedding_group_size: options.QEmbeddingGroup = None,
    backend: Annotated[str, option("--backend", "B", "mlx, or xnnpack.")] = "mlx",
    max_seq_len: options.SeqLen = None,
    max_codec_frames: options.Frames = None,
    artifacts: options.Artifacts = None,
    codec_form: options.CodecForm = "conv",
    without: options.Without = None,
    fresh: options.Fresh = False,
    speak: options.Speak = True,
    local: options.Local = "some",
    text: options.Text = None,
    voice: options.Voice = None,
    seed: options.Seed = 42,
    semantics: options.Semantics = "executorch",
    taps: Annotated[
        bool, flag("--taps", "Also pack programs that name the wrong node on ExecuTorch's runtime.")
    ] = False,
    commit: Annotated[
        str | None, option("--commit", "HASH", "Git commit to name in it; GITHUB_SHA.")
    ] = None,
    golden_dir: Annotated[
        Path | None,
        option("--golden-dir", "DIR", "Also write .pte, inputs and expected outputs as .bin."),
    ] = None,
    bpte: Annotated[
        Path | None, option("--bpte", "DIR", "Also write ExecuTorch's bundled programs.")
    ] = None,
) -> None:
    """Record and export as `check` does, and write one file of all that running and judging need.

    With GITHUB_SHA in the environment, that is the commit which the bundle names.
    """
    from harness.methods import METHODS

    if str(file) in {method.name for method in METHODS}:
        raise InputError(
            f"the last word must be the file to write, and {file} is a method; name a file "
            f"behind it, such as {file}.bundle"
        )
    check_targets(file)
    if golden_dir is not None and golden_dir.exists():
        raise InputError(f"{golden_dir} exists already; name a directory that does not")
    if bpte is not None:
        check_directory(bpte)
    from harness.bundle.manifest import check_commit

    one_of("backend", backend, _BACKENDS)
    named = check_commit(os.environ.get("GITHUB_SHA", "") if commit is None else commit)
    request = asked(locals(), executor="xnnpack" if backend == "xnnpack" else "auto")
    from harness.bundle.bpte import write_bundled_programs
    from harness.bundle.golden_dir import write_golden_dir
    from harness.bundle.packing import pack, prepare

    with console.progress() as progress, TemporaryDirectory(prefix="voxtral-bundle-") as scratch:
        packed = prepare(request, progress, taps=Path(scratch) if taps else None)
        if golden_dir is not None:
            progress(f"writing {golden_dir}")
            write_golden_dir(packed.plan, packed.evidence, packed.artifacts, golden_dir)
        if bpte is not None:
            progress(f"writing {bpte}")
            write_bundled_programs(packed.plan, packed.evidence, packed.artifacts, bpte)
        progress(f"packing {file}")
        digest = pack(packed, file, commit=named)
    for wrong in packed.references.wrong:
        first = f": {wrong.findings[0].place}" if wrong.findings else ""
        console.stderr(f"{wrong.method} means something else than eager{first}; the bundle is red")
    console.stdout().print(
        f"{file}: {file.stat().st_size:,} bytes, sha256 {digest}", markup=False, soft_wrap=True
    )


@app.command("run")
def bundle_run(
    file: File,
    executor: options.Executor = "auto",
    require: options.Require = None,
    observe_only: Annotated[
        Path | None,
        option("--observe-only", "OBSERVATION", "Judge nothing; write what the executor did."),
    ] = None,
    budget: Budget = None,
    asr: options.Asr = None,
    asr_command: options.AsrCommand = None,
    allow_virtual_gpu: options.VirtualGpu = False,
    every_step: Annotated[
        bool, flag("--every-step", "Also judge each step on ExecuTorch's runtime; needs taps.")
    ] = False,
    json: options.Json = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    report_directory: options.ReportDirectory = None,
) -> None:
    """Run a bundle on this machine, and judge it unless --observe-only says where to keep it.

    Needs executorch where it runs natively, mlx elsewhere; neither eager model nor checkpoint.
    Exit codes as for `check`.
    """
    faces = Faces(json, junit, markdown, report_directory)
    faces.check()
    check_targets(observe_only)
    if observe_only is not None and (faces.any or budget is not None or asr is not None):
        raise InputError(
            "--observe-only judges nothing; leave the report's files, --budget and --asr out, and "
            "give them to `bundle judge`"
        )
    from harness.asr import Transcriber
    from harness.bundle.contents import open_bundle
    from harness.bundle.judging import judge_bundle, read_budget, report
    from harness.bundle.observing import observe_bundle, write_observation
    from harness.parity.figures import figures

    started = datetime.datetime.now(datetime.UTC)
    transcriber = Transcriber.of(asr, asr_command)
    allowed = None if budget is None else read_budget(budget)
    with console.progress() as progress, open_bundle(file) as bundle:
        bundle = bundle if allowed is None else dataclasses.replace(bundle, budget=allowed)
        made = observe_bundle(
            bundle, executor, require, progress,
            allow_virtual_gpu=allow_virtual_gpu, every_step=every_step,
        )  # fmt: skip
        if observe_only is not None:
            write_observation(made, observe_only)
            return
        progress("judging")
        checked = judge_bundle(bundle, made, transcriber=transcriber)
        told = report(bundle, made, checked, started, console.command_line())
        tell(told, faces, lambda: figures(checked))


@app.command("judge")
def bundle_judge(
    file: File,
    observation: Annotated[
        Path,
        typer.Argument(
            metavar="OBSERVATION",
            help="What `bundle run --observe-only` wrote, or a directory of output .bin files.",
        ),
    ],
    budget: Budget = None,
    asr: options.Asr = None,
    asr_command: options.AsrCommand = None,
    json: options.Json = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    report_directory: options.ReportDirectory = None,
) -> None:
    """Judge what another machine did with a bundle; needs numpy alone.

    A directory holds the outputs of a program of your own on what `pack --golden-dir` wrote. Exit
    codes as for `check`.
    """
    faces = Faces(json, junit, markdown, report_directory)
    faces.check()
    from harness.asr import Transcriber
    from harness.bundle.contents import open_bundle
    from harness.bundle.golden_dir import read_outputs
    from harness.bundle.judging import judge_bundle, read_budget, report
    from harness.bundle.observing import read_observation
    from harness.parity.figures import figures

    started = datetime.datetime.now(datetime.UTC)
    transcriber = Transcriber.of(asr, asr_command)
    allowed = None if budget is None else read_budget(budget)
    with console.progress() as progress, open_bundle(file) as bundle:
        if observation.is_dir():
            made = read_outputs(bundle, observation, progress)
        else:
            made = read_observation(observation, bundle)
        progress("judging")
        checked = judge_bundle(bundle, made, budget=allowed, transcriber=transcriber)
        told = report(bundle, made, checked, started, console.command_line())
        tell(told, faces, lambda: figures(checked))
