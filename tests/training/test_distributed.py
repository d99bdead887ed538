"""Real processes that train together, against one that trains alone."""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch import Tensor, nn

import forked
from affectlens import library
from affectlens.data import emoset, folder
from affectlens.data.records import DataSource
from affectlens.emotions import MIKELS
from affectlens.errors import AffectLensError, PictureDamaged, RunError, SettingsError
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.saved import save_model
from affectlens.preprocess import Preprocessing
from affectlens.training.batch_norm import ProcessBatchNorm, synchronise
from affectlens.training.distributed import ALONE, CPU, BatchLoss, ProcessGroup, average_buffers, parallel
from affectlens.training.gather import gather_rows
from affectlens.training.ratings import open_source
from affectlens.training.run import fit
from affectlens.training.run_folder import BEST, LAST, LOG, STEPS, TrainingRequest
from affectlens.training.session import open_session
from affectlens.training.settings import Loss, Settings, override
from emoset_tree import emoset_tree
from pictures import colour_set, mood_pictures

SIZE = 3  # which divides no batch below
LOSS_TOLERANCE = 3e-4  # of a loss after some steps: sums are rounded in another order
TOLERANCE = 2e-3  # of a weight
# AdamW divides by the size of a gradient, also where that is all rounding: such a weight, as a bias before a
# norm, moves by the learning rate each step, whichever way. So few weights may differ by more.
FEW = 1e-4

SMALL = override(
    Settings(epochs=2, batch_size=7, weights="none", num_workers=0, precision="float32", lr=0.002),
    ["preprocessing.height=32", "preprocessing.width=32"],
)
INPUT = Preprocessing(height=32, width=40, mean=(0.4, 0.5, 0.6))
# No random layers: the networks of several processes sample other numbers than that of one.
CASES = {
    # Batch norms, mixing, two batches a step, a moving average (EMA).
    "convolutional": override(
        replace(SMALL, network="test_efficientnet", grad_accum_steps=2),
        ["mixup=0.2", "cutmix=0.5", "mix_prob=0.7", "ema_decay=0.9", "class_weight=0.5"],
    ),
    # Pairs of pictures that are in different processes, and a loss that weighs rare emotions.
    "similarity": replace(
        SMALL, network="mlm_paper", network_options={"backbone": "test_efficientnet", "dropout": 0.0},
        batch_size=8, pictures_per_emotion=2, loss=Loss(similarity=1.0, class_imbalance=1.0),
    ),
    # Words that are known of few pictures, losses with weights of their own, and mixed batches, in which
    # those go without a gradient; and a teacher.
    "attributes": replace(
        SMALL, network="vit_attributes", network_options={"backbone": "test_vit", "residual_dropout": 0.0},
        mixup=0.2, distillation=0.5,
        loss=Loss(attributes=1.0, attribute_weights="learned", attribute_balance=0.5),
    ),
    # Ratings that some pictures lack, of one on the wrong side more, and mixed batches, which have none.
    "ratings": replace(
        SMALL, network="test_efficientnet", batch_size=16, mixup=0.2, mix_prob=0.3, val_fraction=0.4,
        ratings=("valence:1:7", "arousal:1:7"), loss=Loss(rating_polarity=1.0), select_by="ratings_rmse",
    ),
}  # fmt: skip
RANDOM = override(CASES["convolutional"], ["network_options.dropout=0.3", "network_options.drop_path=0.3"])


def source_of(case: str, root: Path) -> DataSource:
    if case == "ratings":
        return open_source(f"csv:{root / 'moods' / 'moods.csv'}", CASES[case])
    return emoset.read(root / "emoset") if case == "attributes" else folder.read(root / "colours")


def request(case: str, root: Path, out: Path) -> TrainingRequest:
    return TrainingRequest(
        name=case,
        data="test",
        source=source_of(case, root),
        settings=CASES[case],
        out=out,
        graph=False,
        teachers=(root / "soft.jsonl",) if CASES[case].distillation else (),
    )


def join(rank: int, port: int) -> ProcessGroup:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank))
    dist.init_process_group("gloo", rank=rank, world_size=SIZE)
    return ProcessGroup.joined(CPU)


