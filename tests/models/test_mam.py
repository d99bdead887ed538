"""MAM: sizes and structure of paper and release."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import catalog
from affectlens.models.mam import MAM, GramEncoder, MAMConfig, TokenEncoder


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def on_meta(**options: Any) -> MAM:
    with torch.device("meta"):
        return MAM(MAMConfig(num_emotions=8, **options))


def small(**options: Any) -> MAM:
    torch.manual_seed(0)
    return MAM(MAMConfig(num_emotions=8, backbone="test_resnet", **options)).eval()


def images() -> Tensor:
    return torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))


def test_the_tokenizers_of_the_release_have_so_many_shared_weights() -> None:
    network = on_meta(release=True)
    tokenizers = [encoder.tokens for encoder in network.encoders if isinstance(encoder, TokenEncoder)]
    assert len(tokenizers) == 5
    assert count(*(part for t in tokenizers for part in (t.where, t.what))) == 187_392
    assert count(network) == pytest.approx(24.06e6, abs=0.01e6)


def test_the_paper_has_gram_encoders_early_and_tokenizers_later() -> None:
    network = on_meta(triangle=False)
    assert [type(encoder) for encoder in network.encoders] == [GramEncoder] * 2 + [TokenEncoder] * 3
    assert count(network) == pytest.approx(28.57e6, abs=0.01e6)
    assert count(on_meta()) == 26_283_464


def test_attributes_and_meaning_can_be_multiplied_or_added_where_their_widths_are_one() -> None:
    for fusion in ("multiply", "add"):
        network = small(fusion=fusion, attributes_width=96)
        maps, deep = network.pyramid(images())
        attributes = network.attributes(torch.cat(network.encode(maps), dim=1))
        joined = deep * attributes if fusion == "multiply" else deep + attributes
        logits, embedding = network.embed(images())
        torch.testing.assert_close(embedding, joined)
        torch.testing.assert_close(logits, network.classifier(joined))
    with pytest.raises(SettingsError, match=r"have 512 and 96\. Set attributes_width=96"):
        small(fusion="add")
    with pytest.raises(SettingsError, match="concatenate, multiply, add, not 'mean'"):
        small(fusion="mean")


def test_the_maps_are_those_of_the_five_stages() -> None:
    maps = on_meta().pyramid(torch.empty(1, 3, 224, 224, device="meta")).maps
    assert [tuple(level.shape[1:]) for level in maps] == [
        (64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7),
    ]  # fmt: skip


@pytest.mark.parametrize(("release", "tokenizers"), [(True, 5), (False, 3)])
def test_a_second_method_returns_where_each_token_looks(release: bool, tokenizers: int) -> None:
    network = small(release=release, num_tokens=4)
    maps = network.token_maps(images())
    sizes = [level.shape[2:] for level in network.pyramid(images()).maps][-tokenizers:]
    assert [tuple(m.shape) for m in maps] == [(3, 4, *size) for size in sizes]
    for attention in maps:
        torch.testing.assert_close(attention.sum(dim=(2, 3)), torch.ones(3, 4))
        assert attention.min() >= 0


def test_the_classifier_reads_attributes_before_deep_features() -> None:
    network = small()
    maps, deep = network.pyramid(images())
    logits, embedding = network.embed(images())
    attributes = network.attributes(torch.cat(network.encode(maps), dim=1))
    torch.testing.assert_close(embedding, torch.cat([attributes, deep], dim=1))
    torch.testing.assert_close(logits, network.classifier(embedding))
    assert torch.equal(network(images()), logits)


def test_permuting_the_batch_permutes_the_logits_and_one_picture_is_as_good_as_three() -> None:
    network = small(release=True)  # the script has weights for each index in the batch
    logits, order = network(images()), [2, 0, 1]
    torch.testing.assert_close(network(images()[order]), logits[order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(images()[1:2]), logits[1:2], rtol=1e-4, atol=1e-5)


def test_tokens_are_related_only_where_that_is_requested() -> None:
    plain, related = small(), small(relation=True)
    assert count(related) > count(plain)
    assert related(images()).shape == (3, 8)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "convnext_atto"])
def test_it_runs_on_any_backbone_that_gives_a_pyramid(backbone: str) -> None:
    for name in ("mam_paper", "mam_release"):
        assert catalog.build(name, 6, backbone=backbone).eval()(images()).shape == (3, 6)
