"""The explanation methods by name: what each shows, how it is made, and which networks it suits.

One method, one file; a method's options are the fields of its dataclass, which can be called. To add one,
write its file and add its entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

from affectlens.errors import MissingExtra, SettingsError, UnknownName
from affectlens.explain.core.attribution import ExplainedModel, Method, network_of

_ROOM = "affectlens.explain.methods"


@dataclass(frozen=True)
class MethodEntry:
    """A method of the catalogue.

    Attributes:
        name: as users give it
        summary: one line for users: what it shows
        file, make_name: where its dataclass is, which is imported when it is used
        needs_network: whether it takes gradients of a network in torch or looks into it; the answers of any
            engine suffice for the others
        test: which function of the file returns whether a model can be explained, or its network where it
            `needs_network`; "" for all
        explains_ratings: whether it divides a rating, too, and not log-odds of emotions alone
        test_of_ratings: which function of the file returns whether a model's ratings can be explained; "" for
            those of all models that it suits
        depends_on_question: whether its map does; otherwise it is the same for every emotion
        extra: of the package, with which the libraries come that it needs
    """

    name: str
    summary: str
    file: str
    make_name: str
    needs_network: bool = True
    test: str = ""
    explains_ratings: bool = True
    test_of_ratings: str = ""
    depends_on_question: bool = True
    extra: str = "train"

    @property
    def make(self) -> Any:
        """`(**options) -> method`; its options are the fields of this dataclass.

        Raises `MissingExtra` where a library that it needs is not installed.
        """
        return getattr(self._module(), self.make_name)

    @property
    def options(self) -> Mapping[str, Any]:
        """Options by name, with their defaults: its own first, then those that it shares with others.

        Raises as `make` does.
        """
        known = self.make
        if not is_dataclass(known):
            return {}
        # What a base class has, its derived classes have, too.
        classes: tuple[type, ...] = self.make.__mro__
        ordered = sorted(fields(known), key=lambda each: sum(hasattr(c, each.name) for c in classes))
        return {each.name: each.default for each in ordered}

    def suits(self, model: ExplainedModel) -> bool:
        """Whether a model can be explained by it."""
        tested = network_of(model) if self.needs_network else model
        if tested is None:
            return False
        return not self.test or bool(getattr(self._module(), self.test)(tested))

    def suits_ratings(self, model: ExplainedModel) -> bool:
        """Whether a model's ratings can be explained by it, if it has any."""
        if not self.explains_ratings or not self.suits(model):
            return False
        return not self.test_of_ratings or bool(getattr(self._module(), self.test_of_ratings)(model))

    def _module(self) -> Any:
        try:
            return import_module(f"{_ROOM}.{self.file}")
        except ImportError as error:
            raise MissingExtra(
                f"The method {self.name}", (error.name or self.file).partition(".")[0], self.extra
            ) from None


METHODS: Mapping[str, MethodEntry] = MappingProxyType({
    entry.name: entry
    for entry in (
        MethodEntry("gradient", "where a small change of a pixel would change the answer most",
                    "gradient", "Gradient"),
        MethodEntry("gradient_times_input", "what the answer owes each pixel if the network were linear",
                    "gradient", "GradientTimesInput"),
        MethodEntry("smooth_gradient", "the gradient, averaged over noisy copies of the picture",
                    "smooth_gradient", "SmoothGradient"),
        MethodEntry("integrated_gradients",
                    "what the answer owes each pixel, compared with a picture that shows nothing",
                    "integrated_gradients", "IntegratedGradients"),
        MethodEntry("grad_cam", "what the cells of the last map add to the answer",
                    "grad_cam", "GradCam", test="makes_maps"),
        MethodEntry("cam", "what the answer owes each cell of a last map read linearly",
                    "cam", "Cam", needs_network=False, test="suits", test_of_ratings="suits_ratings"),
        MethodEntry("attention_rollout", "where a transformer attends, the same for every emotion",
                    "attention", "AttentionRollout", test="transformers", depends_on_question=False),
        MethodEntry("gradient_attention", "where a transformer attends to what speaks for the answer",
                    "attention", "GradientAttention", test="transformers"),
        MethodEntry("token_maps", "what MAM's tokens add to the answer, where they attend",
                    "token_maps", "TokenMaps", test="has_tokens", explains_ratings=False),
        MethodEntry("occlusion", "what is lost when a patch is covered",
                    "occlusion", "Occlusion", needs_network=False),
        MethodEntry("rise", "what tends to be there when the answer is strong, under random masks",
                    "rise", "Rise", needs_network=False),
        MethodEntry("lime", "a linear surrogate of the network near the picture, by superpixel",
                    "superpixels", "Lime", extra="superpixels"),
        MethodEntry("shap", "what a superpixel adds on average, in whichever order they come",
                    "superpixels", "Shap", extra="superpixels"),
    )
})  # fmt: skip

# The first that suits a model is its default, by docs/results/explanations.md. `rise` suits all.
DEFAULTS = ("cam", "grad_cam", "rise")
# Of ratings, which are read of more than the last maps, by docs/results/rating_maps.md. It suits all models.
DEFAULT_OF_RATINGS = "occlusion"


def find(name: str) -> MethodEntry:
    """Return a method by name. Raises `UnknownName`."""
    if name not in METHODS:
        raise UnknownName("method", name, METHODS, "the explanations")
    return METHODS[name]


def make(name: str, **options: Any) -> Method:
    """Make a method with its options.

    Raises `UnknownName` for a method, `SettingsError` for an option that it does not have, and `MissingExtra`
    where a library that it needs is not installed.
    """
    entry = find(name)
    for option in options:
        if option not in entry.options:
            known = ", ".join(entry.options) or "none"
            raise SettingsError(f"The method {name} has no option {option!r}. Its options: {known}.")
    method: Method = entry.make(**options)
    return method


def default_for(model: ExplainedModel, *, ratings: bool = False) -> str:
    """Name the method that explains a model, or its `ratings`, unless another is named."""
    if ratings:
        return DEFAULT_OF_RATINGS
    return next(name for name in DEFAULTS if METHODS[name].suits(model))


def suitable_for(model: ExplainedModel, *, ratings: bool = False) -> list[str]:
    """Name the methods that can explain a model, or its `ratings`."""
    return [
        name
        for name, each in METHODS.items()
        if (each.suits_ratings(model) if ratings else each.suits(model))
    ]
