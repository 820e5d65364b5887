"""Functions of the user's own that a command line names: ``MODULE:FUNCTION``."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, InputError, brief, in_a_sentence

__all__ = ["called", "load_factory"]


def load_factory(text: str) -> tuple[str, Callable[[], Any]]:
    """The function that ``MODULE:FUNCTION`` names, and its own name.

    MODULE is the path of a ``.py`` file, or the name of a module that can be imported from the
    current directory.

    Raises
    ------
    InputError
        There is no such module or function, or the module cannot be imported.
    """
    where, _, name = text.rpartition(":")
    if not where or not name.isidentifier():
        raise InputError(f"expected MODULE:FACTORY, such as model.py:make (got {brief(text)})")
    try:
        module = _from_file(Path(where)) if where.endswith(".py") else _imported(where)
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:  # `sys.exit(0)` in it would be "every verdict passed"
        raise InputError(f"{brief(where)} cannot be imported: {in_a_sentence(error)}") from error
    made = getattr(module, name, None)
    if not callable(made):
        functions = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise InputError(
            f"{brief(where)} has no function {name} (it has {', '.join(functions[:8]) or 'none'})"
        )
    return name, made


def called(factory: Callable[[], Any], text: str) -> Any:
    """What a factory makes; an `InputError` where it fails."""
    try:
        return factory()
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"the factory {brief(text)} failed: {in_a_sentence(error)}") from error


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"the file {brief(str(path))} does not exist")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent.resolve()))  # for good: functions import, too
    spec.loader.exec_module(module)
    return module


def _imported(name: str) -> Any:
    sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)
