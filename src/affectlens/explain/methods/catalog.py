"""The explanation methods by name: what each shows, how it is made, and which networks it suits.

One method, one file; a method's options are the fields of its dataclass, which can be called. To add one,
write its file and add its entry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.attribution import Method
from affectlens.explain.methods.attention import AttentionRollout, GradientAttention, transformers
from affectlens.explain.methods.cam import Cam, reads_linearly
from affectlens.explain.methods.grad_cam import GradCam, makes_maps
from affectlens.explain.methods.gradient import Gradient, GradientTimesInput
from affectlens.explain.methods.integrated_gradients import IntegratedGradients
from affectlens.explain.methods.occlusion import Occlusion
from affectlens.explain.methods.rise import Rise
from affectlens.explain.methods.smooth_gradient import SmoothGradient
from affectlens.explain.methods.superpixels import Lime, Shap
from affectlens.explain.methods.token_maps import TokenMaps
from affectlens.models.capabilities import HasTokens


def any_network(network: nn.Module) -> bool:
    """Suit every network."""
    return True


def with_transformer(network: nn.Module) -> bool:
    """Suit a network with a transformer whose attention reaches across the picture."""
    return bool(transformers(network))


def with_tokens(network: nn.Module) -> bool:
    """Suit a network with semantic tokens."""
    return isinstance(network, HasTokens)


@dataclass(frozen=True)
class MethodEntry:
    """A method of the catalogue.

    Attributes:
        name: as users give it
        summary: one line for users: what it shows
        make: `(**options) -> method`; its options are the fields of this dataclass
        suits: whether a network can be explained by it
        depends_on_question: whether its map does; otherwise it is the same for every emotion
    """

    name: str
    summary: str
    make: Callable[..., Method]
    suits: Callable[[nn.Module], bool] = any_network
    depends_on_question: bool = True

    @property
    def options(self) -> Mapping[str, Any]:
        """Options by name, with their defaults: its own first, then those that it shares with others."""
        # A dataclass, if it has options.
        known: Any = self.make
        if not is_dataclass(known):
            return {}
        # What a base class has, its derived classes have, too.
        classes = self.make.__mro__  # type: ignore[attr-defined]
        ordered = sorted(fields(known), key=lambda each: sum(hasattr(c, each.name) for c in classes))
        return {each.name: each.default for each in ordered}


METHODS: Mapping[str, MethodEntry] = MappingProxyType({
    entry.name: entry
    for entry in (
        MethodEntry("gradient",
                    "where a small change of a pixel would change the answer most", Gradient),
        MethodEntry("gradient_times_input",
                    "what the answer owes each pixel if the network were linear", GradientTimesInput),
        MethodEntry("smooth_gradient",
                    "the gradient, averaged over noisy copies of the picture", SmoothGradient),
        MethodEntry("integrated_gradients",
                    "what the answer owes each pixel, compared with a picture that shows nothing",
                    IntegratedGradients),
        MethodEntry("grad_cam",
                    "what the cells of the last map add to the answer", GradCam, makes_maps),
        MethodEntry("cam",
                    "what the answer owes each cell of a last map read linearly", Cam, reads_linearly),
        MethodEntry("attention_rollout",
                    "where a transformer attends, the same for every emotion",
                    AttentionRollout, with_transformer, depends_on_question=False),
        MethodEntry("gradient_attention",
                    "where a transformer attends to what speaks for the answer",
                    GradientAttention, with_transformer),
        MethodEntry("token_maps",
                    "what MAM's tokens add to the answer, where they attend", TokenMaps, with_tokens),
        MethodEntry("occlusion",
                    "what is lost when a patch is covered", Occlusion),
        MethodEntry("rise",
                    "what tends to be there when the answer is strong, under random masks", Rise),
        MethodEntry("lime",
                    "a linear surrogate of the network near the picture, by superpixel", Lime),
        MethodEntry("shap",
                    "what a superpixel adds on average, in whichever order they come", Shap),
    )
})  # fmt: skip

# The first that suits a network is its default, by docs/results/explanations.md. `rise` suits all.
DEFAULTS = ("cam", "grad_cam", "rise")


def find(name: str) -> MethodEntry:
    """Return a method by name. Raises `UnknownName`."""
    if name not in METHODS:
        raise UnknownName("method", name, METHODS, "the explanations")
    return METHODS[name]


def make(name: str, **options: Any) -> Method:
    """Make a method with its options.

    Raises `UnknownName` for a method, `SettingsError` for an option that it does not have.
    """
    entry = find(name)
    for option in options:
        if option not in entry.options:
            known = ", ".join(entry.options) or "none"
            raise SettingsError(f"The method {name} has no option {option!r}. Its options: {known}.")
    return entry.make(**options)


def default_for(network: nn.Module) -> str:
    """Name the method that explains a network unless another is named."""
    return next(name for name in DEFAULTS if METHODS[name].suits(network))


def suitable_for(network: nn.Module) -> list[str]:
    """Name the methods that can explain a network."""
    return [name for name, entry in METHODS.items() if entry.suits(network)]
