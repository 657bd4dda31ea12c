"""Encoders of text in transformers; layouts as read from each attention's forward."""

from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import from_config
from tests.elastic.zoo.inputs import IDS, per_head, token_ids

FULL = {"hidden": 32, "heads": 4, "inner": 48, "depth": 2}
# heads of 8 units, so that hidden follows the heads
SPACES = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 3, "hidden": 24},
    "inner": {"inner": 36},
    "depth": {"depth": 1},
}
TEXT = {"vocab_size": 31, "max_position_embeddings": 16}

# query(x).view(..., heads, d), and the output projection reads the heads one after another
BERT = {
    "*.attention.self.query.*": {0: "heads * d"},
    "*.attention.self.key.*": {0: "heads * d"},
    "*.attention.self.value.*": {0: "heads * d"},
    "*.attention.output.dense.weight": {1: "heads * d"},
}


def boxes(sizes: Sizes) -> dict:
    corners = (IDS[..., None] % 8) + IDS.new_tensor([0, 0, 5, 6])
    return {"input_ids": IDS, "bbox": corners}


def longer(sizes: Sizes) -> dict:
    """Eight tokens, since the landmarks are means over equal segments of a fixed length."""
    return {"input_ids": IDS.repeat(1, 2)[:, :8]}


def like_bert(name: str, model: str, config: str, example=token_ids, note: str = "", **fixed) -> Family:
    return Family(
        name=name, build=from_config(model, config, **{**TEXT, **fixed}), full=FULL, spaces=SPACES, example=example,
        layouts=BERT, derive=per_head, note=note,
    )  # fmt: skip


distilbert = Family(
    name="DistilBERT",
    build=from_config(
        "DistilBertForMaskedLM", "DistilBertConfig",
        {"hidden": "dim", "heads": "n_heads", "inner": "hidden_dim", "depth": "n_layers"}, **TEXT,
    ),
    full=FULL,
    spaces=SPACES,
    example=token_ids,
    layouts={"*.[qkv]_lin.*": {0: "heads * d"}, "*.out_lin.weight": {1: "heads * d"}},
    derive=per_head,
)  # fmt: skip

albert = Family(
    name="ALBERT",
    build=from_config("AlbertForMaskedLM", "AlbertConfig", embedding_size=16, **TEXT),
    full=FULL,
    spaces=SPACES,
    example=token_ids,
    layouts={
        "*.attention.query.*": {0: "heads * d"},
        "*.attention.key.*": {0: "heads * d"},
        "*.attention.value.*": {0: "heads * d"},
        "*.attention.dense.weight": {1: "heads * d"},
    },
    derive=per_head,
    note="depth: how often the one shared layer runs",
)

deberta = Family(
    name="DeBERTa-v2",
    build=from_config(
        "DebertaV2Model", "DebertaV2Config", relative_attention=True, position_buckets=4, norm_rel_ebd="layer_norm",
        pos_att_type=["c2p", "p2c"], share_att_key=False, position_biased_input=False, type_vocab_size=0, **TEXT,
    ),
    full=FULL,
    spaces=SPACES,
    example=token_ids,
    # all five projections go through transpose_for_scores: (heads, d)
    layouts={
        "*.attention.self.*_proj.*": {0: "heads * d"},
        "*.attention.output.dense.weight": {1: "heads * d"},
    },
    derive=per_head,
)  # fmt: skip

mpnet = Family(
    name="MPNet",
    build=from_config("MPNetModel", "MPNetConfig", **TEXT),
    full=FULL,
    spaces=SPACES,
    example=token_ids,
    layouts={
        "*.attention.attn.[qkv].*": {0: "heads * d"},
        "*.attention.attn.o.weight": {1: "heads * d"},
        "*.relative_attention_bias.weight": {1: "heads"},
    },
    derive=per_head,
)

