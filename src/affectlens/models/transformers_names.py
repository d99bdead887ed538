"""Weights of vision transformers as Hugging Face's transformers names them, for timm's networks.

The same numbers under other names, and query, key and value as three matrices where timm has one. Of ViT and
DeiT, the models that `ViTModel`, `ViTForImageClassification`, `DeiTModel` and their relatives save.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# In the order in which they are tried on a name; \1 is the number of a block.
_NAMES = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (r"^encoder\.layer\.(\d+)\.intermediate\.dense\.", r"blocks.\1.mlp.fc1."),
    (r"^encoder\.layer\.(\d+)\.output\.dense\.", r"blocks.\1.mlp.fc2."),
    (r"^encoder\.layer\.(\d+)\.layernorm_before\.", r"blocks.\1.norm1."),
    (r"^encoder\.layer\.(\d+)\.layernorm_after\.", r"blocks.\1.norm2."),
    (r"^layernorm\.", "norm."),
)
_ATTENTION = re.compile(r"^encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)$")
# What is read from the features, and belongs to what they were trained for.
_HEADS = re.compile(r"^(pooler|classifier|cls_classifier|distillation_classifier)\.")
_MODEL = re.compile(r"^(vit|deit)\.")


def is_of_transformers(names: Mapping[str, object]) -> bool:
    """Whether these are names of transformers' ViT or DeiT."""
    return any(_ATTENTION.match(_MODEL.sub("", name)) for name in names)


def renamed(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under timm's names, without those of classifiers; names of neither kind stay.

    Weights of attention are stacked as timm's `qkv`: (D, D) three times -> (3 D, D).
    """
    found: dict[str, Tensor] = {}
    attention: dict[str, dict[str, Tensor]] = {}
    for full, weight in given.items():
        name = _MODEL.sub("", full)
        if _HEADS.match(name):
            continue
        if part := _ATTENTION.match(name):
            block, which, kind = part.groups()
            attention.setdefault(f"blocks.{block}.attn.qkv.{kind}", {})[which] = weight
            continue
        for pattern, replacement in _NAMES:
            name, count = re.subn(pattern, replacement, name)
            if count:
                break
        found[name] = weight
    complete = {
        name: torch.cat([parts[which] for which in ("query", "key", "value")])
        for name, parts in attention.items()
        if len(parts) == 3
    }
    return found | complete
