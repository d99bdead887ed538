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
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.data import emoset, folder
from affectlens.data.records import DataSource
from affectlens.errors import AffectLensError, PictureDamaged, RunError, SettingsError
from affectlens.models import catalog
from affectlens.training.attributes import attributes_of, network_options
from affectlens.training.checkpoints import load_weights
from affectlens.training.distributed import ALONE, CPU, Team
from affectlens.training.run import BEST, LAST, LOG, STEPS, Request, fit
from affectlens.training.settings import Loss, Settings, override
from emoset_tree import emoset_tree
from pictures import colour_set

SIZE = 3  # which divides no batch below
TOLERANCE = 2e-3  # of a weight: AdamW divides by the size of a gradient, also where that is all rounding

SMALL = override(
    Settings(epochs=2, batch_size=7, weights="none", num_workers=0, precision="float32", lr=0.002),
    ["preprocessing.height=32", "preprocessing.width=32"],
)
CASES = {
    # Batch norms, dropout, whole paths dropped, mixing, two batches a step, a running average of weights.
    "convolutional": override(
        replace(SMALL, network="test_efficientnet", grad_accum_steps=2),
        ["network_options.dropout=0.3", "network_options.drop_path=0.3", "mixup=0.2", "cutmix=0.5",
         "mix_prob=0.7", "ema_decay=0.9", "class_weight=0.5"],
    ),
    # Pairs of pictures that are in different processes, and a loss that weighs rare emotions.
    "similarity": replace(
        SMALL, network="mlm_paper", network_options={"backbone": "test_efficientnet"}, batch_size=8,
        pictures_per_emotion=2, loss=Loss(similarity=1.0, class_imbalance=1.0),
    ),
    # Words that are known of few pictures, and losses with weights of their own.
    "attributes": replace(
        SMALL, network="vit_attributes", network_options={"backbone": "test_vit"},
        loss=Loss(attributes=1.0, attribute_weights="learned", attribute_balance=0.5),
    ),
}  # fmt: skip


def source_of(case: str, root: Path) -> DataSource:
    return emoset.read(root / "emoset") if case == "attributes" else folder.read(root / "colours")


def request(case: str, root: Path, out: Path) -> Request:
    return Request(name=case, data="test", source=source_of(case, root), settings=CASES[case], out=out)


def join(rank: int, port: int) -> Team:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank))
    dist.init_process_group("gloo", rank=rank, world_size=SIZE)
    return Team.joined(CPU)


def together(work: Callable[..., None], *arguments: object) -> None:
    """Run `work(team, *arguments)` in SIZE processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(start, (port, work, *arguments), nprocs=SIZE)  # type: ignore[attr-defined, no-untyped-call]


def start(rank: int, port: int, work: Callable[..., None], *arguments: object) -> None:
    team = join(rank, port)
    work(team, *arguments)
    dist.destroy_process_group()


def train_all(team: Team, root: Path) -> None:
    for case in CASES:
        list(fit(request(case, root, root / "together" / case), team))
    resume_in_the_middle(team, root)
    refuse_what_is_refused(team, root)


def compare_norms(team: Team) -> None:
    """Norms of parts of a batch against the norm of it all: numbers far from 0, without and with weights."""
    count = 7
    for affine in (False, True):
        for dtype, digits in ((torch.float32, 1e-4), (torch.bfloat16, 2e-2)):
            torch.manual_seed(0)
            whole = (torch.randn(count, 4, 5, 5) + 10 * torch.arange(4).view(4, 1, 1)).to(dtype)
            back = torch.randn(count, 4, 5, 5).to(dtype)
            rows = team.rows(count)
            alone, together = nn.BatchNorm2d(4, affine=affine), nn.BatchNorm2d(4, affine=affine)
            expected, own = whole.clone().requires_grad_(), whole[rows.start : rows.stop].requires_grad_()
            alone(expected).backward(back)
            with team.as_one(count):
                together(own).backward(back[rows.start : rows.stop])
            assert expected.grad is not None and own.grad is not None
            close: dict[str, Any] = {"rtol": digits, "atol": digits, "check_dtype": False}
            torch.testing.assert_close(own.grad, expected.grad[rows.start : rows.stop], **close)
            torch.testing.assert_close(together.running_mean, alone.running_mean, **close)
            torch.testing.assert_close(together.running_var, alone.running_var, **close)


def resume_in_the_middle(team: Team, root: Path) -> None:
    """A run that one process began, and three end."""
    job = request("convolutional", root, root / "begun")
    list(fit(replace(job, resume=True), team))


def refuse_what_is_refused(team: Team, root: Path) -> None:
    """Each error is raised in every process, or some would wait for the others for ever."""
    job = request("convolutional", root, root / "refused")
    errors: list[type[AffectLensError]] = []
    for wrong in (
        replace(job, out=root / "together" / "convolutional"),  # found by the leader alone
        replace(job, settings=replace(job.settings, batch_size=SIZE - 1)),
        replace(job, source=folder.read(root / "damaged"), out=root / "refused"),  # found by some
    ):
        try:
            list(fit(wrong, team))
        except AffectLensError as error:
            errors.append(type(error))
    (root / f"errors-{team.rank}.txt").write_text(" ".join(error.__name__ for error in errors))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every case was trained alone and together."""
    root = tmp_path_factory.mktemp("team")
    colour_set(root / "colours", ("awe", "anger", "sadness", "fear"), each=8)
    emoset_tree(root / "emoset", each=3)
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
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


