"""An answer is divided among the parts of a network, without loss, and by what they really add; and scores
without a part are those of a network whose parts are known by hand.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from affectlens.data import folder
from affectlens.data.records import DataSource
from affectlens.emotions import MIKELS, POLARITY
from affectlens.errors import SettingsError, UnknownName, VocabularyMismatch
from affectlens.explain.core.attribution import scores
from affectlens.explain.core.differentiable import DifferentiableModel
from affectlens.explain.core.question import make_question
from affectlens.explain.story.ablation import ablate
from affectlens.explain.story.branches import ablated_logits, contributions, has_parts
from affectlens.metrics import softmax
from affectlens.models.capabilities import CONCEPTS, TEXTURE, Division
from affectlens.preprocess import Images
from planted import model_of, small_member, small_network
from planted_arrays import gaussian, why_fear

SIDE = 160
SMALL = 64
MLM: dict[str, Any] = {"backbone": "test_resnet", "reduction": 2}
EVERY: dict[str, tuple[str, dict[str, Any]]] = {
    "mlm_paper": ("mlm_paper", MLM),
    "mlm_release": ("mlm_release", {"backbone": "test_efficientnet"}),
    "mlm added": ("mlm_paper", {"backbone": "test_resnet", "reduction": 1, "fusion": "add"}),
    "mlm multiplied": ("mlm_paper", {"backbone": "test_resnet", "reduction": 1, "fusion": "multiply"}),
    "mam_paper": ("mam_paper", {"backbone": "test_resnet"}),
    "mam_release": ("mam_release", {"backbone": "test_resnet"}),
    "pair": ("pair", {"transformer": "test_vit", "convolutional": "test_efficientnet"}),
}


def picture(seed: int = 0) -> Images:
    return gaussian(seed, SIDE)


def tensor(seed: int = 0) -> Tensor:
    return torch.from_numpy(picture(seed))


def trained(network: Any) -> Any:
    """Let the norms of a network remember a few pictures."""
    network.train()
    with torch.no_grad():
        for seed in range(3):
            network(torch.cat([tensor(seed), tensor(seed + 10)]))
    return network


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("reference", [None, "blurred"])
def test_parts_add_up_to_the_difference_from_the_reference(kind: str, reference: str | None) -> None:
    name, options = EVERY[kind]
    subject = model_of(trained(small_member(name, **options)), SIDE)
    image = picture(3)  # which no norm remembers
    found = contributions(subject, image, why_fear(), reference)
    total = sum(part.log_odds for part in found.parts)
    assert found.log_odds == pytest.approx(float(scores(subject, image, why_fear())[0]), abs=1e-4)
    assert total == pytest.approx(found.log_odds - found.reference_log_odds, rel=5e-3, abs=1e-3)
    assert found.error == pytest.approx(total - (found.log_odds - found.reference_log_odds), abs=1e-6)
    assert all(abs(part.log_odds) > 1e-6 for part in found.parts)
    assert sum(found.weight().values()) == pytest.approx(1)


def test_mlm_is_compared_with_what_its_norm_remembers() -> None:
    network = trained(small_member("mlm_paper", **MLM))
    subject, question = model_of(network, SIDE), make_question(MIKELS, "fear", "awe")
    found = contributions(subject, picture(), question)
    assert found.reference == "usual"
    norm, linear = network.classifier
    # At the mean that it remembers a norm gives its bias.
    usual = linear(norm.bias[None])
    assert found.reference_log_odds == pytest.approx(float(question.score(usual)), abs=1e-4)
    # Between two emotions the answer is linear: a part is its weights times its difference.
    weights = (linear.weight[MIKELS.index("fear")] - linear.weight[MIKELS.index("awe")]) * norm.weight
    weights = weights / (norm.running_var + norm.eps).sqrt()
    each = weights * (network.embed(tensor()).embedding[0] - norm.running_mean)
    width = network.pyramid.num_features
    assert found.by_kind() == pytest.approx(
        {"colour and texture": float(each[width:].sum()), "meaning": float(each[:width].sum())}, abs=1e-3
    )


@pytest.mark.parametrize(
    ("name", "options"), [("mlm_paper", MLM), ("mam_paper", {"backbone": "test_resnet"})]
)
@pytest.mark.parametrize("deaf_to", ["deep", "rest"])
def test_a_part_that_the_classifier_does_not_read_adds_nothing(
    name: str, options: dict[str, Any], deaf_to: str
) -> None:
    network = trained(small_member(name, **options))
    width = network.pyramid.num_features
    weights = network.classifier[-1].weight
    deep = slice(None, width) if name == "mlm_paper" else slice(-width, None)
    rest = slice(width, None) if name == "mlm_paper" else slice(None, -width)
    with torch.no_grad():
        weights[:, deep if deaf_to == "deep" else rest] = 0
    found = contributions(model_of(network, SIDE), picture(), why_fear(), "mean")
    for part in found.parts:
        assert (abs(part.log_odds) < 1e-6) == ((part.name == "deep") == (deaf_to == "deep"))


def test_the_parts_of_a_pair_are_half_of_what_each_branch_answers() -> None:
    network: Any = small_member("pair", transformer="test_vit", convolutional="test_efficientnet")
    question = make_question(MIKELS, "fear", "awe")
    found = contributions(model_of(network, SIDE), picture(), question, "mean")
    for part in found.parts:
        index = list(network.members).index(part.name)
        logits, without = (network.branches(images)[index] for images in (tensor(), 0 * tensor()))
        expected = float(question.score(logits) - question.score(without)) / 2
        assert part.log_odds == pytest.approx(expected, abs=1e-4)


def test_mam_names_textures_concepts_and_meaning_and_knows_nothing_usual() -> None:
    subject = model_of(trained(small_member("mam_paper", backbone="test_resnet")), SIDE)
    found = contributions(subject, picture(), why_fear())
    assert found.reference == "mean"
    assert list(found.by_kind()) == ["colour and texture", "concepts", "meaning"]
    with pytest.raises(SettingsError, match="usually sees is not known"):
        contributions(subject, picture(), why_fear(), "usual")


def test_it_is_plain_data() -> None:
    subject = model_of(small_member("mlm_paper", **MLM), SIDE)
    found = contributions(subject, picture(), make_question(MIKELS, "fear", "awe")).to_json()
    assert json.loads(json.dumps(found))["question"] == "fear rather than awe"
    assert set(found["by_kind"]) == set(found["weight"]) == {"colour and texture", "meaning"}


class Halves(nn.Module):
    """Reads the brightness of each half by weights of its own: (B, 3, h, w) -> (B, E)."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(2, len(MIKELS), generator=torch.Generator().manual_seed(0)))

    def forward(self, images: Tensor) -> Tensor:
        (division,) = self.divisions()
        return division.answer(division.describe(images))

    def divisions(self) -> tuple[Division]:
        """One: the halves."""

        def describe(images: Tensor) -> dict[str, Tensor]:
            left, right = images.mean(dim=(1, 2)).chunk(2, dim=1)
            return {"left": left.mean(dim=1, keepdim=True), "right": right.mean(dim=1, keepdim=True)}

        def answer(parts: Mapping[str, Tensor]) -> Tensor:
            return parts["left"] * self.weights[0] + parts["right"] * self.weights[1]

        return (Division({"left": "side", "right": "side"}, describe, answer),)


