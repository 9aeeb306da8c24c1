"""Families as rows of data: which tensor of a checkpoint plays which role."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moe_claims.errors import ModelError
from moe_claims.models.families.family import ROLES as ROLES
from moe_claims.models.families.family import Family as Family
from moe_claims.models.families.family import Role as Role
from moe_claims.models.families.unsupported import LEFT_OUT


def _w123(model_type: str, *, router: str = "mlp.gate.weight", top_k: str = "num_experts_per_tok") -> Family:
    """Experts named as in Mixtral's own checkpoints."""
    routers = ("block_sparse_moe.gate.weight", router)
    return Family(model_type, routers, up="w3", act="w1", down="w2", top_k=top_k)


def _granite(model_type: str) -> Family:
    routers = ("block_sparse_moe.router.layer.weight", "block_sparse_moe.router.weight")
    return Family(model_type, routers, stacked=("input_linear.weight", "output_linear.weight"))


_WITHIN = "model.language_model.layers"
"""The decoder layers of most models for more than text."""


def _within(family: Family, model_type: str, *, published: str = "") -> Family:
    """A model for more than text whose decoder is of a family."""
    return replace(family, model_type=model_type, text="text_config", layers=_WITHIN, published_layers=published)


_ARIA = Family(
    "aria_text",
    ("mlp.router.weight",),
    top_k="moe_topk",
    stacked=("experts.fc1.weight", "experts.fc2.weight"),
    transposed=True,
)
_GEMMA4 = Family(
    "gemma4_text",
    ("router.proj.weight",),
    experts=("experts",),
    top_k="top_k_experts",
    switch="enable_moe_block",
    shares=True,
    activation="gelu_pytorch_tanh",
)
_INKLING = Family(
    "inkling_text",
    stacked=("experts.w13_weight", "experts.w2_weight"),
    published_otherwise="interleaved",
    routed="n_routed_experts",
)
_INKLING2 = replace(
    _INKLING,
    model_type="inkling2_text",
    routed="",
    published_layers="model.llm.layers",
    weights_only="behind its last layer it attends to the hidden states of earlier ones",
)
_INKLING2_LOOP = replace(
    _INKLING2,
    model_type="inkling2_loop_text",
    weights_only="its middle layers run several times over, each time with messages from the time before",
)
_LLAMA4 = Family(
    "llama4_text",
    ("feed_forward.router.weight",),
    transposed=True,
    weights_only="gate weights scale what goes into its experts, so that unchosen ones have no output to compare",
)
_MINIMAX_M3 = Family("minimax_m3_vl_text", neutral=0.0)
_MUSE = Family(
    "muse_spark_text",
    score_factor="output_multiplier",
    note="experts' outputs are those behind the norm that each has",
)
_QWEN = Family("(as Qwen names them)")

_PICKED = "prev_topk_indices"
"""The tokens that attention picked, which some layers take over from the one before."""

_OWN = "a module of this package, since transformers lacks it"
_GROK = Family(
    "grok-1",
    ("moe_block.gate.weight",),
    up="linear_v",
    act="linear",
    down="linear_1",
    activation="gelu",
    note=_OWN,
)