convbert = Family(
    name="ConvBERT",
    build=from_config("ConvBertModel", "ConvBertConfig", embedding_size=16, head_ratio=2, conv_kernel_size=3, **TEXT),
    full={**FULL, "heads": 8, "hidden": 64},
    spaces={**SPACES, "hidden": {"hidden": 48}, "heads": {"heads": 6, "hidden": 48}},
    example=token_ids,
    # the config's heads are halved; attention and convolution have half of each remaining head, and both
    # contexts are concatenated along the heads before the output projection
    layouts={
        "*.attention.self.query.*": {0: "used * d"},
        "*.attention.self.key.*": {0: "used * d"},
        "*.attention.self.value.*": {0: "used * d"},
        "*.attention.self.conv_out_layer.*": {0: "used * d"},
        "*.key_conv_attn_layer.pointwise.weight": {0: "used * d"},
        "*.key_conv_attn_layer.bias": {0: "used * d"},
        "*.conv_kernel_layer.weight": {0: "used * 3", 1: "used * d"},
        "*.conv_kernel_layer.bias": {0: "used * 3"},
        "*.attention.output.dense.weight": {1: "2 * used * d"},
    },
    derive=lambda sizes: {"used": sizes["heads"] // 2, "d": sizes["hidden"] // sizes["heads"]},
)

modernbert = Family(
    name="ModernBERT",
    build=from_config("ModernBertForMaskedLM", "ModernBertConfig", pad_token_id=0, bos_token_id=1, eos_token_id=2,
                      cls_token_id=1, sep_token_id=2, local_attention=4, norm_bias=True, attention_bias=True,
                      mlp_bias=True, **TEXT),
    full=FULL,
    spaces=SPACES,
    example=token_ids,
    # qkv.view(..., 3, heads, d), q and k turned by halves; Wi(x).chunk(2)
    layouts={
        "*.attn.Wqkv.*": {0: "heads * 2 * half + heads * 2 * half + heads * d"},
        "*.attn.Wo.weight": {1: "heads * d"},
        "*.mlp.Wi.*": {0: "2 * inner"},
        "*.mlp.Wo.weight": {1: "inner"},
    },
    derive=per_head,
)  # fmt: skip

funnel = Family(
    name="Funnel",
    build=lambda depth, **sizes: from_config(
        "FunnelBaseModel", "FunnelConfig",
        {"hidden": "d_model", "heads": "n_head", "head_dim": "d_head", "inner": "d_inner"},
        vocab_size=31, block_sizes=[depth, 1],
    )(**sizes),
    full={**FULL, "head_dim": 6},
    spaces={**SPACES, "heads": {"heads": 3}, "head_dim": {"head_dim": 4}},
    example=token_ids,
    # r_kernel reads position features [sines, cosines] of width hidden, not the residual stream
    layouts={
        "*.attention.[qkv]_head.*": {0: "heads * head_dim"},
        "*.attention.post_proj.weight": {1: "heads * head_dim"},
        "*.attention.r_kernel": {0: "2 * waves", 1: "heads", 2: "head_dim"},
        "*.attention.r_[wrs]_bias": {0: "heads", 1: "head_dim"},
        "*.attention.seg_embed": {1: "heads", 2: "head_dim"},
    },
    derive=lambda sizes: {"waves": sizes["hidden"] // 2},
    note="depth: of the first block",
)  # fmt: skip

nystromformer = Family(
    name="Nystromformer",
    build=from_config("NystromformerModel", "NystromformerConfig", num_landmarks=4, segment_means_seq_len=8,
                      conv_kernel_size=3, **TEXT),
    full=FULL,
    spaces=SPACES,
    example=longer,
    layouts={**BERT, "*.attention.self.conv.weight": {0: "heads"}},
    derive=per_head,
)  # fmt: skip

FAMILIES = [
    like_bert("BERT", "BertForMaskedLM", "BertConfig"),
    like_bert("RoBERTa", "RobertaForSequenceClassification", "RobertaConfig"),
    like_bert("XLM-R", "XLMRobertaForTokenClassification", "XLMRobertaConfig"),
    like_bert("ELECTRA", "ElectraForPreTraining", "ElectraConfig", embedding_size=16),
    like_bert("LayoutLM", "LayoutLMModel", "LayoutLMConfig", boxes, max_2d_position_embeddings=32),
    distilbert,
    albert,
    deberta,
    mpnet,
    convbert,
    modernbert,
    funnel,
    nystromformer,
]
