"""A network of two layers."""

import torch


class TwoLayers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(16, 64), torch.nn.Linear(64, 16)

    def forward(self, x):
        return self.down(torch.nn.functional.silu(self.up(x)))


def test_two_layers(parity):
    torch.manual_seed(0)
    parity(TwoLayers(), (torch.randn(2, 16),))
