"""Weights that transformers saved, in timm's networks."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from affectlens.errors import WeightsNotFound
from affectlens.models import backbones
from affectlens.models.transformers_names import is_of_transformers, renamed

NAME = "vit_tiny_patch16_224"
WIDTH, BLOCKS = 192, 12


def saved_by_transformers(prefix: str = "vit.") -> dict[str, Tensor]:
    """A ViT-Tiny as transformers would save it, with weights that all differ; names from its ViTModel."""
    random = torch.Generator().manual_seed(0)

    def weight(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random) * 0.02

    found = {
        "embeddings.cls_token": weight(1, 1, WIDTH),
        "embeddings.position_embeddings": weight(1, 197, WIDTH),
        "embeddings.patch_embeddings.projection.weight": weight(WIDTH, 3, 16, 16),
        "embeddings.patch_embeddings.projection.bias": weight(WIDTH),
        "layernorm.weight": 1 + weight(WIDTH),
        "layernorm.bias": weight(WIDTH),
        "pooler.dense.weight": weight(WIDTH, WIDTH),
    }
    for block in range(BLOCKS):
        layer = f"encoder.layer.{block}"
        for name, (rows, columns) in {
            "attention.attention.query": (WIDTH, WIDTH),
            "attention.attention.key": (WIDTH, WIDTH),
            "attention.attention.value": (WIDTH, WIDTH),
            "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (4 * WIDTH, WIDTH),
            "output.dense": (WIDTH, 4 * WIDTH),
        }.items():
            found[f"{layer}.{name}.weight"] = weight(rows, columns)
            found[f"{layer}.{name}.bias"] = weight(rows)
        for name in ("layernorm_before", "layernorm_after"):
            found[f"{layer}.{name}.weight"] = 1 + weight(WIDTH)
            found[f"{layer}.{name}.bias"] = weight(WIDTH)
    return {f"{prefix}{name}": each for name, each in found.items()} | {
        "classifier.weight": weight(1000, WIDTH)
    }


@pytest.mark.parametrize("prefix", ["vit.", "deit.", ""])
def test_a_folder_of_transformers_is_read_complete(tmp_path: Path, prefix: str) -> None:
    given = saved_by_transformers(prefix)
    save_file(given, tmp_path / "model.safetensors")
    network = backbones.pooled(NAME, weights=str(tmp_path))
    block: dict[str, Tensor] = dict(network.blocks[3].named_parameters())  # type: ignore[index, union-attr]
    layer = f"{prefix}encoder.layer.3"
    parts = [given[f"{layer}.attention.attention.{each}.weight"] for each in ("query", "key", "value")]
    assert torch.equal(block["attn.qkv.weight"], torch.cat(parts))
    assert torch.equal(block["mlp.fc2.bias"], given[f"{layer}.output.dense.bias"])
    assert torch.equal(block["attn.proj.weight"], given[f"{layer}.attention.output.dense.weight"])
    assert torch.equal(block["norm2.weight"], given[f"{layer}.layernorm_after.weight"])


def test_the_answers_are_those_of_attention_by_hand() -> None:
    given = saved_by_transformers()
    network = backbones.pooled(NAME).eval()
    network.load_state_dict(renamed(given), strict=False)
    tokens = torch.randn(1, 5, WIDTH, generator=torch.Generator().manual_seed(1))
    layer = "vit.encoder.layer.0.attention"

    def linear(name: str, values: Tensor) -> Tensor:
        return values @ given[f"{layer}.{name}.weight"].T + given[f"{layer}.{name}.bias"]

    def heads(name: str) -> Tensor:
        return linear(f"attention.{name}", tokens).reshape(1, 5, 3, 64).transpose(1, 2)

    weights = (heads("query") @ heads("key").transpose(2, 3) / 8).softmax(dim=3)
    expected = linear("output.dense", (weights @ heads("value")).transpose(1, 2).reshape(1, 5, WIDTH))
    with torch.no_grad():
        found = network.blocks[0].attn(tokens)  # type: ignore[index, union-attr]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_weights_that_lack_a_part_are_refused_with_its_name(tmp_path: Path) -> None:
    given = saved_by_transformers()
    del given["vit.encoder.layer.7.attention.attention.key.weight"]
    save_file(given, tmp_path / "model.safetensors")
    with pytest.raises(WeightsNotFound, match=r"1 are missing.*blocks\.7\.attn\.qkv\.weight"):
        backbones.pooled(NAME, weights=str(tmp_path))


def test_names_of_timm_are_left_alone() -> None:
    assert not is_of_transformers(backbones.pooled("test_vit").state_dict())
