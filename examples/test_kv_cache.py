"""One attention layer with a KV cache: a prefill, then single steps in the state that it left."""

import torch
from torch.export import Dim
from torch.nn.functional import scaled_dot_product_attention


class Decoder(torch.nn.Module):
    def __init__(self, dim=32, heads=2, capacity=16):
        super().__init__()
        self.heads, self.capacity = heads, capacity
        self.qkv, self.out = torch.nn.Linear(dim, 3 * dim), torch.nn.Linear(dim, dim)
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(1, capacity, dim))

    def forward(self, x, positions):
        q, k, v = self.qkv(x).chunk(3, -1)
        self.keys.index_copy_(1, positions, k)
        self.values.index_copy_(1, positions, v)
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, self.keys, self.values)
        )
        seen = torch.arange(self.capacity) <= positions[:, None]
        made = scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.out(made.transpose(1, 2).flatten(2))


def test_decoder(parity):
    torch.manual_seed(0)
    prompt = torch.randn(1, 5, 32), torch.arange(5)
    step = torch.randn(1, 1, 32), torch.tensor([5])
    length = Dim("length", min=1, max=16)
    parity(Decoder(), prompt, calls=[step], dynamic_shapes=({1: length}, {0: length}))
