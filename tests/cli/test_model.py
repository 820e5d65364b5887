"""``voxtral-parity model`` on a stranger's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.command_line import run

GREEN = """
import torch

def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.SiLU()), (torch.randn(2, 8),)

class Sorted(torch.nn.Module):
    def forward(self, x):
        return torch.sort(x, descending=True)[0]

def wrong():
    return Sorted(), (torch.tensor([[1.0, 3.0, 2.0]]),)

def broken():
    raise ValueError("no weights here")

def nothing():
    return 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stranger.py"
    path.write_text(GREEN)
    return path
