"""What a network's graph returns: logits, and where the network has them class maps and an embedding.

Letters: B images, E emotions, C channels and rows x columns of the last map, D features, H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.model_folder import GRAPH_CLASS_MAPS, GRAPH_EMBEDDING, GRAPH_LOGITS
from affectlens.models.maps import (
    MapLayer,
    as_cells,
    as_maps,
    captured,
    frozen,
    linear_layers,
    reads_linearly,
    transformers,
)

NETWORK = "network"  # what precedes the names of a network's weights in `GraphNetwork`


class GraphNetwork(nn.Module):
    """A network with all that its graph returns: images (B, 3, H, W) -> a tensor for each of `names`.

    logits      (B, E)
    class_maps  (B, E, rows, columns): what each cell of the last map adds to each emotion's logit, less the
                mean over emotions; of networks that read that map linearly (Zhou et al., "Learning Deep
                Features for Discriminative Localization", CVPR 2016) and have no transformer
    embedding   (B, D): what the last linear layers read, side by side
    """

    def __init__(self, network: nn.Module, height: int, width: int) -> None:
        super().__init__()
        self.network = network.eval()
        self._layer = _map_layer(network, height, width)
        with torch.no_grad():
            logits = network(_noise(network, height, width))
        self._readers = _last_layers(network, height, width, logits.shape[1])
        if self._layer:
            self.register_buffer("map_weights", _map_weights(network, self._layer, height, width))
        self.names = (
            GRAPH_LOGITS,
            *([GRAPH_CLASS_MAPS] if self._layer else []),
            *([GRAPH_EMBEDDING] if self._readers else []),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        read: dict[str, Tensor] = {}

        def keep(name: str, values: Tensor) -> None:
            read[name] = values

        hooks = [
            self.network.get_submodule(name).register_forward_pre_hook(
                lambda _module, inputs, name=name: keep(name, inputs[0])
            )
            for name in self._readers
        ]
        if self._layer:
            layer = self.network.get_submodule(self._layer.path)
            hooks.append(layer.register_forward_hook(lambda _module, _inputs, values: keep("", values)))
        try:
            logits = self.network(images)
        finally:
            for hook in hooks:
                hook.remove()
        found = [logits]
        if self._layer:
            maps = as_maps(read[""], images.shape[2], images.shape[3])
            assert maps is not None, "`last_map` finds maps alone"
            found.append(self._class_maps(maps))
        if self._readers:
            found.append(torch.cat([read[name] for name in self._readers], dim=1))
        return tuple(found)

    def _class_maps(self, maps: Tensor) -> Tensor:
        """(B, C, rows, columns) -> (B, E, rows, columns)."""
        weights = self.get_buffer("map_weights")
        if weights.shape[2:] == (1, 1):
            return F.conv2d(maps, weights)
        return (maps[:, None] * weights).sum(dim=2)


def _map_layer(network: nn.Module, height: int, width: int) -> MapLayer | None:
    """Return the one layer whose output is all that is read of the picture by its place, if there is one."""
    if transformers(network) or not reads_linearly(network):
        return None
    layers = linear_layers(network, height, width)
    return layers[0] if len(layers) == 1 and not layers[0].is_input else None


def _map_weights(network: nn.Module, layer: MapLayer, height: int, width: int) -> Tensor:
    """Weights by which centred logits are read from the last map: (E, C, rows, columns), or (E, C, 1, 1)."""
    image = _noise(network, height, width)
    with frozen(network), torch.enable_grad(), captured(network, [layer]) as maps:
        logits = network(image)[0]
        centred = logits - logits.mean()
        gradients = [torch.autograd.grad(each, maps[layer], retain_graph=True)[0] for each in centred]
    weights = torch.cat([as_cells(each, image) for each in gradients]).detach()
    mean = weights.mean(dim=(2, 3), keepdim=True)
    return mean if torch.allclose(weights, mean.expand_as(weights), rtol=1e-4, atol=1e-8) else weights


def _last_layers(network: nn.Module, height: int, width: int, emotions: int) -> tuple[str, ...]:
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
            network(_noise(network, height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(found) if len(set(found)) == len(found) else ()


def _noise(network: nn.Module, height: int, width: int) -> Tensor:
    like = next(network.parameters(), torch.empty(0))
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(like)
