"""What the documents tell a reader to type exists: commands, options, sessions, files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from harness.cli.commands import COMMANDS
from tests.hostile import commands

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param.read_text(encoding="utf-8"))


def test_commands_and_their_options_exist(text: str) -> None:
    known: dict[str, set[str]] = {}
    for kind in ("path", "number", "word", "switch"):
        for parameter in commands.parameters(kind):
            known.setdefault(parameter.command.split()[0], set()).update(parameter.flags)
    for line in re.findall(r"voxtral-parity ([a-z][^`\n#│]*)", text):
        command = line.split()[0].rstrip(".,:;")
        assert command in COMMANDS, line
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", line):
            assert flag in known.get(command, set()), line


def test_sessions_exist(text: str) -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list
    }
    for name in re.findall(r"nox\s-s\s([a-z0-9]+)", text):
        assert name in sessions


def test_links_lead_somewhere(text: str, request: pytest.FixtureRequest) -> None:
    document: Path = request.node.callspec.params["text"]
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / target).exists(), target
