"""Write docs/zoo/NAME.md for each network of the catalogue.

    python benchmarks/zoo.py

What each page has comes from the catalogue, from the network itself (its tensors, weights and operations for
a picture of its recipe's size), from the recipes, and from zoo.toml.
"""

import inspect
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import result_page
from affectlens.attributes import Attribute
from affectlens.models import catalog
from affectlens.models.network_entry import NetworkEntry
from affectlens.preprocess import Preprocessing
from affectlens.recipes.catalog import RECIPES, recipe
from affectlens.report.text import markdown_table
from affectlens.training.attributes import network_options
from affectlens.training.settings import Settings

FACTS = Path(__file__).with_name("zoo.toml")
OUT = result_page.RESULTS.parent / "zoo"
EMOTIONS = 8
# Of networks that are not named after theirs.
MODULES = {"pair": "ensemble", "vit_attributes": "vit_attributes"}
# Of the data set that a network with attributes is made for, some.
ATTRIBUTES = (Attribute("scene", ("beach", "street", "forest")), Attribute("brightness", ("dark", "light")))


@dataclass(frozen=True)
class Figure:
    """A published accuracy in percent, and which of the sources has it."""

    data: str
    accuracy: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a network besides its code.

    Attributes:
        page: section of the documentation that describes it
        measured: page with our own figures; "" where there are none
        figures: published ones
    """

    name: str
    page: str
    measured: str = ""
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Zoo:
    """All networks, and the sources of published figures."""

    sources: Mapping[str, str]
    networks: tuple[Facts, ...]

    @classmethod
    def read(cls, file: Path = FACTS) -> "Zoo":
        """Read it. Raises `ValueError` where it names other networks than the catalogue."""
        zoo = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), cls)
        named = {facts.name for facts in zoo.networks}
        if named != set(catalog.NETWORKS):
            raise ValueError(f"{file} and the catalogue differ in {sorted(named ^ set(catalog.NETWORKS))}.")
        return zoo


@dataclass(frozen=True)
class Measured:
    """What a network is made of.

    Attributes:
        weights: how many
        operations: multiplications and additions of one picture
        tensors: by the name of a part, the shape of what it returns for one picture
    """

    weights: int
    operations: int
    tensors: Mapping[str, tuple[int, ...]]


def recipes_of(name: str) -> list[str]:
    """Names of the recipes that train a network; of one that has none, its own, by `plain`."""
    architecture = _architecture(name)
    found = [each for each in RECIPES if _architecture(recipe(each).network) == architecture]
    return found or [name]


def _architecture(name: str) -> str:
    """Name what is trained, whichever weights it starts from."""
    return (catalog.find(name).timm_name or name).partition(".")[0]


def measure(name: str, settings: Settings) -> Measured:
    """Build a network without weights, and run one picture of the recipe's size through it."""
    entry = catalog.find(name)
    options: dict[str, Any] = dict(settings.network_options)
    if entry.attributes:
        options |= network_options(settings, ATTRIBUTES)
    network = catalog.build(name, EMOTIONS, **options).eval()
    size = _size(name, settings)
    images = torch.zeros(1, 3, size.height, size.width)
    tensors: dict[str, tuple[int, ...]] = {}
    for part, module in _parts(network):
        module.register_forward_hook(lambda _, __, out, part=part: _keep(tensors, part, out))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(images)
    weights = sum(weight.numel() for weight in network.parameters())
    return Measured(weights, counter.get_total_flops(), tensors)


def _size(name: str, settings: Settings) -> Preprocessing:
    return settings.preprocessing.resolved(catalog.expected_input(name, settings.network_options))


def _parts(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return what the network consists of, two levels deep where a part holds several."""
    found = []
    for name, module in network.named_children():
        inner = [(f"{name}.{key}", each) for key, each in module.named_children()]
        found += inner if 1 < len(inner) <= 11 else [(name, module)]
    return found


def _keep(tensors: dict[str, tuple[int, ...]], part: str, out: Any) -> None:
    if isinstance(out, Tensor):
        tensors.setdefault(part, tuple(out.shape))


def page(facts: Facts, zoo: Zoo) -> str:
    """Write the page of a network as Markdown."""
    entry = catalog.find(facts.name)
    trained_by = recipes_of(facts.name)
    settings = recipe(trained_by[0])
    measured = measure(facts.name, settings)
    side = _size(facts.name, settings)
    timm_name = f" (timm: `{entry.timm_name}`)" if entry.timm_name else ""
    lines = [
        f"# {facts.name}",
        "",
        "Written by `benchmarks/zoo.py` from the catalogue, the network and `benchmarks/zoo.toml`.",
        "",
        f"{entry.summary[0].upper()}{entry.summary[1:]}{timm_name}. Source: {entry.source}. What it is and "
        f"where it departs from its paper: [{facts.page.partition('#')[0]}](../{facts.page})"
        f"{_file_of(entry)}.",
        "",
        f"- Weights: {measured.weights / 1e6:.1f} million.",
        f"- Operations for a picture of {side.width}x{side.height} pixels: {measured.operations / 2e9:.2f} "
        "billion multiplications with their additions (GMAC).",
        f"- Options: {', '.join(f'`{name}`' for name in entry.options) or 'none'}.",
        f"- Recipes: {', '.join(f'`affectlens train {name}`' for name in trained_by)}.",
        "",
        "## Tensors",
        "",
        f"What each part returns for one picture, {EMOTIONS} emotions:",
        "",
        markdown_table(
            ["part", "shape"],
            [["images", f"1 x 3 x {side.height} x {side.width}"],
             *([f"`{part}`", " x ".join(map(str, shape))] for part, shape in measured.tensors.items())],
            left=2,
        ),
        "",
        "## Published figures",
        "",
        *_published(facts, zoo),
        "",
        "## Measured here",
        "",
        f"[{facts.measured}](../{facts.measured})." if facts.measured else "Not measured here.",
    ]  # fmt: skip
    return "\n".join(lines)


def _file_of(entry: NetworkEntry) -> str:
    """Link the file of a network of our own."""
    if entry.timm_name:
        return ""
    module = MODULES.get(entry.name, entry.name.partition("_")[0])
    file = inspect.getsourcefile(import_module(f"affectlens.models.{module}"))
    assert file is not None
    return f" and [models/{module}.py](../../src/affectlens/models/{module}.py)"


def _published(facts: Facts, zoo: Zoo) -> list[str]:
    if not facts.figures:
        return ["None that we know of."]
    rows = [[each.data, f"{each.accuracy:.2f} %", zoo.sources[each.source]] for each in facts.figures]
    return [
        markdown_table(["data", "accuracy", "source and protocol"], rows, left=3),
        "",
        "They are of other copies and splits of the data than ours: figures measured here do not compare.",
    ]


def write_all(out: Path = OUT) -> None:
    """Write all pages and their index, instead of those that are there."""
    zoo = Zoo.read()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    rows = []
    for facts in zoo.networks:
        result_page.write_text(out / f"{facts.name}.md", page(facts, zoo))
        entry = catalog.find(facts.name)
        rows.append([f"[{facts.name}]({facts.name}.md)", entry.summary, entry.source])
    index = "# Networks, one by one\n\nWritten by `benchmarks/zoo.py`.\n\n"
    result_page.write_text(out / "README.md", index + markdown_table(["network", "", "source"], rows, left=3))


if __name__ == "__main__":
    write_all()
