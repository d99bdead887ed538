"""The explanations by name: what each is, how it is made, and of which networks.

One method, one file; a method's options are the fields of its dataclass, which can be called. To add one,
write its file and add its entry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.gradient import Gradient, GradientTimesInput
from affectlens.explain.subject import Method


def any_network(network: nn.Module) -> bool:
    """Suit every network."""
    return True


@dataclass(frozen=True)
class MethodEntry:
    """A method of the catalogue.

    Attributes:
        name: as users give it
        summary: one line for users: what it shows
        make: `(**options) -> method`; its options are the fields of this dataclass
        suits: whether a network can be explained by it
        asks: whether its map depends on the question; without, it is the same for every emotion
    """

    name: str
    summary: str
    make: Callable[..., Method]
    suits: Callable[[nn.Module], bool] = any_network
    asks: bool = True

    @property
    def options(self) -> Mapping[str, Any]:
        """What may be set, with its defaults."""
        known = fields(self.make) if is_dataclass(self.make) else ()
        return MappingProxyType({field.name: field.default for field in known})


METHODS: Mapping[str, MethodEntry] = MappingProxyType({
    entry.name: entry
    for entry in (
        MethodEntry("gradient", "where a small change of a pixel would change the answer most", Gradient),
        MethodEntry("gradient_times_input", "what the answer owes each pixel if the network were linear",
                    GradientTimesInput),
    )
})  # fmt: skip


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


def suiting(network: nn.Module) -> list[str]:
    """Name the methods that can explain a network."""
    return [name for name, entry in METHODS.items() if entry.suits(network)]
