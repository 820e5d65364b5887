"""A virtual machine's GPU judges nothing unless it is allowed to."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from harness.compare import Status
from harness.errors import UnavailableError
from harness.fingerprint import Fingerprint
from harness.parity import Request, check
from harness.runtime.portable import PortableExecutor


class Virtual(PortableExecutor):
    @property
    def fingerprint(self) -> Fingerprint:
        return dataclasses.replace(super().fingerprint, device="Apple M1 (Virtual)", virtual=True)


def test_a_virtual_gpu_is_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["harness.parity.check"], "choose", lambda *given: Virtual())

    with pytest.raises(UnavailableError, match=r"M1 \(Virtual\).*--allow-virtual-gpu"):
        check(Request(methods=("semantic_head",)))
    found = check(Request(methods=("semantic_head",), allow_virtual_gpu=True))

    assert found.observation.executor.virtual
    assert {verdict.status for verdict in found.verdicts} == {Status.PASS}
