"""What a network's graph returns: logits, and where the network has them class maps and an embedding.

Letters: B images, E emotions, C channels and rows x columns of the last map, D features, H x W pixels.
"""

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.model_folder import (
    GRAPH_ATTRIBUTES,
    GRAPH_CLASS_MAPS,
    GRAPH_CONTRIBUTIONS,
    GRAPH_EMBEDDING,
    GRAPH_FEATURES,
    GRAPH_GRADIENT_MAPS,
    GRAPH_LOGITS,
    GRAPH_MAP_WEIGHTS,
    GRAPH_RATINGS,
    GRAPH_RESIDUAL,
    GRAPH_USUAL,
    GRAPH_USUAL_RESIDUAL,
    GRAPH_USUAL_WORDS,
)
from affectlens.models.capabilities import AttributeExplanation, HasAttributes
from affectlens.models.features import pooled, submodule
from affectlens.models.map_readers import MapReader, find_readers, read_maps
from affectlens.models.maps import (
    MOST_CELLS,
    Keeping,
    MapLayer,
    as_cells,
    as_maps,
    captured,
    frozen,
    linear_layers,
    noise_for,
    on_one_grid,
    reads_linearly,
)
from affectlens.ratings import MOST_PERCENT

RatedRow: TypeAlias = tuple[Any, float]  # weights (F,), and an offset
_POOLED = "pooled/"  # which a path of a layer that is read otherwise cannot begin with