def together(work: Callable[..., None], *arguments: object) -> None:
    """Run `work(group, *arguments)` in SIZE processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    how = forked.SERVED.get_start_method()
    mp.start_processes(start, (port, work, *arguments), nprocs=SIZE, start_method=how)  # type: ignore[attr-defined, no-untyped-call]


def start(rank: int, port: int, work: Callable[..., None], *arguments: object) -> None:
    group = join(rank, port)
    work(group, *arguments)
    dist.destroy_process_group()


def train_all(group: ProcessGroup, root: Path) -> None:
    check_parts(group, root)
    for case in CASES:
        list(fit(request(case, root, root / "together" / case), group))
    resume_in_the_middle(group, root)
    refuse_what_is_refused(group, root)
    random_layers = replace(request("convolutional", root, root / "random"), settings=RANDOM)
    list(fit(random_layers, group))


def check_parts(group: ProcessGroup, root: Path) -> None:
    """What parts of a batch come to, in the processes that train: starting others takes longer than this."""
    compare_norms(group)
    compare_gradients(group)
    compare_buffers(group)
    compare_starts(group, root)
    (root / f"checked-{group.rank}").touch()


def compare_norms(group: ProcessGroup) -> None:
    """Norms of parts of a batch against the norm of it all: numbers far from 0, without and with weights."""
    count = 7
    for affine, momentum in ((False, 0.1), (True, None)):
        for dtype, digits in ((torch.float32, 1e-4), (torch.bfloat16, 2e-2)):
            torch.manual_seed(0)
            batch = (torch.randn(count, 4, 5, 5) + 10 * torch.arange(4).view(4, 1, 1)).to(dtype)
            gradient = torch.randn(count, 4, 5, 5).to(dtype)
            rows = group.rows(count)
            alone = nn.BatchNorm2d(4, affine=affine, momentum=momentum)
            together = synchronise(nn.Sequential(nn.BatchNorm2d(4, affine=affine, momentum=momentum)), CPU)
            assert together.state_dict().keys() == {f"0.{name}" for name in alone.state_dict()}
            for _ in range(2):
                expected = batch.clone().requires_grad_()
                own = batch[rows.start : rows.stop].clone().requires_grad_()
                alone(expected).backward(gradient)
                together(own).backward(gradient[rows.start : rows.stop])
            assert expected.grad is not None and own.grad is not None
            close: dict[str, Any] = {"rtol": digits, "atol": digits, "check_dtype": False}
            torch.testing.assert_close(own.grad, expected.grad[rows.start : rows.stop], **close)
            for name, buffer in alone.named_buffers():
                torch.testing.assert_close(together.state_dict()[f"0.{name}"], buffer, **close)
            torch.testing.assert_close(together.eval()(batch), alone.eval()(batch), **close)


def compare_gradients(group: ProcessGroup) -> None:
    """Gradients of a loss over pairs, and of a weight of the loss itself, from uneven parts of a batch."""
    count = 5
    torch.manual_seed(0)
    images = torch.randn(count, 3)
    layer = nn.Linear(3, 2)
    layer.register_parameter("loss_weight", nn.Parameter(torch.tensor(0.7)))

    def pairs(network: nn.Module, rows: Tensor, *_: Any) -> Tensor:
        answers = gather_rows(network(rows), group, count) if len(rows) < count else network(rows)
        weight = network.get_parameter("loss_weight")
        return (torch.cdist(answers, answers).pow(2).sum() * weight).sqrt()

    pairs(layer, images).backward()
    expected = {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}  # type: ignore[union-attr]
    layer.zero_grad()
    rows = group.rows(count)
    loss = parallel(BatchLoss(layer, pairs), group)
    loss(images[rows.start : rows.stop], images, {}).backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])


def compare_buffers(group: ProcessGroup) -> None:
    """A running mean over batches is that of the complete batch, not of the main process's rows."""
    network = nn.Module()
    values = torch.arange(7.0)
    rows = group.rows(7)
    network.register_buffer("mean", values[rows.start : rows.stop].mean())
    average_buffers(network, group, 7)
    torch.testing.assert_close(network.mean, values.mean())


