"""A Llama of transformers, tiny, with weights drawn on the spot; prompts of several lengths."""

import pytest
import torch
from torch.export import Dim

from harness.plugin import Call

transformers = pytest.importorskip("transformers")


def test_llama(parity):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    parity(
        transformers.LlamaForCausalLM(config),
        kwargs={"input_ids": torch.arange(8)[None], "use_cache": False},
        examples=[[Call(input_ids=torch.arange(3)[None], use_cache=False)]],
        dynamic_shapes={"input_ids": {1: Dim("tokens", min=2, max=64)}, "use_cache": None},
    )
