"""Speed of the portable executor at the published model's widths, beside eager PyTorch."""