class GraphNetwork(nn.Module):
    """A network with all that its graph returns: images (B, 3, H, W) -> a tensor for each of `names`.

    logits      (B, E)
    class_maps  (B, E, rows, columns): what each cell of the last map adds to each emotion's logit, less the
                mean over emotions; of networks that read that map linearly (Zhou et al., "Learning Deep
                Features for Discriminative Localization", CVPR 2016), and whose other branches, if any,
                can be taken apart. Of several such maps it is their sum (`maps.on_one_grid`)
    gradient_maps  (B, E, rows, columns): what cells add in these other branches, at first order; the sum of
                all (`map_readers`)
    embedding   (B, D): what the last linear layers read, side by side
    features    (B, F): the embedding and the pooled `layers` (`features.pooled`), where there are `layers`
    ratings/NAME (B,): what `rated` reads of the features, before it is cut off at the ends of its scale

    Of a network with attributes, also what `capabilities.AttributeExplanation` holds:
    attributes/NAME (B, W), contributions/NAME (B, E, W), usual_words/NAME (B, W),
    residual (B, E), usual (B, E), usual_residual (B, E)
    """

    def __init__(
        self,
        network: nn.Module,
        height: int,
        width: int,
        layers: Sequence[str] = (),
        rated: Mapping[str, RatedRow] = MappingProxyType({}),
        percents: Collection[str] = (),
    ) -> None:
        """Wrap a network for images of `height` x `width` pixels.

        `rated` holds by the name of a rating its weights (F,) and offset; `percents` are those that are
        labels in percent, of which these read log-odds. Raises `SettingsError` for layers without a map, and
        for ratings of a network without an embedding.
        """
        super().__init__()
        self.network = network = _of_size(network.eval(), height, width)
        linear = _map_layers(network, height, width)
        readers = find_readers(network, height, width) if linear else None
        self._layers = () if readers is None else linear
        self._map_readers: tuple[MapReader, ...] = readers or ()
        with torch.no_grad():
            logits = network(noise_for(network, height, width))
        self._readers = last_layers(network, height, width, logits.shape[1])
        self._pooled, self._rated = tuple(layers), tuple(rated)
        for path in self._pooled:
            submodule(network, path)  # an error of ours where there is none
        # What is read as the network runs, by name: the module's path, and whether it is its input.
        self._kept = {
            **{path: (path, True) for path in self._readers},
            **{f"{_POOLED}{path}": (path, False) for path in self._pooled},
            **{_map_weights_of(index): (each.path, False) for index, each in enumerate(self._layers)},
        }
        self._percents = frozenset(percents)
        if (layers or rated) and not self._readers:
            raise SettingsError("This network has no embedding, so no ratings can be read from it.")
        if rated:
            rows = [torch.as_tensor(weights, dtype=torch.float32) for weights, _ in rated.values()]
            self.register_buffer("rating_weights", torch.stack(rows))
            offsets = [float(offset) for _, offset in rated.values()]
            self.register_buffer("rating_offsets", torch.tensor(offsets))
        for index, layer in enumerate(self._layers):
            self.register_buffer(_map_weights_of(index), _map_weights(network, layer, height, width))
        self.names = (
            GRAPH_LOGITS,
            *([GRAPH_CLASS_MAPS] if self._layers else []),
            *([GRAPH_GRADIENT_MAPS] if self._map_readers else []),
            *([GRAPH_EMBEDDING] if self._readers else []),
            *([GRAPH_FEATURES] if self._pooled else []),
            *(f"{GRAPH_RATINGS}{name}" for name in self._rated),
            *self._names_of_attributes(height, width),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        own = Keeping(self.network, self._kept)
        keeping = [Keeping(self.network, reader.captured) for reader in self._map_readers]
        try:
            explained = self.network.explain(images) if isinstance(self.network, HasAttributes) else None
            logits = explained.logits if explained else self.network(images)
        finally:
            for kept in (own, *keeping):
                kept.remove()
        read = own.read
        found = [logits]
        if self._layers:
            names = map(_map_weights_of, range(len(self._layers)))
            found.append(on_one_grid([self._class_maps(name, read[name], images) for name in names]))
        if keeping:
            found.append(read_maps(self.network, self._map_readers, keeping, images))
        if self._readers:
            embedding = torch.cat([read[name] for name in self._readers], dim=1)
            found += [embedding, *self._read_features(embedding, read, images)]
        return (*found, *(_of_attributes(explained).values() if explained else ()))

    def _read_features(self, embedding: Tensor, read: Mapping[str, Tensor], images: Tensor) -> list[Tensor]:
        """Features, where layers are pooled, and the ratings."""
        parts = [pooled(path, read[f"{_POOLED}{path}"], images) for path in self._pooled]
        features = torch.cat([embedding, *parts], dim=1) if parts else embedding
        found = [features] if parts else []
        if self._rated:
            rows = F.linear(features, self.get_buffer("rating_weights"), self.get_buffer("rating_offsets"))
            named = zip(self._rated, rows.unbind(dim=1), strict=True)
            found += [MOST_PERCENT * row.sigmoid() if name in self._percents else row for name, row in named]
        return found

    def _names_of_attributes(self, height: int, width: int) -> tuple[str, ...]:
        if not isinstance(self.network, HasAttributes):
            return ()
        with torch.no_grad():
            return tuple(_of_attributes(self.network.explain(noise_for(self.network, height, width))))

    def _class_maps(self, name: str, values: Tensor, images: Tensor) -> Tensor:
        """What each cell of one layer adds: values of the layer -> (B, E, rows, columns)."""
        maps, weights = as_maps(values, images.shape[2], images.shape[3]), self.get_buffer(name)
        assert maps is not None, "`last_map` finds maps alone"
        if weights.shape[2:] == (1, 1):
            return F.conv2d(maps, weights)
        return (maps[:, None] * weights).sum(dim=2)


def _map_weights_of(index: int) -> str:
    """Name the weights of one of the last maps, and what is kept of it."""
    return f"{GRAPH_MAP_WEIGHTS}_{index + 1}" if index else GRAPH_MAP_WEIGHTS


def _of_size(network: nn.Module, height: int, width: int) -> nn.Module:
    """Copy a network whose transformers interpolate their positions, as it is for pictures of H x W pixels.

    Left in a graph, the interpolation is computed for every picture, and not by every engine alike.
    """
    copied = copy.deepcopy(network)
    for module in copied.modules():
        patches, positions = getattr(module, "patch_embed", None), getattr(module, "pos_embed", None)
        if positions is not None and getattr(patches, "img_size", None) not in (None, (height, width)):
            module.set_input_size(img_size=(height, width))  # type: ignore[operator]
    return copied


def _of_attributes(found: AttributeExplanation) -> dict[str, Tensor]:
    """Name the outputs of an explanation by attributes."""

    def of_each(usual: Tensor) -> Tensor:
        # With as many rows as pictures: a graph's outputs are tensors of batches.
        return usual[None].expand(found.logits.shape[0], -1)

    return {
        **{f"{GRAPH_ATTRIBUTES}{name}": each for name, each in found.attributes.items()},
        **{f"{GRAPH_CONTRIBUTIONS}{name}": each for name, each in found.contributions.items()},
        **{f"{GRAPH_USUAL_WORDS}{name}": of_each(usual) for name, usual in found.usual_words.items()},
        GRAPH_RESIDUAL: found.residual,
        GRAPH_USUAL: of_each(found.usual),
        GRAPH_USUAL_RESIDUAL: of_each(found.usual_residual),
    }


def _map_layers(network: nn.Module, height: int, width: int) -> tuple[MapLayer, ...]:
    """Return the layers whose output is read of the picture by position; none where others read it as well.

    Besides these, branches may read the picture that can be taken apart otherwise (`map_readers`).
    """
    if not reads_linearly(network):
        return ()
    layers = linear_layers(network, height, width)
    is_too_fine = _cells_of_one_grid(network, layers, height, width) > MOST_CELLS
    return () if is_too_fine or any(layer.is_input for layer in layers) else tuple(layers)


def _cells_of_one_grid(network: nn.Module, layers: Sequence[MapLayer], height: int, width: int) -> int:
    """How many cells a side the grid has that holds those of all layers' maps."""
    image = noise_for(network, height, width)
    with frozen(network), torch.no_grad(), captured(network, layers) as maps:
        network(image)
    shapes = [as_cells(each, image).shape[2:] for each in maps.values()]
    return max(math.lcm(*sides) for sides in zip(*shapes, strict=True))


def _map_weights(network: nn.Module, layer: MapLayer, height: int, width: int) -> Tensor:
    """Weights by which centred logits are read from the last map: (E, C, rows, columns), or (E, C, 1, 1)."""
    image = noise_for(network, height, width)
    with frozen(network), torch.enable_grad(), captured(network, [layer]) as maps:
        logits = network(image)[0]
        centred = logits - logits.mean()
        gradients = [torch.autograd.grad(each, maps[layer], retain_graph=True)[0] for each in centred]
    weights = torch.cat([as_cells(each, image) for each in gradients]).detach()
    mean = weights.mean(dim=(2, 3), keepdim=True)
    return mean if torch.allclose(weights, mean.expand_as(weights), rtol=1e-4, atol=1e-8) else weights


def last_layers(network: nn.Module, height: int, width: int, emotions: int) -> tuple[str, ...]:
    """Return the paths of linear layers that read as many logits as there are emotions, from one row each."""
    found: list[str] = []

    def note(name: str, values: Tensor) -> None:
        if values.ndim == 2 and len(values) == 1:
            found.append(name)

    hooks = [
        module.register_forward_pre_hook(lambda _module, inputs, name=name: note(name, inputs[0]))
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == emotions
    ]
    try:
        with torch.no_grad():
            network(noise_for(network, height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(found) if len(set(found)) == len(found) else ()
