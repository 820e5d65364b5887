"""The architectures: which classes of transformers, in which tiny configurations.

Sizes are shared: a configuration takes those of `SIZES` whose names it knows, then its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import InputError, brief
from harness.zoo.architectures.architecture import SIZES, Architecture, family

__all__ = ["CATALOG", "named"]

_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}

_LATENT = {
    "num_key_value_heads": 4,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}

_DECODERS = family(
    "decoder",
    ("apertus", "ApertusForCausalLM"),
    ("biogpt", "BioGptForCausalLM"),
    ("bloom", "BloomForCausalLM"),
    ("codegen", "CodeGenForCausalLM", {"rotary_dim": 4}),
    ("cohere2", "Cohere2ForCausalLM", {"sliding_window": 4}),
    ("deepseek_v2", "DeepseekV2ForCausalLM", _LATENT),
    ("deepseek_v3", "DeepseekV3ForCausalLM", _LATENT),
    ("exaone4", "Exaone4ForCausalLM"),
    ("falcon", "FalconForCausalLM", {"head_dim": ...}),
    ("falcon_mamba", "FalconMambaForCausalLM", {"state_size": 4}),
    ("gemma2", "Gemma2ForCausalLM", {"sliding_window": 4}),
    ("gemma3_text", "Gemma3ForCausalLM"),
    ("glm4", "Glm4ForCausalLM"),
    ("gpt2", "GPT2LMHeadModel"),
    ("gpt_bigcode", "GPTBigCodeForCausalLM"),
    ("gpt_neo", "GPTNeoForCausalLM", {"attention_types": [[["global", "local"], 1]]}),
    ("gpt_neox", "GPTNeoXForCausalLM"),
    ("gpt_oss", "GptOssForCausalLM", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    ("gptj", "GPTJForCausalLM", {"rotary_dim": 4}),
    (
        "jamba",
        "JambaForCausalLM",
        {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 4,
            "mamba_d_state": 4,
            "mamba_dt_rank": 4,
        },
    ),
    ("lfm2", "Lfm2ForCausalLM", {"layer_types": ["conv", "full_attention"]}),
    ("llama", "LlamaForCausalLM"),
    ("llama/left-padded", "LlamaForCausalLM", {}, {}, -2),
    ("mamba", "MambaForCausalLM", {"state_size": 4}),
    ("mamba2", "Mamba2ForCausalLM", {"state_size": 4, "num_heads": 8, "n_groups": 2}),
    ("mistral", "MistralForCausalLM", {"sliding_window": 4}),
    ("mixtral", "MixtralForCausalLM", {"num_local_experts": 4}),
    ("mpt", "MptForCausalLM"),
    ("nemotron", "NemotronForCausalLM"),
    ("olmo2", "Olmo2ForCausalLM"),
    ("opt", "OPTForCausalLM", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    ("persimmon", "PersimmonForCausalLM"),
    ("phi", "PhiForCausalLM"),
    ("phi3", "Phi3ForCausalLM"),
    ("qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "Qwen3ForCausalLM"),
    ("qwen3_moe", "Qwen3MoeForCausalLM", _MOE),
    (
        "qwen3_next",
        "Qwen3NextForCausalLM",
        {
            **_MOE,
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "shared_expert_intermediate_size": 16,
        },
    ),
    (
        "recurrent_gemma",
        "RecurrentGemmaForCausalLM",
        {"block_types": ["recurrent", "attention"], "lru_width": 32},
    ),
    ("rwkv", "RwkvForCausalLM"),
    ("stablelm", "StableLmForCausalLM"),
    ("xglm", "XGLMForCausalLM", {"ffn_dim": 64}),
    generates=True,
)

_BOTH_POSITIONS = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}

_ENCODERS = family(
    "encoder",
    ("albert", "AlbertModel", {"embedding_size": 16}),
    ("bert", "BertModel"),
    ("bert/padded", "BertModel", {}, {}, 2),
    ("big_bird", "BigBirdModel", {"attention_type": "original_full"}),
    ("canine", "CanineModel"),
    ("convbert", "ConvBertModel", {"embedding_size": 32}),
    ("deberta", "DebertaModel", _BOTH_POSITIONS),
    ("deberta-v2", "DebertaV2Model", _BOTH_POSITIONS),
    ("distilbert", "DistilBertModel", {"hidden_dim": 64}),
    ("electra", "ElectraModel", {"embedding_size": 16}),
    ("esm", "EsmModel", {"position_embedding_type": "rotary"}),
    ("fnet", "FNetModel"),
    ("funnel", "FunnelBaseModel", {"num_hidden_layers": ..., "block_sizes": [1, 1]}),
    ("longformer", "LongformerModel", {"attention_window": 4}),
    ("mobilebert", "MobileBertModel", {"embedding_size": 32, "intra_bottleneck_size": 16}),
    ("modernbert", "ModernBertModel", {"local_attention": 4}),
    ("modernbert/padded", "ModernBertModel", {"local_attention": 4}, {}, 4),
    ("mpnet", "MPNetModel"),
    ("nystromformer", "NystromformerModel", {"num_landmarks": 2, "segment_means_seq_len": 6}),
    ("roberta", "RobertaModel"),
    ("roformer", "RoFormerModel"),
    ("squeezebert", "SqueezeBertModel", {"embedding_size": 32}),
    ("xlnet", "XLNetModel", {"max_position_embeddings": ..., "d_inner": 64, "d_head": 8}),
    generates=False,
)

_ENCODER_DECODERS = family(
    "encoder-decoder",
    ("bart", "BartForConditionalGeneration"),
    ("bigbird_pegasus", "BigBirdPegasusForConditionalGeneration"),
    ("led", "LEDForConditionalGeneration", {"attention_window": 4}),
    ("longt5", "LongT5ForConditionalGeneration", {"local_radius": 3}),
    ("m2m_100", "M2M100ForConditionalGeneration"),
    ("marian", "MarianMTModel"),
    ("pegasus", "PegasusForConditionalGeneration"),
    (
        "prophetnet",
        "ProphetNetForConditionalGeneration",
        {"num_hidden_layers": ..., "num_encoder_layers": 2},
    ),
    ("switch_transformers", "SwitchTransformersForConditionalGeneration", {"num_experts": 4}),
    ("t5", "T5ForConditionalGeneration", {"decoder_start_token_id": 1}),
    ("umt5", "UMT5ForConditionalGeneration"),
    generates=True,
)

_STAGES = {"num_hidden_layers": ..., "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}

_HEADS = {**_STAGES, "num_attention_heads": [1, 2, 2, 4]}

_WINDOWS = {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2}

_VISION = family(
    "vision",
    ("beit", "BeitModel"),
    ("bit", "BitModel", {**_STAGES, "embedding_size": 8, "num_groups": 4}),
    (
        "clip",
        "CLIPModel",
        {"text_config": SIZES, "vision_config": {**SIZES, "patch_size": 8}},
        {"ids input_ids": (2, 6), "pixel_values": (1, 3, 32, 32)},
    ),
    ("convnext", "ConvNextModel", {**_STAGES, "patch_size": 4}),
    ("convnextv2", "ConvNextV2Model", {**_STAGES, "patch_size": 4}),
    ("data2vec-vision", "Data2VecVisionModel"),
    ("deit", "DeiTModel"),
    ("dinov2", "Dinov2Model"),
    ("dinov3_vit", "DINOv3ViTModel"),
    (
        "efficientnet",
        "EfficientNetModel",
        {"width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 128},
    ),
    ("focalnet", "FocalNetModel", {"embed_dim": 8, "depths": [1, 1], "hidden_sizes": [8, 16]}),
    (
        "hiera",
        "HieraModel",
        {"image_size": [32, 32], "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
    ),
    (
        "levit",
        "LevitModel",
        {"hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1]},
        {"pixel_values": (1, 3, 64, 64)},
    ),
    ("mobilenet_v1", "MobileNetV1Model", {"depth_multiplier": 0.25}),
    ("mobilenet_v2", "MobileNetV2Model", {"depth_multiplier": 0.25}),
    (
        "mobilevit",
        "MobileViTModel",
        {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 32]},
        {"pixel_values": (1, 3, 64, 64)},
    ),
    ("poolformer", "PoolFormerModel", {**_STAGES, "patch_size": 16}),
    ("pvt", "PvtModel", _HEADS),
    ("regnet", "RegNetModel", {**_STAGES, "embedding_size": 8, "groups_width": 4}),
    ("resnet", "ResNetModel", {**_STAGES, "embedding_size": 8}),
    ("segformer", "SegformerModel", _HEADS),
    ("siglip_vision_model", "SiglipVisionModel"),
    ("swin", "SwinModel", {**_WINDOWS, "patch_size": 4}),
    ("swinv2", "Swinv2Model", {**_WINDOWS, "patch_size": 4}),
    ("vit", "ViTModel"),
    ("vit_mae", "ViTMAEModel", {}, {"pixel_values": (1, 3, 32, 32), "noise": (1, 16)}),
    ("yolos", "YolosModel", {"image_size": [32, 32]}),
    generates=False,
)

_AUDIO = family(
    "audio",
    (
        "audio-spectrogram-transformer",
        "ASTModel",
        {"max_length": 32, "num_mel_bins": 16, "frequency_stride": 8, "time_stride": 8},
        {"input_values": (1, 32, 16)},
    ),
    (
        "dac",
        "DacModel",
        {
            "encoder_hidden_size": 8,
            "decoder_hidden_size": 32,
            "hidden_size": 32,
            "downsampling_ratios": [2, 2],
            "upsampling_ratios": [2, 2],
            "n_codebooks": 2,
            "codebook_size": 16,
            "codebook_dim": 4,
        },
        {"input_values": (1, 1, 64)},
    ),
    ("data2vec-audio", "Data2VecAudioModel"),
    (
        "encodec",
        "EncodecModel",
        {
            "num_filters": 4,
            "hidden_size": 16,
            "upsampling_ratios": [4, 2],
            "codebook_size": 16,
            "codebook_dim": 16,
            "num_lstm_layers": 1,
        },
        {"input_values": (1, 1, 320)},
    ),
    ("hubert", "HubertModel"),
    (
        "mimi",
        "MimiModel",
        {
            "num_filters": 4,
            "upsampling_ratios": [4, 2],
            "upsample_groups": 32,
            "codebook_dim": 8,
            "vector_quantization_hidden_dimension": 8,
            "num_quantizers": 4,
            "codebook_size": 16,
            "sliding_window": 8,
        },
        {"input_values": (1, 1, 320)},
    ),
    ("sew", "SEWModel"),
    ("unispeech", "UniSpeechModel"),
    ("wav2vec2", "Wav2Vec2Model"),
    (
        "wav2vec2-bert",
        "Wav2Vec2BertModel",
        {"feature_projection_input_dim": 16, "conv_depthwise_kernel_size": 5},
        {"input_features": (1, 12, 16)},
    ),
    ("wav2vec2-conformer", "Wav2Vec2ConformerModel", {"conv_depthwise_kernel_size": 5}),
    ("wavlm", "WavLMModel"),
    generates=False,
)

_LISTENERS = family(
    "audio",
    (
        "speech_to_text",
        "Speech2TextForConditionalGeneration",
        {
            "input_feat_per_channel": 8,
            "conv_channels": 16,
            "max_source_positions": 32,
            "max_target_positions": 32,
        },
        {"input_features": (1, 16, 8)},
    ),
    (
        "whisper",
        "WhisperForConditionalGeneration",
        {"num_mel_bins": 8, "max_source_positions": 16, "max_target_positions": 32},
        {"input_features": (1, 8, 32)},
    ),
    generates=True,
)

CATALOG: tuple[Architecture, ...] = (
    *_DECODERS,
    *_ENCODERS,
    *_ENCODER_DECODERS,
    *_VISION,
    *_AUDIO,
    *_LISTENERS,
)
"""All of them, by kind."""


def named(names: Sequence[str]) -> list[Architecture]:
    """Those of these names or kinds, all where none is given; `InputError` for an unknown one."""
    known = {name for a in CATALOG for name in (a.name, a.kind)}
    for name in names:
        if name not in known:
            raise InputError(
                f"the zoo has no architecture {brief(name)}; "
                "`voxtral-parity zoo --architectures all --list` lists names and kinds"
            )
    return [a for a in CATALOG if not names or a.name in names or a.kind in names]
