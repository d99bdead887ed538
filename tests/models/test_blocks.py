"""Gram matrices, tokens and pyramids against worked examples."""

import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models.blocks import GramValues, SemanticTokenizer, gram_matrix, pyramid


def features(channels: int = 6, side: int = 5, count: int = 2) -> Tensor:
    return torch.randn(count, channels, side, side + 1, generator=torch.Generator().manual_seed(0))


def test_a_gram_matrix_is_its_formula_symmetric_and_without_negative_directions() -> None:
    maps = features()
    found = gram_matrix(maps)
    for b in range(2):
        for i in range(6):
            for j in range(6):
                expected = (maps[b, i] * maps[b, j]).sum() / (6 * 5 * 6)
                torch.testing.assert_close(found[b, i, j], expected)
    torch.testing.assert_close(found, found.transpose(1, 2))
    assert torch.linalg.eigvalsh(found.double()).min() > -1e-6


def test_a_gram_matrix_forgets_where_things_are() -> None:
    maps = features()
    moved = maps.flatten(2)[:, :, torch.randperm(30)].reshape(maps.shape)
    torch.testing.assert_close(gram_matrix(moved), gram_matrix(maps))


def test_a_gram_matrix_is_computed_in_float32_whatever_surrounds_it() -> None:
    strong = 300 * features(channels=8, side=112, count=1).relu()
    exact = gram_matrix(strong)
    for precision in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", precision):
            found = gram_matrix(strong)
        assert found.dtype == torch.float32
        assert torch.equal(found, exact)
    assert torch.isfinite(gram_matrix(strong.half())).all()


def test_the_upper_triangle_holds_every_value_of_the_matrix() -> None:
    maps, whole = features(), gram_matrix(features())
    triangle, square = GramValues(6, triangle=True), GramValues(6, triangle=False)
    assert triangle(maps).shape == (2, 21) == (2, triangle.count)
    assert square(maps).shape == (2, 36) == (2, square.count)
    rebuilt = torch.zeros(2, 6, 6)
    row, column = torch.triu_indices(6, 6)
    rebuilt[:, row, column] = triangle(maps)
    torch.testing.assert_close(rebuilt + rebuilt.triu(1).transpose(1, 2), whole)


def test_a_token_is_the_mean_of_what_lies_where_it_looks() -> None:
    tokenizer, maps = SemanticTokenizer(6, num_tokens=3, token_width=4).eval(), features()
    where, tokens = tokenizer.attention(maps), tokenizer(maps)
    assert where.shape == (2, 3, 5, 6)
    torch.testing.assert_close(where.sum(dim=(2, 3)), torch.ones(2, 3))
    normed = nn.functional.layer_norm(maps.permute(0, 2, 3, 1), (6,))  # over the channels of each cell
    values = normed @ tokenizer.what.weight.T  # (B, H, W, T)
    torch.testing.assert_close(tokens, torch.einsum("blhw,bhwt->blt", where, values))


def test_a_token_looks_at_the_cell_that_its_weights_select() -> None:
    tokenizer, maps = SemanticTokenizer(4, num_tokens=1, token_width=2).eval(), torch.zeros(1, 4, 5, 5)
    maps[0, 2, 1, 3] = 10.0
    with torch.no_grad():
        tokenizer.where.weight.copy_(torch.tensor([[0.0, 0.0, 5.0, 0.0]]))
    where = tokenizer.attention(maps)[0, 0]
    assert where.argmax() == 1 * 5 + 3
    assert where[1, 3] > 0.9


def test_tokens_related_to_one_another_change_with_the_others() -> None:
    torch.manual_seed(0)
    tokenizer = SemanticTokenizer(6, num_tokens=3, token_width=8, relation=True).eval()
    tokens = torch.randn(1, 3, 8)
    other = tokens.clone()
    other[0, 2] = torch.randn(8)
    before, after = tokenizer.relation(tokens), tokenizer.relation(other)
    assert (before[0, :2] - after[0, :2]).abs().max() > 1e-3
    assert tokenizer(features()).shape == (2, 3, 8)


def test_a_backbone_whose_maps_do_not_shrink_is_refused_with_some_that_do() -> None:
    with pytest.raises(SettingsError, match=r"test_vit gives no pyramid.*strides \[16, .*resnet50"):
        pyramid("test_vit", "none")
    assert pyramid("test_resnet", "none").strides == [2, 4, 8, 16, 32]
