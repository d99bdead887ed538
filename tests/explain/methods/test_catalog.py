"""What every method promises of every network that it suits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.attribution import Method
from affectlens.explain.core.differentiable import DifferentiableModel
from affectlens.explain.core.question import make_question
from affectlens.explain.faithfulness.measurements import Measurement
from affectlens.explain.faithfulness.results import decide, summarise
from affectlens.explain.methods import catalog as methods
from affectlens.models import saved
from affectlens.preprocess import Images
from planted import model_of, small_member
from planted_arrays import gaussian, why_fear

SIDE = 160
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "convolutional": ("test_resnet", {}),
    "transformer": ("test_vit", {}),
    "pair": ("pair", {"transformer": "test_vit", "convolutional": "test_efficientnet"}),
    "mlm_paper": ("mlm_paper", {"backbone": "test_resnet", "reduction": 2}),
    "mam_paper": ("mam_paper", {"backbone": "test_resnet"}),
}
# A method that takes many steps takes few here: what is promised does not depend on them.
QUICK: dict[str, dict[str, Any]] = {
    "smooth_gradient": {"samples": 2},
    "integrated_gradients": {"min_steps": 3, "max_steps": 3},
    "occlusion": {"patch": 0.4, "stride": 0.3},
    "rise": {"masks": 16},
    "lime": {"segments": 4, "samples": 12},
    "shap": {"segments": 4, "samples": 12},
}
NOT_FOR = {
    "cam": {"transformer", "mam_paper"},
    "attention_rollout": {"convolutional", "mlm_paper", "mam_paper"},
    "gradient_attention": {"convolutional", "mlm_paper", "mam_paper"},
    "token_maps": set(NETWORKS) - {"mam_paper"},
}
# These read layers within a network, so they are tested on every kind. All others depend on its answers and
# their gradients alone, for which one network is as good as another.
READS_LAYERS = {"grad_cam", "cam", "attention_rollout", "gradient_attention", "token_maps"}
SUITED = [
    (method, kind)
    for method in methods.METHODS
    for kind in (NETWORKS if method in READS_LAYERS else ["pair"])
    if kind not in NOT_FOR.get(method, ())
]
# Two of one polarity and one of the other: a map must depend on the emotion, not on its polarity alone.
EMOTIONS = ("fear", "anger", "awe")
every_method = pytest.mark.parametrize("method", methods.METHODS)
every_pair = pytest.mark.parametrize(("method", "kind"), SUITED)


def network_of(kind: str) -> nn.Module:
    name, options = NETWORKS[kind]
    return small_member(name, **options)


def model_of_kind(kind: str) -> DifferentiableModel:
    return model_of(network_of(kind), SIDE)


def picture() -> Images:
    return gaussian(0, SIDE)


def quick(method: str) -> Method:
    return methods.make(method, **QUICK.get(method, {}))


def state_of(network: nn.Module) -> list[Any]:
    """Everything about a network that an explanation might leave changed."""
    modules = [
        (name, m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks),
         getattr(m, "fused_attn", None), "forward" in vars(m))
        for name, m in network.named_modules()
    ]  # fmt: skip
    weights = [(name, p.requires_grad, p.grad is None) for name, p in network.named_parameters()]
    return [modules, weights, {name: value.clone() for name, value in network.state_dict().items()}]


def assert_unchanged(before: list[Any], after: list[Any]) -> None:
    assert before[:2] == after[:2]
    assert all(torch.equal(value, after[2][name]) for name, value in before[2].items())


@pytest.mark.parametrize(
    ("method", "kind"), [*SUITED, *(("gradient", kind) for kind in NETWORKS if kind != "pair")]
)
def test_a_picture_becomes_a_map_of_its_size_the_same_each_time(method: str, kind: str) -> None:
    model = model_of_kind(kind)
    found = quick(method)(model, picture(), why_fear())
    assert found.values.shape == (SIDE, SIDE)
    assert type(found.values) is np.ndarray and found.values.dtype == np.float32
    assert np.isfinite(found.values).all()
    assert float(found.values.std()) > 0
    assert found.details["seconds"] > 0
    assert np.array_equal(found.values, quick(method)(model, picture(), why_fear()).values)


@every_pair
def test_each_emotion_has_its_own_map(method: str, kind: str) -> None:
    model = model_of_kind(kind)
    maps = [quick(method)(model, picture(), make_question(MIKELS, word)).values for word in EMOTIONS]
    pairs = [(one, two) for index, one in enumerate(maps) for two in maps[:index]]
    same = [np.allclose(one, two, rtol=1e-3, atol=1e-3 * float(np.abs(one).max())) for one, two in pairs]
    assert all(same) if not methods.find(method).depends_on_question else not any(same)


@pytest.mark.parametrize(
    ("method", "kind", "interrupted_at"),
    [
        (method, kind, call)
        for method, kind in SUITED
        # A pair has layers of both kinds, those whose input and those whose output is read.
        for call in ([0, 1, 2] if kind == "pair" or method == "token_maps" else [0])
    ],
)
def test_a_network_is_left_as_it_was_also_when_interrupted(
    method: str, kind: str, interrupted_at: int
) -> None:
    model = model_of_kind(kind)
    network, calls = model.network, 0
    network.train()  # what a model should not be, and must not be changed from
    list(network.children())[-1].eval()
    next(network.parameters()).requires_grad_(True)

    def interrupt(_module: nn.Module, _inputs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == interrupted_at:
            raise KeyboardInterrupt

    # At the first convolution, which every way through a network begins with.
    next(m for m in network.modules() if isinstance(m, nn.Conv2d)).register_forward_pre_hook(interrupt)
    before = state_of(network)
    try:
        quick(method)(model, picture(), why_fear())
    except KeyboardInterrupt:
        assert calls == interrupted_at
    else:
        assert interrupted_at != 1, "the network was never run"
    assert_unchanged(before, state_of(network))


@pytest.mark.parametrize(
    ("method", "kind"), [(m, kind) for m, kinds in NOT_FOR.items() for kind in sorted(kinds)]
)
def test_a_method_that_does_not_suit_a_network_is_an_error(method: str, kind: str) -> None:
    model = model_of_kind(kind)
    assert not methods.find(method).suits(model)
    with pytest.raises(SettingsError):
        quick(method)(model, picture(), why_fear())


@every_method
def test_every_entry_has_a_summary_and_options_that_make_it(method: str) -> None:
    entry = methods.find(method)
    assert entry.name == method
    assert entry.summary
    assert methods.make(method, **entry.options) == entry.make()


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_offered_the_methods_that_suit_it(kind: str) -> None:
    assert methods.suitable_for(model_of_kind(kind)) == [
        m for m in methods.METHODS if kind not in NOT_FOR.get(m, ())
    ]


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_network_has_a_default_that_suits_it(kind: str) -> None:
    model = model_of_kind(kind)
    assert methods.default_for(model) in methods.suitable_for(model)


def test_the_default_models_default_is_what_the_comparison_supports() -> None:
    document = Path(__file__).parents[3] / "benchmarks" / "results" / "explanations.json"
    rows = [Measurement.from_json(row) for row in json.loads(document.read_text())["rows"]]
    assert methods.default_for(DifferentiableModel.of(saved.load())) == decide(summarise(rows)).chosen


def test_a_misspelt_method_or_option_is_an_error() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'grad_cam'"):
        methods.make("gradcam")
    with pytest.raises(SettingsError, match="no option 'setps'"):
        methods.make("integrated_gradients", setps=4)


@every_method
def test_options_that_methods_share_are_checked_in_each_and_listed_after_its_own(method: str) -> None:
    options = methods.METHODS[method].options
    if "baseline" in options:
        assert list(options)[-2:] == ["baseline", "seed"]
        with pytest.raises(UnknownName, match="baseline"):
            methods.make(method, baseline="grey")
    if "batch_size" in options:
        assert list(options)[-3:] == ["replacement", "batch_size", "seed"]
        with pytest.raises(SettingsError, match="batch_size is 0"):
            methods.make(method, batch_size=0)
