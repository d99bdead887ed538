"""A network in torch, ready for use: batches of fitted pixels in, calibrated probabilities out.

What makes it fast on a CPU, each measured with the default network's parts on two cores with AMX:

    bfloat16 products      2.5 x for DeiT-Tiny, 1.6 x for MobileNetV2, where the hardware multiplies it; only
                           by request, since answers differ by it
    channels last          1.8 x for MobileNetV2; nothing for the transformer
    folded batch norms     1.2 x for both together: a convolutional network else rewrites every map
    eight at once          1.15 x against thirty-two, whose maps fall out of the cache
    one core to a batch    1.05 to 1.15 x against both on each, where they wait for one another

Not used, because they gained less than a twentieth or were lost in the noise: layer norms and sums in
bfloat16 as well, `suit_cpu` (which is for training), `keep_freed_memory`.

Letters: B pictures, H x W pixels, E emotions.
"""

import copy
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from affectlens.data.prefetch import map_ahead
from affectlens.errors import SettingsError
from affectlens.images import Pixels
from affectlens.inference.attribute_evidence import ExplainedAttributes
from affectlens.inference.engine import CPU_BATCH, TORCH, Answers, In, Out, OwnProcess, Probabilities
from affectlens.inference.labelled import as_arrays, forward
from affectlens.machine import autocast, pick_device, pick_precision
from affectlens.model_folder import GRAPH_LOGITS
from affectlens.models import saved
from affectlens.models.capabilities import HasAttributes
from affectlens.models.features import FeatureNetwork
from affectlens.models.graph_outputs import last_layers
from affectlens.models.network_input import normalise, to_tensor
from affectlens.models.saved import Model
from affectlens.preprocess import Images
from affectlens.ratings import RatingHead


