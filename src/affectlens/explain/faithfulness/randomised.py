"""A network that has unlearnt everything: what a map that explains it must not look like.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018.
"""

import copy
import math
from dataclasses import replace

import torch

from affectlens.explain.core.differentiable import DifferentiableModel


def randomised(model: DifferentiableModel, *, share: float = 1.0, seed: int = 0) -> DifferentiableModel:
    """Copy a network with its weights shuffled, each layer's among themselves: it has unlearnt everything.

    `share` of its layers, from the last towards the first in order of definition: a share that grows is the
    cascade of Adebayo et al., who sample new weights. Shuffling keeps each layer's scale instead, so that
    answers neither vanish nor explode. A map that stays the same does not show what the network has learnt.
    """
    network = copy.deepcopy(model.network)
    generator = torch.Generator().manual_seed(seed)
    layers = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    with torch.no_grad():
        for layer in layers[len(layers) - math.ceil(share * len(layers)) :]:
            for parameter in layer.parameters(recurse=False):
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    name = f"{model.name}, weights shuffled"
    return replace(model, network=network, name=name, attributes=(), weights_id="")