def state_of(out: Path, case: str, root: Path, file: str = BEST) -> dict[str, Tensor]:
    """The weights and buffers of a run."""
    source, settings = source_of(case, root), CASES[case]
    options = network_options(settings, attributes_of(settings, source))
    network = catalog.build(settings.network, len(source.vocabulary), **options)
    load_weights(out / file, network)
    weights: dict[str, Tensor] = network.state_dict()
    return weights


@pytest.mark.parametrize("case", CASES)
def test_processes_that_train_together_come_to_what_one_comes_to(root: Path, case: str) -> None:
    alone, together = root / "alone" / case, root / "together" / case
    for one, three in zip(rows(alone, STEPS), rows(together, STEPS), strict=True):
        assert three == pytest.approx(one, rel=1e-4, abs=1e-5)
    ours = state_of(together, case, root)
    for name, weights in state_of(alone, case, root).items():
        torch.testing.assert_close(ours[name], weights, rtol=TOLERANCE, atol=TOLERANCE, msg=name)


@pytest.mark.parametrize("case", CASES)
def test_scores_of_pictures_judged_in_parts_are_those_of_all(root: Path, case: str) -> None:
    alone, together = (rows(root / how / case, LOG) for how in ("alone", "together"))
    for one, three in zip(alone, together, strict=True):
        assert three["scores"] == pytest.approx(one["scores"], abs=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_the_run_folder_is_that_of_any_run(root: Path, case: str) -> None:
    alone, together = (sorted(p.name for p in (root / how / case).iterdir()) for how in ("alone", "together"))
    assert together == alone and LAST in together


def test_a_run_that_one_process_began_three_can_end(root: Path) -> None:
    expected = rows(root / "alone" / "convolutional", STEPS)
    for begun, whole in zip(rows(root / "begun", STEPS), expected, strict=True):
        assert begun == pytest.approx(whole, rel=1e-4, abs=1e-5)


def test_what_one_process_finds_wrong_all_raise(root: Path) -> None:
    expected = " ".join(error.__name__ for error in (RunError, SettingsError, PictureDamaged))
    assert [(root / f"errors-{rank}.txt").read_text() for rank in range(SIZE)] == [expected] * SIZE


# ---------------------------------------------------------------------------- what one process can tell


@pytest.mark.parametrize("count", [3, 7, 8, 100])
def test_every_row_is_read_by_exactly_one_process(count: int) -> None:
    teams = [Team(rank, 3) for rank in range(3)]
    assert [row for team in teams for row in team.rows(count)] == list(range(count))
    assert max(len(team.rows(count)) for team in teams) - min(len(team.rows(count)) for team in teams) <= 1


def test_where_pictures_are_mixed_the_one_before_the_first_is_read_too() -> None:
    assert Team(0, 2).rows_to_read(5, mixes=True) == [4, 0, 1]
    assert Team(1, 2).rows_to_read(5, mixes=True) == [1, 2, 3, 4]
    assert Team(1, 2).rows_to_read(5, mixes=False) == [2, 3, 4]
    assert ALONE.rows_to_read(5, mixes=True) == [0, 1, 2, 3, 4]


def test_a_batch_that_leaves_a_process_without_a_picture_is_refused() -> None:
    with pytest.raises(SettingsError, match="batch of 2 pictures cannot be divided among 3"):
        Team(0, 3).require_rows(2)


@pytest.mark.parametrize(
    "draw",
    [lambda x: F.dropout2d(x[:, :, None, None]), lambda x: F.dropout(torch.ones(3, 5)), torch.rand_like],
)
def test_drawing_that_several_processes_cannot_do_as_one_is_refused(draw: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(SettingsError, match="--workers"), Team(0, 2).as_one(4):
        draw(torch.ones(2, 5))


def test_dropout_falls_on_the_rows_on_which_it_falls_in_one_process() -> None:
    x = torch.ones(6, 4, 5)
    torch.manual_seed(0)
    whole = F.dropout(x, 0.4)
    for rank in range(2):
        torch.manual_seed(0)
        with Team(rank, 2).as_one(6):
            own = nn.Dropout(0.4)(x[:3])
        assert torch.equal(own, whole[3 * rank : 3 * rank + 3])


def test_norms_of_parts_of_a_batch_are_those_of_the_batch() -> None:
    together(compare_norms)