FAMILIES: Mapping[str, Family] = {
    row.model_type: row
    for row in (
        Family("afmoe", ("mlp.router.gate.weight",)),
        _within(_ARIA, "aria", published="language_model.model.layers"),
        _ARIA,
        Family("axk1"),
        Family("axk2", alone=True),
        Family("bailing_hybrid", top_k="num_experts_per_token"),
        Family("beam"),
        Family("cohere2_moe"),
        Family(
            "dbrx",
            ("ffn.router.layer.weight",),
            layers="transformer.blocks",
            per_role=("experts.mlp.v1", "experts.mlp.w1", "experts.mlp.w2"),
            flat=True,
            top_k="ffn_config.moe_top_k",
        ),
        Family("deepseek", note=_OWN),
        _within(_QWEN, "deepseek_ocr2", published="model.layers"),
        Family("deepseek_v2"),
        Family("deepseek_v3"),
        Family("deepseek_v32", alone=True),
        Family(
            "deepseek_v4",
            ("ffn.gate.weight", "mlp.gate.weight"),
            up="w3",
            act="w1",
            down="w2",
            published_layers="layers",
            alone=True,
            note="in its first layers a table of tokens chooses the experts, and scores only weigh them",
        ),
        Family("dots1"),
        replace(_within(_QWEN, "dots3_note", published="model.layers"), alone=True),
        Family("dots3_note_text", alone=True),
        Family("ernie4_5_moe", top_k="moe_k"),
        Family(
            "ernie4_5_vl_moe",
            ("mlp.gate.weight", "mlp.text_moe.gate.weight"),
            experts=("mlp.experts", "mlp.text_moe.experts"),
            router_transposed=True,
            idle=("mlp.vision_moe.",),
            note="its experts for text; those for images are left out",
            top_k="moe_k",
            text="text_config",
            layers=_WITHIN,
            published_layers="model.layers",
        ),
        Family("exaone_moe"),
        Family("flex_olmo"),
        Family("flint"),
        _within(_GEMMA4, "gemma4"),
        _GEMMA4,
        Family("glm4_moe"),
        Family("glm4_moe_lite"),
        _within(_QWEN, "glm4v_moe"),
        _within(Family("glm5_next_text", alone=True, passes=_PICKED), "glm5_next"),
        Family("glm_moe_dsa", alone=True, passes=_PICKED),
        Family("gpt_oss", ("mlp.router.weight",), transposed=True, interleaved=True, neutral=0.0, router_bias=True),
        *map(_granite, ("granitemoe", "granitemoe_swa", "granitemoehybrid", "granitemoeshared")),
        Family(
            "grok-1",
            ("moe_block.gate.weight",),
            up="linear_v",
            act="linear",
            down="linear_1",
            activation="gelu",
            note=_OWN,
        ),
        Family("hunyuan_v1_moe", ("mlp.gate.wg.weight",), top_k="moe_topk"),
        Family("hy_v3", ("mlp.router.gate.weight", "mlp.gate.weight")),
        Family("hy_v4", alone=True, passes=_PICKED),
        _within(Family("hy_v4_vl_text", alone=True, passes=_PICKED), "hy_v4_vl", published="model.layers"),
        _within(_INKLING2, "inkling2", published="model.llm.layers"),
        _INKLING2,
        _within(_INKLING2_LOOP, "inkling2_loop", published="model.llm.layers"),
        _INKLING2_LOOP,
        _within(_INKLING, "inkling_mm_model", published="model.llm.layers"),
        _INKLING,
        Family("jamba", ("feed_forward.router.weight",)),
        Family(
            "jetmoe",
            ("mlp.router.layer.weight",),
            experts=("mlp",),
            stacked=("mlp.input_linear.weight", "mlp.output_linear.weight"),
            note="its experts of feed-forward blocks; those of attention are left out",
        ),
        _within(_QWEN, "kimi_k25", published="language_model.model.layers"),
        _w123("kimi_linear", top_k="num_experts_per_token"),
        Family("kolibri1"),
        Family("laguna"),
        Family("lara_mini"),
        Family("lfm2_moe", ("feed_forward.gate.weight",), up="w3", act="w1", down="w2"),
        replace(_within(_LLAMA4, "llama4"), layers="language_model.model.layers"),
        _LLAMA4,
        Family(
            "longcat_flash",
            ("mlp.router.classifier.weight",),
            top_k="moe_topk",
            routed="n_routed_experts",
            weights_only="its router may choose to compute nothing, an expert without matrices",
        ),
        Family("mellum"),
        Family("mimo_v2_flash"),
        _w123("minimax"),
        _w123("minimax_m2"),
        replace(
            _within(_MINIMAX_M3, "minimax_m3_vl", published="language_model.model.layers"),
            routers=("block_sparse_moe.gate.weight", "mlp.gate.weight"),
            up="w3",
            act="w1",
            down="w2",
        ),
        _MINIMAX_M3,
        Family("mistral4"),
        replace(
            _within(Family("mistral_large4_text", ("gate.weight", "mlp.gate.weight")), "mistral_large4"),
            published_layers="layers",
            experts=("experts", "mlp.experts"),
            up="w3",
            act="w1",
            down="w2",
            alone=True,
            shares=True,
            passes=_PICKED,
        ),
        _w123("mixtral"),
        _within(_MUSE, "muse_spark"),
        Family("olmoe"),
        _w123("phimoe", router="mlp.router.weight"),
        Family("qwen2_moe"),
        _within(_QWEN, "qwen3_5_moe"),
        Family("qwen3_5_moe_text"),
        Family("qwen3_moe"),
        Family("qwen3_next"),
        replace(
            _within(_QWEN, "qwen3_omni_moe", published="thinker.model.layers"),
            part="thinker",
            text="thinker_config.text_config",
        ),
        _within(_QWEN, "qwen3_omni_moe_thinker", published="model.layers"),
        replace(_within(_QWEN, "qwen3_vl_moe"), published_otherwise="transposed"),
        _within(_QWEN, "qwen4_exp"),
        Family("qwen4_exp_text"),
        Family("sarvam_mla"),
        Family("sarvam_moe"),
        Family("solar_open"),
        Family(
            "step3p7",
            ("moe.gate.weight", "mlp.gate.weight"),
            per_role=("up_proj.weight", "gate_proj.weight", "down_proj.weight"),
            text="text_config",
            layers=_WITHIN,
            published_layers="model.layers",
        ),
        _within(_QWEN, "unlimited_ocr", published="model.layers"),
    )
}


def family_of(config: Mapping[str, Any], where: str) -> Family:
    """The family row for a model's configuration.

    Args:
        config: the parsed ``config.json``.
        where: name of the model, for the error.

    Raises:
        ModelError: the model is dense, or of a family that is not in the table.
    """
    model_type = str(config.get("model_type", "(none)"))
    row = FAMILIES.get(model_type)
    if row is None and model_type in LEFT_OUT:
        raise ModelError(f"'{where}' has model_type '{model_type}', which is not read: {LEFT_OUT[model_type]}")
    if not _has_experts(config) if row is None else row.switch and not row.text_config(config).get(row.switch):
        raise ModelError(
            f"'{where}' is a dense model (model_type '{model_type}', no experts in its config): give an MoE"
        )
    if row is None:
        raise ModelError(
            f"'{where}' has model_type '{model_type}', which cannot be read yet: 'python -m moe_claims models' names "
            f"the {len(FAMILIES)} families that can"
        )
    return row


def _has_experts(config: Mapping[str, Any]) -> bool:
    """Whether it names experts, or a part of it does."""
    parts = [part for part in config.values() if isinstance(part, Mapping)]
    return any("expert" in str(key) for key in config) or any(map(_has_experts, parts))
