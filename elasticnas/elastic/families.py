"""Layouts of attention in well-known model families: sizes alone do not show fused and per-head dimensions."""

from torch import nn

from elasticnas.elastic.layouts import Rule, parse_rule

__all__ = ["FAMILIES", "family_rules"]


def _projections(
    names: tuple[str, ...], inner: str, out: str, keys: tuple[str, ...] = (), key_inner: str = ""
) -> dict[str, str]:
    rules = {out: f"_ ({inner})"}
    for name in names:
        rules |= {f"{name}.weight": f"({inner}) _", f"{name}.bias": f"({inner})"}
    for name in keys:
        rules |= {f"{name}.weight": f"({key_inner}) _", f"{name}.bias": f"({key_inner})"}
    return rules


_BERT = _projections(
    ("self.query", "self.key", "self.value"),
    "self.num_attention_heads self.attention_head_size",
    "output.dense.weight",
)
_LLAMA = _projections(
    ("q_proj",),
    "config.num_key_value_heads num_key_value_groups head_dim",
    "o_proj.weight",
    ("k_proj", "v_proj"),
    "config.num_key_value_heads head_dim",
)
_VIT = _projections(("q_proj", "k_proj", "v_proj"), "num_attention_heads head_dim", "o_proj.weight")
_VIT_OLD = _projections(
    ("attention.query", "attention.key", "attention.value"),
    "attention.num_attention_heads attention.attention_head_size",
    "output.dense.weight",
)

FAMILIES: dict[str, dict[str, str]] = {
    "torch.nn.MultiheadAttention": {
        "in_proj_weight": "(3 num_heads head_dim) _",
        "in_proj_bias": "(3 num_heads head_dim)",
        **{f"{name}_proj_weight": "(num_heads head_dim) _" for name in "qkv"},  # if keys or values have another width
        **{f"bias_{name}": "_ _ (num_heads head_dim)" for name in "kv"},
        "out_proj.weight": "_ (num_heads head_dim)",
    },
    "transformers.GPT2Attention": {
        "c_attn.weight": "_ (3 num_heads head_dim)",
        "c_attn.bias": "(3 num_heads head_dim)",
        "c_proj.weight": "(num_heads head_dim) _",
    },
    "transformers.BertAttention": _BERT,
    "transformers.RobertaAttention": _BERT,
    "transformers.ElectraAttention": _BERT,
    "transformers.LlamaAttention": _LLAMA,
    "transformers.MistralAttention": _LLAMA,
    "transformers.Qwen2Attention": _LLAMA,
    "transformers.Qwen3Attention": _LLAMA,
    "transformers.GemmaAttention": _LLAMA,
    "transformers.ViTAttention": _VIT | _VIT_OLD,
    "transformers.ViTSdpaAttention": _VIT_OLD,
    "transformers.T5Attention": _projections(("q", "k", "v"), "n_heads key_value_proj_dim", "o.weight")
    | {"relative_attention_bias.weight": "_ (n_heads)"},
}
"""Layouts of the tensors of attention modules, by package and class; names are attributes of the module."""


def family_rules(model: nn.Module) -> list[Rule]:
    """Return the rules for every module of a known family."""
    rules = []
    for path, module in model.named_modules():
        kind = type(module)
        key = (
            f"{'torch.nn' if kind.__module__.startswith('torch.nn') else kind.__module__.split('.')[0]}.{kind.__name__}"
        )
        for name, text in FAMILIES.get(key, {}).items():
            rules.append(parse_rule(f"{path}.{name}".lstrip("."), text, path))
    return rules