def test_any_network_that_can_be_divided_is() -> None:
    network, question = Halves(), make_question(MIKELS, "fear", "awe")
    assert has_parts(network)
    image = np.zeros((1, 3, SIDE, SIDE), np.float32)
    image[..., SIDE // 2 :] = 2
    found = contributions(model_of(network, SIDE), image, question, "black")
    right = network.weights[1, MIKELS.index("fear")] - network.weights[1, MIKELS.index("awe")]
    assert {part.name: part.log_odds for part in found.parts} == pytest.approx(
        {"left": 0.0, "right": 2 * float(right)}, abs=1e-5
    )
    assert found.by_kind()["side"] == pytest.approx(2 * float(right), abs=1e-5)


def test_a_network_without_parts_and_a_misspelt_reference_are_errors() -> None:
    assert not has_parts(small_member("test_resnet"))
    with pytest.raises(SettingsError, match="no parts"):
        contributions(model_of(small_member("test_resnet"), SIDE), picture(), why_fear())
    with pytest.raises(UnknownName, match="baseline"):
        contributions(model_of(small_member("mlm_paper", **MLM), SIDE), picture(), why_fear(), "gray")


class ByColour(nn.Module):
    """Amusement where a picture is red, anger where it is blue; a third part is always the same."""

    def forward(self, images: Tensor) -> Tensor:
        (division,) = self.divisions()
        return division.answer(division.describe(images))

    def divisions(self) -> tuple[Division]:
        def describe(images: Tensor) -> dict[str, Tensor]:
            means = images.mean(dim=(2, 3))
            return {"red": means[:, :1], "blue": means[:, 2:], "flat": torch.ones(len(images), 3)}

        def answer(parts: Mapping[str, Tensor]) -> Tensor:
            logits = torch.zeros(len(parts["red"]), len(MIKELS))
            logits[:, MIKELS.index("amusement")] = parts["red"][:, 0]
            logits[:, MIKELS.index("anger")] = parts["blue"][:, 0]
            return logits + parts["flat"].mean()

        kinds = {"red": TEXTURE, "blue": TEXTURE, "flat": CONCEPTS}
        return (Division(kinds, describe, answer),)


@pytest.fixture
def model() -> DifferentiableModel:
    return model_of(ByColour(), SMALL)


def two_colours(root: Path) -> DataSource:
    for emotion, colour in (("amusement", (255, 0, 0)), ("anger", (0, 0, 255))):
        for number in range(3):
            (root / emotion).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (SMALL, SMALL), colour).save(root / emotion / f"{number}.png")
    return folder.read(root)


