"""What is in a `.pte`: read as data (`reading`), printed (`console`), or written (`jsonfile`).

Works on files of any backend; MLX delegates are opened down to their instructions. Imports neither
torch nor mlx.
"""

from __future__ import annotations

from harness.pte.inspection.console import print_contents
from harness.pte.inspection.jsonfile import to_json
from harness.pte.inspection.model import Contents
from harness.pte.inspection.reading import read_contents

__all__ = ["Contents", "print_contents", "read_contents", "to_json"]
