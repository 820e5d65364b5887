"""docs/any-model.md tells what there is."""

from __future__ import annotations

import re
from pathlib import Path

from harness.plugin import corrections

TEXT = (Path(__file__).parents[2] / "docs" / "any-model.md").read_text(encoding="utf-8")


def test_each_correction_is_listed_with_what_it_cures() -> None:
    for name, wrong in corrections().items():
        assert f"| `{name}` | {' '.join(wrong.split())} |" in TEXT


def test_every_option_is_told() -> None:
    from harness.plugin import options

    declared = set(re.findall(r'"(--parity-[a-z]+)"', Path(options.__file__).read_text()))
    assert declared <= set(re.findall(r"--parity-[a-z]+", TEXT))
