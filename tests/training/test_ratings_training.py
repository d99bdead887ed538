"""Networks trained on people's ratings, with and without labels, and the model folders that come out."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectlens.adaptation.rated_evaluation import evaluate_ratings
from affectlens.cli.main import main
from affectlens.data.catalog import open_data
from affectlens.data.records import encode_ratings
from affectlens.emotions import POLARITY
from affectlens.errors import AffectLensError, DatasetError, RunError, SettingsError
from affectlens.images import read_pixels
from affectlens.inference.engine import ONNX_RUNTIME, load_engine
from affectlens.inference.predictions import RatingPredictions
from affectlens.inference.torch_engine import TorchEngine
from affectlens.model_folder import load_card
from affectlens.models.saved import load_model
from affectlens.ratings import RatingColumn, RatingHead
from affectlens.recipes.catalog import recipe
from affectlens.training.finish import RunFinished, selection_score
from affectlens.training.intervals import SettingsSample, state_file, train_interval
from affectlens.training.loop import Step
from affectlens.training.ratings import fingerprint, open_source, quick_rating_scores, scales_of
from affectlens.training.run import fit
from affectlens.training.run_folder import LAST, LOG, MODEL, SETTINGS, STEPS, TrainingRequest
from affectlens.training.session import open_session
from affectlens.training.settings import Loss, Settings, override
from pictures import mood_pictures

PICTURES = 80
SMALL = ["weights=none", "num_workers=0", "precision=float32", "preprocessing.height=32",
         "preprocessing.width=32", "val_fraction=0.3", "batch_size=16"]  # fmt: skip
# The recipe, on a small backbone that begins with no weights, by an optimizer that needs few steps.
PDANET = override(
    recipe("pdanet_ratings"),
    [*SMALL, "network_options.backbone=test_efficientnet", "ratings=['valence','arousal']",
     "rating_scale=[1,7]", "epochs=10", "step_epochs=8", "optimizer=adamw", "lr=0.003", "head_lr_scale=1"],
)  # fmt: skip


def request(table: Path, out: Path, settings: Settings = PDANET, resume: bool = False) -> TrainingRequest:
    return TrainingRequest(
        name="moods", data="csv", source=open_source(f"csv:{table}", settings), settings=settings, out=out,
        resume=resume, graph="parts" not in out.name,
    )  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mood_pictures(tmp_path_factory.mktemp("data"), PICTURES)


@pytest.fixture(scope="module")
def finished(table: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFinished:
    """A run of PDANet on ratings alone."""
    *_, last = fit(request(table, tmp_path_factory.mktemp("runs") / "undisturbed"))
    assert isinstance(last, RunFinished)
    return last


def test_ratings_of_pictures_not_seen_before_are_predicted(finished: RunFinished) -> None:
    scores = {score.name: score for score in finished.rating_scores}
    assert list(scores) == ["valence", "arousal"]
    for score in scores.values():
        assert score.r is not None and score.r > 0.6, score
        assert score.low == 1 and score.high == 9 and score.rmse < 1.8
    assert scores["valence"].pictures > scores["arousal"].pictures, "a tenth has no arousal"


def test_the_card_has_ratings_with_intervals_and_on_what_they_were_measured(finished: RunFinished) -> None:
    card = load_card(finished.model)
    assert card.vocabulary == POLARITY and card.network_options == {"backbone": "test_efficientnet"}
    assert [(scale.name, scale.low, scale.high) for scale in card.ratings] == [
        ("valence", 1.0, 9.0), ("arousal", 1.0, 9.0),
    ]  # fmt: skip
    assert all(0 < scale.half_width(0.5) <= scale.half_width(0.9) < 8 for scale in card.ratings)
    assert card.scores["ratings"] == [score.to_json() for score in finished.rating_scores]
    text = (finished.model / "README.md").read_text(encoding="utf-8")
    assert "## Ratings on the validation split" in text and "| valence | 1 to 9 |" in text
    assert "like those of its validation split, by which its epoch was chosen" in text
    assert "ratings.linear.weight" not in load_model(finished.model).network.state_dict()


def test_the_graph_answers_as_torch_and_as_the_heads(finished: RunFinished, table: Path) -> None:
    assert not finished.no_graph
    torch_engine, graph = TorchEngine.load(finished.model), load_engine(str(finished.model), ONNX_RUNTIME)
    pixels = np.stack(
        [torch_engine.card.preprocessing.fit_pixels(read_pixels(table.parent / f"{n}.png")) for n in range(8)]
    )
    ours, theirs = torch_engine.answer(pixels), graph.answer(pixels)
    assert ours.ratings is not None and theirs.ratings is not None
    np.testing.assert_allclose(ours.ratings, theirs.ratings, atol=1e-3)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
    assert RatingHead.from_tensors(load_model(finished.model).heads).weights.shape[0] == 2
    assert float(np.ptp(ours.ratings[:, 0])) > 1, "red pictures and others"


def test_evaluation_leaves_out_what_was_learned_and_finds_the_figures_of_the_card(
    finished: RunFinished, table: Path
) -> None:
    engine = load_engine(str(finished.model), ONNX_RUNTIME)
    found = evaluate_ratings(engine, f"csv:{table}", "", (1, 7))
    for score, own in zip(found.scores, finished.rating_scores, strict=True):
        assert (score.name, score.pictures) == (own.name, own.pictures)
        assert score.r is not None and score.r.value == pytest.approx(own.r, abs=1e-3)
        assert score.error.value == pytest.approx(own.mae, abs=1e-3)
        assert 0.85 <= score.coverage.value <= 1.0
    assert found.learned == PICTURES - finished.rating_scores[0].pictures


def test_every_epoch_logs_ratings_and_the_one_of_least_error_is_kept(finished: RunFinished) -> None:
    epochs = [json.loads(line) for line in (finished.model.parent / LOG).read_text().splitlines()]
    scores = [epoch["scores"] for epoch in epochs]
    assert {"valence_r", "valence_rmse", "arousal_r", "arousal_rmse"} < scores[0].keys()
    best = [epoch["epoch"] for epoch in epochs if epoch["best"]][-1]
    assert scores[best - 1]["ratings_rmse"] == min(each["ratings_rmse"] for each in scores)
    steps = [json.loads(line) for line in (finished.model.parent / STEPS).read_text().splitlines()]
    assert {"ratings", "ratings.valence", "ratings.arousal", "cross_entropy"} < steps[0].keys()
    assert steps[-1]["ratings"] < steps[0]["ratings"] / 2


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    table: Path, finished: RunFinished, tmp_path: Path
) -> None:
    often = replace(PDANET, checkpoint_every=3)
    for event in fit(request(table, tmp_path / "parts", often)):
        if isinstance(event, Step) and event.number == 20:
            break
    assert (tmp_path / "parts" / LAST).is_file()
    list(fit(request(table, tmp_path / "parts", often, resume=True)))
    resumed, undisturbed = load_card(tmp_path / "parts" / MODEL), load_card(finished.model)
    assert resumed.weights_hash == undisturbed.weights_hash
    assert resumed.heads_hash == undisturbed.heads_hash


def test_a_run_is_not_resumed_with_other_ratings(table: Path, tmp_path: Path) -> None:
    own = mood_pictures(tmp_path / "data", PICTURES)
    short = replace(PDANET, epochs=0.5)
    for event in fit(request(own, tmp_path / "parts", short)):
        if isinstance(event, Step):
            break
    header, first, second, *others = own.read_text().splitlines()
    path, valence, _, group = second.split(",")
    own.write_text("\n".join([header, first, f"{path},{valence},1.234,{group}", *others]) + "\n")
    with pytest.raises(RunError, match="other pictures or labels, other ratings"):
        list(fit(request(own, tmp_path / "parts", short, resume=True)))


def test_ratings_are_learned_next_to_labels_and_by_the_command(tmp_path: Path) -> None:
    own = mood_pictures(tmp_path / "data", PICTURES, labels=True)
    words = ["train", "test_efficientnet", "--data", f"csv:{own}", "--out", str(tmp_path / "run"),
             "--rating", "valence", "--rating", "arousal:1:7", "--scale", "1", "7", "--no-graph",
             "--set", "mixup=0.2", "--set", "mix_prob=0.3", "--set", "epochs=12", "--set", "lr=0.005",
             "--set", "select_by=ratings_r"]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([*words, *(word for setting in SMALL for word in ("--set", setting))])
    assert ended.value.code == 0
    card = load_card(tmp_path / "run" / MODEL)
    assert set(card.vocabulary.words) >= {"awe", "fear"}
    assert card.scores["accuracy"] > 0.7, "by chance half"
    assert [score["name"] for score in card.scores["ratings"]] == ["valence", "arousal"]
    assert min(score["r"] for score in card.scores["ratings"]) > 0.5
    rows = [json.loads(line) for line in (tmp_path / "run" / STEPS).read_text().splitlines()]
    assert 0 < len([row for row in rows if "ratings" in row]) < len(rows), "mixed batches have none"


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        (["val_fraction=0.1"], DatasetError, "pictures of the split val have a rating of"),
        (["ratings=[]", "select_by=ratings_r"], SettingsError, "none are learned"),
        (["ratings=['valence']", "loss.ratings=0"], SettingsError, r"loss\.ratings is 0"),
        (["mixup=0.2", "mix_prob=1"], SettingsError, "Mixed pictures teach no ratings"),
        (["select_by=ratings_rms"], SettingsError, "Did you mean 'ratings_rmse'"),
        (["rating_scale=[7,1]"], SettingsError, "must rise"),
    ],
)
def test_what_does_not_go_together_is_refused_before_there_is_a_run(
    table: Path, tmp_path: Path, changes: Sequence[str], error: type[AffectLensError], problem: str
) -> None:
    labelled = mood_pictures(tmp_path / "data", 40, labels=True) if "ratings=[]" in changes else table
    with pytest.raises(error, match=problem):
        list(fit(request(labelled, tmp_path / "run", override(PDANET, changes))))
    assert not (tmp_path / "run" / SETTINGS).exists()


def test_data_that_was_opened_without_the_ratings_is_refused(tmp_path: Path) -> None:
    labelled = mood_pictures(tmp_path / "data", 40, labels=True)
    with pytest.raises(SettingsError, match="was opened with none"):
        open_session(open_data(f"csv:{labelled}"), PDANET, "cpu")
    with pytest.raises(SettingsError, match="name as ratings none"):
        open_session(open_source(f"csv:{labelled}", PDANET), replace(PDANET, ratings=()), "cpu")


def test_ratings_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    own = mood_pictures(tmp_path / "data", PICTURES)
    first, *rows = own.read_text().splitlines()
    flat = [",".join([*row.split(",")[:2], "3", row.split(",")[3]]) for row in rows]
    own.write_text("\n".join([first, *flat]) + "\n")
    with pytest.raises(DatasetError, match="of arousal in the split train are the same"):
        open_session(open_source(f"csv:{own}", PDANET), PDANET, "cpu")


def test_the_fingerprint_is_of_ratings_scales_and_pictures(table: Path) -> None:
    source = open_source(f"csv:{table}", PDANET)
    assert fingerprint(source) == fingerprint(open_source(f"csv:{table}", PDANET))
    wider = open_source(f"csv:{table}", replace(PDANET, rating_scale=(0.0, 8.0)))
    assert fingerprint(source) != fingerprint(wider)


def test_intervals_are_as_wide_as_validation_errors_and_the_scale(table: Path) -> None:
    rated = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    column = RatingColumn("valence", (1, 7), (1, 9))
    off = np.where(np.arange(40) % 2, 0.1, -0.1).astype(np.float32)[:, None]
    (scale,) = scales_of(RatingPredictions((column,), rated + off, rated))
    assert scale.half_width(0.9) == pytest.approx(0.8, abs=1e-5) and max(scale.coverages) == 0.95


def test_an_epoch_whose_predictions_are_all_alike_has_a_correlation_of_0_and_can_be_chosen() -> None:
    rated = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    alike = RatingPredictions((RatingColumn("valence", (1, 7), (1, 9)),), np.full_like(rated, 0.5), rated)
    scores = quick_rating_scores(alike)
    assert scores["valence_r"] == scores["ratings_r"] == 0.0
    assert scores["valence_rmse"] == pytest.approx(8 * scores["ratings_rmse"])
    assert selection_score(scores, "ratings_r") > -1 and 0 < selection_score(scores, "ratings_rmse") < 1
    nearer = quick_rating_scores(replace(alike, shares=(0.25 + rated / 2).astype(np.float32)))
    assert all(
        selection_score(nearer, by) > selection_score(scores, by) for by in ("ratings_r", "ratings_rmse")
    )


def test_losses_of_settings_know_the_ratings() -> None:
    with pytest.raises(SettingsError, match=r"loss\.rating_polarity must be at least 0"):
        Loss(rating_polarity=-1.0)


def test_a_run_starts_with_a_rated_model_below_and_with_new_ratings(
    table: Path, finished: RunFinished
) -> None:
    settings = replace(PDANET, start=str(finished.model), ratings=("valence",))
    session = open_session(open_source(f"csv:{table}", settings), settings, "cpu")
    state = session.start()
    trained = load_model(finished.model).network.state_dict()
    weights = state.network.state_dict()
    assert all((weights[name] == value).all() for name, value in trained.items())
    assert weights.keys() - trained.keys() == {"ratings.linear.weight", "ratings.linear.bias"}
    shares = encode_ratings(session.ratings, session.training)
    assert weights["ratings.linear.bias"].item() == pytest.approx(shares.mean(), abs=1e-5)


def test_members_of_a_search_are_chosen_by_ratings(table: Path, tmp_path: Path) -> None:
    session = open_session(open_source(f"csv:{table}", PDANET), PDANET, "cpu")
    sample = SettingsSample(values={"lr": 0.002}, unit={"lr": 0.5}, id="a", parent=None)
    first = train_interval(session, sample, member=0, start=None, steps=1, folder=tmp_path)
    again = train_interval(
        session, sample, member=0, start=state_file(tmp_path, 0, 1), steps=1, folder=tmp_path
    )
    assert first.failed is None and again.start_hash == first.end_hash
    assert first.score == selection_score(first.scores, "ratings_rmse") > 0