class TorchEngine:
    """A network on a device: pixels, uint8 (B, H, W, 3) -> probabilities, float32 (B, E).

    The model's own network is copied and stays as it is. `auto` is float32, in which answers are the same
    alone and in any batch within 1e-5, and those of all other engines within 1e-4. bfloat16 has to be
    requested: a probability of the default model then differs by up to .04, and by .02 for one picture in a
    hundred.
    Raises `SettingsError` for a device that is not here or an unknown precision.
    """

    name = TORCH

    def __init__(self, model: Model, device: str = "auto", precision: str = "auto") -> None:
        self.card = model.card
        self._process = OwnProcess("torch")
        self._device = pick_device(device)
        # Not what the hardware would do fastest: an answer must not depend on the machine.
        self._dtype = pick_precision("float32" if precision == "auto" else precision, self._device)
        self.device, self.precision = str(self._device), str(self._dtype).removeprefix("torch.")
        size = self.card.preprocessing
        network = fold_batch_norms(model.network.eval(), size.height, size.width).requires_grad_(False)
        if self._dtype != torch.float32:
            _cast_weights(network, self._dtype)
        self.network = network.to(self._device).to(memory_format=torch.channels_last)
        self.heads = model.heads
        self._head = RatingHead.from_tensors(model.heads) if self.card.ratings else None
        self._reader = self._feature_reader(model.network) if self.card.ratings or self.card.unusual else None

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> "TorchEngine":
        """Load a model folder. Raises `ModelNotFound`, `BadModelFolder` and what making one raises."""
        return cls(saved.load_model(folder), device, precision)

    def __call__(self, pixels: Pixels) -> Probabilities:
        """Predict a batch. Each row sums to 1; logits are divided by the model's temperature before."""
        self._process.require()
        logits = [
            forward(self.network, part, self.card.preprocessing, self._device, self._dtype)
            for part in torch.split(to_tensor(pixels), self.at_once(len(pixels)))
        ]
        return self._probabilities(torch.cat(logits))

    def predict_images(self, images: Images) -> Probabilities:
        """Predict normalised images, float32 (B, 3, H, W)."""
        self._process.require()
        with torch.inference_mode(), autocast(self._device, self._dtype):
            logits = [self.network(part) for part in self._parts_of(images)]
        return self._probabilities(torch.cat(logits).float().cpu())

    def _feature_reader(self, network: nn.Module) -> FeatureNetwork:
        size = self.card.preprocessing
        readers = last_layers(network, size.height, size.width, len(self.card.vocabulary))
        return FeatureNetwork(self.network, readers, self.card.feature_layers)

    def answer(self, pixels: Pixels) -> Answers:
        """Predict a batch with its ratings and what unusual pictures are known by."""
        if self._reader is None:
            return Answers(self(pixels))
        parts = torch.split(to_tensor(pixels), self.at_once(len(pixels)))
        return self._answers(self._reader, (self._images(part) for part in parts))

    def answer_images(self, images: Images) -> Answers:
        """Predict normalised images, float32 (B, 3, H, W), as `answer` does."""
        if self._reader is None:
            return Answers(self.predict_images(images))
        return self._answers(self._reader, self._parts_of(images))

    def _parts_of(self, images: Images) -> Iterator[Tensor]:
        """Divide images into what goes through the network together, on the device."""
        # Contiguous, since torch takes no views such as mirror images.
        tensor = torch.from_numpy(np.ascontiguousarray(images))
        for part in torch.split(tensor, self.at_once(len(images))):
            yield part.to(self._device).contiguous(memory_format=torch.channels_last)

    def _answers(self, reader: FeatureNetwork, parts: Iterable[Tensor]) -> Answers:
        self._process.require()
        with torch.inference_mode(), autocast(self._device, self._dtype):
            read = [reader(part) for part in parts]
        logits, embedding, features = (torch.cat(each).float().cpu() for each in zip(*read, strict=True))
        ratings = self._head.read(features.numpy()) if self._head else None
        probabilities = self._probabilities(logits)
        return Answers(probabilities, ratings, embedding.numpy() if self.card.unusual else None)

    def _images(self, pixels: Tensor) -> Tensor:
        images = normalise(pixels.to(self._device), self.card.preprocessing)
        return images.contiguous(memory_format=torch.channels_last)

    @property
    def outputs(self) -> tuple[str, ...]:
        """A network in torch returns logits alone."""
        return (GRAPH_LOGITS,)

    def output(self, images: Images, name: str) -> NDArray[np.float32]:
        """Refuse: other outputs are a graph's."""
        return self.read_outputs(images, [name])[0]

    def read_outputs(self, images: Images, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """Refuse, as `output` does."""
        raise SettingsError(f"The engine {TORCH} returns no output {names[0]!r}: use an engine for graphs.")

    def _probabilities(self, logits: Tensor) -> Probabilities:
        # In float64, so that not even many words' rounding errors add up to anything.
        return (logits.double() / self.card.temperature).softmax(dim=1).float().numpy()

    @property
    def explains(self) -> bool:
        """Whether the network has attributes (`models.capabilities.HasAttributes`)."""
        return isinstance(self.network, HasAttributes)

    def explain(self, pixels: Pixels) -> tuple[Answers, ExplainedAttributes]:
        """Predict a batch that goes through the network together, and explain it by attributes."""
        assert isinstance(self.network, HasAttributes), "the card lists attributes, so the network has them"
        self._process.require()
        with torch.inference_mode(), autocast(self._device, self._dtype):
            found = self.network.explain(self._images(to_tensor(pixels)))
        answers = (
            self.answer(pixels) if self._reader else Answers(self._probabilities(found.logits.float().cpu()))
        )
        return answers, as_arrays(found)

    def at_once(self, batch_size: int) -> int:
        """Return how many pictures of a batch go through the network together."""
        return min(batch_size, CPU_BATCH) if self._device.type == "cpu" else max(1, batch_size)

    def map(self, predict: Callable[[In], Out], batches: Iterable[In]) -> Generator[Out, None, None]:
        """Yield `predict(batch)` for each batch in order; `predict` is what calls this engine.

        On a CPU as many batches are predicted at once as torch may use cores, one core for each: cores
        that share a batch wait for one another after every layer. Meanwhile torch gives one core to
        threads that are new to it.
        """
        cores = torch.get_num_threads()
        if self._device.type != "cpu" or cores == 1:
            yield from map(predict, batches)
            return

        def on_one_core(batch: In) -> Out:
            torch.set_num_threads(1)
            return predict(batch)

        with _one_thread_per_batch(), closing(map_ahead(on_one_core, batches, ahead=cores + 1)) as results:  # type: ignore[type-var]
            yield from results


class _ThreadLimit:
    """How many jobs limit torch to one core for each thread, and how many it used before the first."""

    lock = Lock()
    jobs = 0
    cores = 1


@contextmanager
def _one_thread_per_batch() -> Iterator[None]:
    """Restore torch's number of threads, which is one for the entire process, when the last job ends."""
    with _ThreadLimit.lock:
        if not _ThreadLimit.jobs:
            _ThreadLimit.cores = torch.get_num_threads()
        _ThreadLimit.jobs += 1
    try:
        yield
    finally:
        with _ThreadLimit.lock:
            _ThreadLimit.jobs -= 1
            if not _ThreadLimit.jobs:
                torch.set_num_threads(_ThreadLimit.cores)


def _cast_weights(network: nn.Module, precision: torch.dtype) -> None:
    """Cast once the weights that autocast would cast in every batch; the numbers are the same."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.to(precision)


def fold_batch_norms(network: nn.Module, height: int, width: int) -> nn.Module:
    """Copy a network and fold each batch norm that follows a convolution into its weights.

    The copy computes the same up to rounding, which is tested with random pixels: a network that also uses a
    convolution's output in another way is copied without folding anything.
    """
    probe = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, pairs = _foldable_pairs(network, probe)
        result = copy.deepcopy(network)
        for convolution, norm in pairs:
            fused = fuse_conv_bn_eval(result.get_submodule(convolution), result.get_submodule(norm))  # type: ignore[type-var, arg-type]
            result.set_submodule(convolution, fused)
            result.set_submodule(norm, _rest_of(result.get_submodule(norm)))
        if torch.allclose(result(probe), expected, rtol=1e-3, atol=1e-3):
            return result
    return copy.deepcopy(network)


def _foldable_pairs(network: nn.Module, probe: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """Run the network once; return its output, and names of convolutions with the norm that each feeds."""
    outputs: dict[int, tuple[str, Tensor]] = {}  # the tensors are kept, or their ids would be used again
    calls: list[str] = []
    pairs: list[tuple[str, str]] = []

    def ran(name: str, output: Tensor) -> None:
        calls.append(name)
        outputs[id(output)] = (name, output)

    def receives(name: str, inputs: tuple[Tensor, ...]) -> None:
        calls.append(name)
        if id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][0], name))

    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(lambda _, __, out, name=name: ran(name, out)))
        elif _is_foldable(module):
            hooks.append(module.register_forward_pre_hook(lambda _, given, name=name: receives(name, given)))
    try:
        output: Tensor = network(probe)
    finally:
        for hook in hooks:
            hook.remove()
    once = {name for name in calls if calls.count(name) == 1}
    return output, [(convolution, norm) for convolution, norm in pairs if {convolution, norm} <= once]


def _is_foldable(module: nn.Module) -> bool:
    is_known = type(module) is nn.BatchNorm2d or (
        isinstance(module, nn.BatchNorm2d) and hasattr(module, "drop") and hasattr(module, "act")
    )
    return is_known and module.running_mean is not None and module.weight is not None


def _rest_of(norm: nn.Module) -> nn.Module:
    """Return what a batch norm did apart from normalising: timm's come with an activation."""
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity()
    return nn.Sequential(norm.drop, norm.act)  # type: ignore[arg-type]