def compare_starts(group: ProcessGroup, root: Path) -> None:
    """The weights and the input of a model that the main process alone finds."""
    os.environ[library.HOME_VARIABLE] = str(root / ("models" if group.is_main else "elsewhere"))
    settings = Settings(network="test_efficientnet", start="before", batch_size=7, num_workers=0)
    session = open_session(folder.read(root / "colours"), settings, "cpu", group)
    state = session.start()
    assert session.preprocessing == INPUT and state.rows["awe"] == {"awe": 1.0}
    expected = load_file(root / "models" / "before" / "model.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in state.network.state_dict().items())


def resume_in_the_middle(group: ProcessGroup, root: Path) -> None:
    """A run that one process began, and three end."""
    job = request("convolutional", root, root / "begun")
    list(fit(replace(job, resume=True), group))


def refuse_what_is_refused(group: ProcessGroup, root: Path) -> None:
    """Each error is raised in every process, or some would wait for the others for ever."""
    job = request("convolutional", root, root / "refused")
    errors: list[type[AffectLensError]] = []
    for wrong in (
        replace(job, out=root / "together" / "convolutional"),  # found by the main process alone
        replace(job, settings=replace(job.settings, batch_size=SIZE - 1)),
        replace(job, source=folder.read(root / "damaged"), out=root / "refused"),  # found by some
    ):
        try:
            list(fit(wrong, group))
        except AffectLensError as error:
            errors.append(type(error))
    (root / f"errors-{group.rank}.txt").write_text(" ".join(error.__name__ for error in errors))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every case was trained alone and together."""
    root = tmp_path_factory.mktemp("processes")
    colour_set(root / "colours", ("awe", "anger", "sadness", "fear"), each=8)
    emoset_tree(root / "emoset", each=3)
    mood_pictures(root / "moods", 60)
    pictures = source_of("attributes", root).split("all")
    soft = [{"image": each.key, "emotions": {"awe": n % 5, "fear": 2}} for n, each in enumerate(pictures)]
    (root / "soft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in soft))
    network = catalog.build("test_efficientnet", len(MIKELS))
    card = Card(name="before", network="test_efficientnet", vocabulary=MIKELS, preprocessing=INPUT)
    save_model(root / "models" / "before", network, card, "A model.")
    damaged = colour_set(root / "damaged", ("awe", "anger"), each=8)
    for name in ("3.png", "4.png"):  # one of which at least is not held out
        (damaged / "awe" / name).write_bytes((damaged / "awe" / name).read_bytes()[:70])
    for case in CASES:
        list(fit(request(case, root, root / "alone" / case)))
    for event in fit(request("convolutional", root, root / "begun")):
        if getattr(event, "best", None) is not None:  # the end of an epoch: there is a checkpoint of it
            break
    together(train_all, root)
    return root


def rows(out: Path, name: str) -> list[dict[str, float]]:
    """What a log has, but for how long it took."""
    found = [json.loads(line) for line in (out / name).read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


def assert_same_step(found: dict[str, float], expected: dict[str, float]) -> None:
    """Compare what two logs have of a step.

    A norm of gradients follows weights that AdamW moved by rounding alone (`FEW`), so it differs as they do.
    What the class-imbalance loss weighs an emotion by is a mean over two pictures, in which less evens out
    than in a loss over all of them.
    """
    fine = [key for key in expected if key == "gradient_norm" or key.startswith("class_imbalance_weight.")]
    for key in fine:
        assert found.pop(key) == pytest.approx(expected.pop(key), rel=TOLERANCE), key
    assert found == pytest.approx(expected, rel=LOSS_TOLERANCE, abs=1e-5)


def state_of(out: Path, file: str = BEST) -> dict[str, Tensor]:
    """The weights and buffers of a run."""
    weights: dict[str, Tensor] = load_file(out / file)
    return weights


@pytest.mark.parametrize("case", CASES)
def test_processes_that_train_together_come_to_what_one_comes_to(root: Path, case: str) -> None:
    alone, together = root / "alone" / case, root / "together" / case
    for one, three in zip(rows(alone, STEPS), rows(together, STEPS), strict=True):
        assert_same_step(three, one)
    ours, theirs = state_of(together), state_of(alone)
    differences = torch.cat([(ours[name].float() - theirs[name].float()).abs().flatten() for name in theirs])
    assert float((differences > TOLERANCE).double().mean()) < FEW
    steps = len(rows(alone, STEPS))
    assert float(differences.max()) <= 2 * SMALL.lr * steps


@pytest.mark.parametrize("case", CASES)
def test_scores_of_pictures_predicted_in_parts_are_those_of_all(root: Path, case: str) -> None:
    alone, together = (rows(root / how / case, LOG) for how in ("alone", "together"))
    for one, three in zip(alone, together, strict=True):
        assert three["scores"] == pytest.approx(one["scores"], abs=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_the_run_folder_is_that_of_any_run(root: Path, case: str) -> None:
    alone, together = (sorted(p.name for p in (root / how / case).iterdir()) for how in ("alone", "together"))
    assert together == alone and LAST in together


def test_a_run_that_one_process_began_three_can_end(root: Path) -> None:
    expected = rows(root / "alone" / "convolutional", STEPS)
    for begun, undisturbed in zip(rows(root / "begun", STEPS), expected, strict=True):
        assert_same_step(begun, undisturbed)


def test_what_one_process_finds_wrong_all_raise(root: Path) -> None:
    expected = " ".join(error.__name__ for error in (RunError, SettingsError, PictureDamaged))
    assert [(root / f"errors-{rank}.txt").read_text() for rank in range(SIZE)] == [expected] * SIZE


def test_random_layers_train_as_well_with_other_numbers(root: Path) -> None:
    """As many steps, finite losses near those without random layers, and not the numbers of one process."""
    random, plain = rows(root / "random", STEPS), rows(root / "together" / "convolutional", STEPS)
    assert len(random) == len(plain)
    assert all(0 < row["loss"] < 3 * plain[0]["loss"] for row in random)
    assert random[0]["loss"] != pytest.approx(plain[0]["loss"], rel=1e-4)


def test_parts_of_a_batch_have_the_norms_the_gradients_and_the_means_of_the_batch(root: Path) -> None:
    assert len(list(root.glob("checked-*"))) == SIZE


# What one process can test. -----------------------------------------------------------------------


def test_each_process_samples_its_own_numbers_and_then_goes_on_with_those_of_all() -> None:
    seen = []
    for rank in range(2):
        torch.manual_seed(0)
        with ProcessGroup(rank, 2).own_random_numbers(lambda rank: 7 + rank):
            own = torch.rand(3)
        seen.append((own, torch.rand(3)))
    (first, after_first), (second, after_second) = seen
    assert not torch.equal(first, second) and torch.equal(after_first, after_second)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), after_first)


@pytest.mark.parametrize("count", [3, 7, 8, 100])
def test_every_row_is_read_by_exactly_one_process(count: int) -> None:
    groups = [ProcessGroup(rank, 3) for rank in range(3)]
    assert [row for group in groups for row in group.rows(count)] == list(range(count))
    lengths = [len(group.rows(count)) for group in groups]
    assert max(lengths) - min(lengths) <= 1


def test_where_pictures_are_mixed_the_one_before_the_first_is_read_too() -> None:
    assert ProcessGroup(0, 2).rows_to_read(5, mixes=True) == [4, 0, 1]
    assert ProcessGroup(1, 2).rows_to_read(5, mixes=True) == [1, 2, 3, 4]
    assert ProcessGroup(1, 2).rows_to_read(5, mixes=False) == [2, 3, 4]
    assert ALONE.rows_to_read(5, mixes=True) == [0, 1, 2, 3, 4]


def test_a_batch_that_leaves_a_process_without_a_picture_is_refused() -> None:
    with pytest.raises(SettingsError, match="batch of 2 pictures cannot be divided among 3"):
        ProcessGroup(0, 3).require_rows(2)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_synchronised_norms_keep_weights_names_and_activations(device: str) -> None:
    """Of timm's norms too, which have their activation within. Nothing is put on a device here."""
    torch.manual_seed(0)
    network = catalog.build("test_efficientnet", 3).eval()
    names, images = list(network.state_dict()), torch.randn(2, 3, 32, 32)
    before = network(images)
    converted = synchronise(network, torch.device(device))
    norms = [part for part in converted.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    kind = nn.SyncBatchNorm if device == "cuda" else ProcessBatchNorm
    assert norms and all(isinstance(norm, kind) for norm in norms)
    assert list(converted.state_dict()) == names
    assert torch.equal(converted(images), before)