def test_each_part_and_each_kind_of_several_is_left_out_in_turn(
    model: DifferentiableModel, tmp_path: Path
) -> None:
    seen: list[int] = []
    found = ablate(model, two_colours(tmp_path), "all", batch_size=4, progress=seen.append)
    rows = {row.parts: row for row in found.rows}
    assert list(rows) == [(), ("red",), ("blue",), ("flat",), ("red", "blue")]
    assert seen == [4, 2]
    assert rows[()].scores.accuracy == 1 and rows[()].accuracy_change == 0
    # With one colour at its mean, a half, the other still decides.
    assert rows[("red",)].scores.accuracy == rows[("blue",)].scores.accuracy == 1
    assert rows[("flat",)].changed == 0
    without = rows[("red", "blue")]
    assert without.scores.accuracy == pytest.approx(0.5) and without.changed == pytest.approx(0.5)
    assert without.accuracy_change == pytest.approx(-0.5)
    low, high = without.interval
    assert -1 <= low < -0.5 < high <= 0


def test_scores_are_written_and_tabulated(model: DifferentiableModel, tmp_path: Path) -> None:
    found = ablate(model, two_colours(tmp_path / "data"), "all")
    found.write(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert [row["parts"] for row in written["ablations"]] == [list(row.parts) for row in found.rows]
    assert written["ablations"][-1]["scores"]["accuracy"] == pytest.approx(0.5)
    table = found.table()
    assert table[1][:3] == ("nothing", "100.0 %", "\u2013")
    assert table[-1][0] == "red and blue" and table[-1][2].startswith("\u221250.0 (")


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("mlm_paper", {"backbone": "test_resnet", "reduction": 2}, 4),
        ("mam_paper", {"backbone": "test_resnet"}, 6),
        ("pair", {"transformer": "test_vit", "convolutional": "test_efficientnet"}, 2),
    ],
)
def test_with_no_part_left_out_the_answer_is_the_networks_own(
    name: str, options: dict[str, Any], parts: int
) -> None:
    subject = model_of(small_member(name, **options), 160)
    pixels = torch.randint(0, 256, (3, 3, 160, 160), generator=torch.Generator().manual_seed(0))
    found = ablated_logits(subject, [pixels[:2].to(torch.uint8), pixels[2:].to(torch.uint8)])
    assert sum(len(names) == 1 for names in found) == parts
    expected = subject.predict_images((pixels / 255).numpy())
    np.testing.assert_allclose(softmax(found[()]), expected, atol=1e-4)
    everything = [logits for names, logits in found.items() if len(names) == 1]
    assert all(np.abs(logits - found[()]).max() > 1e-6 for logits in everything)


def test_networks_without_parts_and_other_emotions_are_refused(
    model: DifferentiableModel, tmp_path: Path
) -> None:
    data = two_colours(tmp_path)
    with pytest.raises(SettingsError, match="no parts to compare"):
        ablate(model_of(small_network(), SMALL), data, "all")
    with pytest.raises(VocabularyMismatch):
        ablate(replace(model, vocabulary=POLARITY), data, "all")


def test_an_unreadable_picture_is_counted(model: DifferentiableModel, tmp_path: Path) -> None:
    data = two_colours(tmp_path)
    (tmp_path / "anger" / "0.png").write_bytes(b"not a picture")
    found = ablate(model, data, "all")
    assert [each.key for each in found.unreadable] == ["anger/0.png"]
    assert {row.scores.count for row in found.rows} == {5}
