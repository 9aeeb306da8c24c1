"""Mixture-of-experts models of transformers that are not read, each with its reason."""

from collections.abc import Mapping

_NO_GATE = "its experts have no gate: there is no W_act"
_TWO_STACKS = "an encoder and a decoder, no causal language model"

PARTS: Mapping[str, str] = {
    "deepseek_ocr2_text": "deepseek_ocr2",
    "diffusion_gemma_text": "diffusion_gemma",
    "dots3_note_vision_encoder": "dots3_note",
    "ernie4_5_vl_moe_text": "ernie4_5_vl_moe",
    "glm4v_moe_text": "glm4v_moe",
    "glm5_next_text": "glm5_next",
    "hy_v4_vl_text": "hy_v4_vl",
    "mistral_large4_text": "mistral_large4",
    "muse_spark_text": "muse_spark",
    "qwen3_omni_moe_talker_text": "qwen3_omni_moe",
    "qwen3_omni_moe_text": "qwen3_omni_moe",
    "qwen3_vl_moe_text": "qwen3_vl_moe",
    "step3p5": "step3p7",
    "unlimited_ocr_text": "unlimited_ocr",
    "vitpose_backbone": "vitpose",
}
"""Parts of models, of which transformers has no language model alone, and the models that they are parts of."""

LEFT_OUT: Mapping[str, str] = {
    "diffusion_gemma": "it fills in blocks of text by diffusion, and is no causal language model",
    "doge": "its experts are single neurons, found by pairs of keys: they have no matrices to compare",
    "nemo_speechlm": _NO_GATE,
    "nemotron_h": _NO_GATE,
    "nemotron_h_omni": _NO_GATE,
    "nllb-moe": _TWO_STACKS,
    "openai_privacy_filter": "it sorts tokens into classes, and is no causal language model",
    "switch_transformers": _TWO_STACKS,
    "vitpose": "it finds poses in images, and is no language model",
    "zaya": "its router is a network that may choose no expert: it has no row of weights for each expert",
} | {part: f"a part of {whole}, and no language model alone" for part, whole in PARTS.items()}
"""model_type → why it is not read."""
