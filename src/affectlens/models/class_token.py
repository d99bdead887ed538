"""What a transformer's class token reads of each patch in its last attention, for each emotion.

After the last attention no patch matters to a transformer that answers from its class token. There its answer
is linear in what the token attends to, as far as its last layers, a perceptron and two norms, are replaced by
their gradient at the picture: each patch adds its attention times the gradient by it (Chefer, Gur and Wolf,
"Generic Attention-Model Explainability", ICCV 2021, eq. 5, of the last block alone and with its sign). These
layers are few, so that the gradient is written out here, for all emotions at once: a graph has no gradients.

Letters: B pictures, E emotions, N tokens, K heads with d channels each, C = K d channels, h x w patches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.models.backbones import has_plain_last_block
from affectlens.models.gradients import gelu_gradient, through_layer_norm
from affectlens.models.maps import Keeping, as_maps, common_factor, frozen, noise_for


@dataclass(frozen=True)
class ClassTokenReader:
    """A transformer within a network, whose class token's last attention can be taken apart.

    Attributes:
        path: of the transformer, "" for the network itself
        last_block: the index of its last block
        factor: of its logits in those of the network, but for a number that all emotions have in common
    """

    path: str
    last_block: int
    factor: float = 1.0

    @property
    def captured(self) -> Mapping[str, tuple[str, bool]]:
        """See `map_readers.MapReader`."""
        begin = f"{self.path}." if self.path else ""
        block = f"{begin}blocks.{self.last_block}"
        return {
            "qkv": (f"{block}.attn.qkv", False),
            "attended": (f"{block}.norm2", True),
            "hidden": (f"{block}.mlp.fc1", False),
            "last": (f"{begin}norm", True),
        }

    def maps(self, network: nn.Module, read: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """See `map_readers.MapReader`; a cell is a patch."""
        trunk: Any = network.get_submodule(self.path)
        added = read_patches(network, self, read)[:, :, trunk.num_prefix_tokens :]
        found = as_maps(added.transpose(1, 2), height, width)
        assert found is not None, "tokens of a plain transformer cover the picture"
        return found


def find_class_token(network: nn.Module, path: str, height: int, width: int) -> ClassTokenReader | None:
    """Return what reads the transformer at a path: None for one of other parts.

    The network is run on noise, and what is found there is compared with autograd.
    """
    if not has_plain_last_block(network.get_submodule(path)):
        return None
    trunk: Any = network.get_submodule(path)
    reader = ClassTokenReader(path, len(trunk.blocks) - 1)
    with frozen(network):
        factor = _compared(network, reader, noise_for(network, height, width))
    return None if factor is None else replace(reader, factor=factor)


def read_patches(network: nn.Module, reader: ClassTokenReader, read: Mapping[str, Tensor]) -> Tensor:
    """What each token adds to each emotion's logit, less the mean over emotions: (B, E, N).

    `read` holds what `ClassTokenReader.captured` names, of the same pictures.
    """
    trunk: Any = network.get_submodule(reader.path)
    block = trunk.blocks[-1]
    attention, perceptron = block.attn, block.mlp
    batch, tokens, _ = read["qkv"].shape
    heads = read["qkv"].reshape(batch, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = heads.float().unbind(0)  # (B, K, N, d) each
    weights = ((query[:, :, :1] * attention.scale) @ key.transpose(-2, -1)).softmax(dim=-1)[:, :, 0]
    attended, hidden, last = (read[name][:, 0].float() for name in ("attended", "hidden", "last"))
    centred = trunk.head.weight - trunk.head.weight.mean(dim=0, keepdim=True)
    gradient = through_layer_norm(centred.float().expand(batch, -1, -1), last, trunk.norm)  # (B, E, C)
    inner = (_scaled(gradient, block.ls2) @ perceptron.fc2.weight.float()) * gelu_gradient(hidden)[:, None]
    inner = through_layer_norm(inner @ perceptron.fc1.weight.float(), attended, block.norm2)
    # As a product with the weights' transpose, as the layer has it: OpenVINO takes weights that a graph reads
    # in both ways, and that are square, for the same in both.
    outer = _scaled(gradient + inner, block.ls1)
    by_channel = attention.proj.weight.float().t() @ outer.transpose(1, 2)  # (B, C, E)
    by_head = by_channel.reshape(batch, attention.num_heads, value.shape[-1], -1)
    added = by_head.transpose(-2, -1) @ value.transpose(-2, -1) * weights[:, :, None]  # (B, K, E, N)
    found: Tensor = reader.factor * added.sum(dim=1)
    return found


def _scaled(gradient: Tensor, scale: Any) -> Tensor:
    return gradient if isinstance(scale, nn.Identity) else gradient * scale.gamma.float()


def _compared(network: nn.Module, reader: ClassTokenReader, image: Tensor) -> float | None:
    """The factor of the transformer's logits, None where ours are not what autograd finds."""
    trunk: Any = network.get_submodule(reader.path)
    module = trunk.blocks[-1].attn
    kept: list[Tensor] = []

    def capture(_module: nn.Module, _inputs: object, weights: Tensor) -> Tensor:
        kept.append(weights.detach().requires_grad_())
        return kept[-1]

    was, module.fused_attn = module.fused_attn, False
    hook, capturing = module.attn_drop.register_forward_hook(capture), Keeping(network, reader.captured)
    try:
        with torch.enable_grad():
            logits = network(image)[0]
            centred = logits - logits.mean()
            if len(kept) != 1 or len(kept[0]) != 1:  # one that averages a picture with its mirror image
                return None
            gradients = [torch.autograd.grad(each, kept[0], retain_graph=True)[0] for each in centred]
    finally:
        hook.remove()
        capturing.remove()
        module.fused_attn = was
    theirs = torch.stack([(kept[0] * each)[0, :, 0].sum(dim=0) for each in gradients]).detach()  # (E, N)
    with torch.no_grad():
        ours = read_patches(network, reader, {k: v.detach() for k, v in capturing.read.items()})[0]
    return common_factor(ours, theirs)
