"""Learning from teachers: what targets become, what files are taken, and what a run with them learns."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from affectlens.data import folder
from affectlens.data.records import DataSource
from affectlens.emotions import EKMAN, MIKELS, EmotionDistribution, Vocabulary
from affectlens.errors import AffectLensError, BadRow, DatasetError, RunError, SettingsError
from affectlens.inference.output.csv_rows import CsvRows
from affectlens.inference.output.json_lines import JsonLines
from affectlens.inference.output.rows import RowEncoding, RowSchema
from affectlens.inference.predictor import Prediction, Predictor
from affectlens.models.saved import load_model
from affectlens.training.finish import RunFinished
from affectlens.training.loop import Step
from affectlens.training.run import fit
from affectlens.training.run_folder import LAST, RUN, SETTINGS, RunRecord, TrainingRequest
from affectlens.training.session import Session, open_session
from affectlens.training.settings import Settings, override
from affectlens.training.soft_answers import mix_targets, read_soft_answers
from model_folders import CARD
from pictures import colour_set

EMOTIONS = ("awe", "anger", "sadness")
NEXT = dict(zip(EMOTIONS, (*EMOTIONS[1:], EMOTIONS[0]), strict=True))
TINY = override(
    Settings(network="test_vit.r160_in1k", weights="none", epochs=12, batch_size=8, lr=0.003, num_workers=0),
    ["preprocessing.height=32", "preprocessing.width=32", "select_by=last", "label_smoothing=0"],
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of each of three emotions that differ in colour."""
    return colour_set(tmp_path_factory.mktemp("data") / "colours", EMOTIONS, each=12)


@pytest.fixture(scope="module")
def source(data: Path) -> DataSource:
    return folder.read(data)


Answer = Callable[[str], Mapping[str, float]]


def wrong(key: str) -> Mapping[str, float]:
    """Nine tenths on another emotion than the label."""
    label = key.split("/")[0]
    return {NEXT[label]: 0.9, label: 0.1}


def write(
    file: Path, source: DataSource, answer: Answer = wrong, root: str = "", vocabulary: Vocabulary = MIKELS
) -> Path:
    """Write what `affectlens predict` would for all pictures of a data set that lies in `root`."""
    encodings: dict[str, type[RowEncoding]] = {".jsonl": JsonLines, ".csv": CsvRows}
    encoding = encodings[file.suffix](RowSchema(vocabulary))  # type: ignore[call-arg]
    rows = [
        Prediction(root + record.key, vocabulary.distribution(answer(record.key)), None).to_row(CARD)
        for part in source.splits.values()
        for record in part
    ]
    file.write_bytes(encoding.header + b"".join(map(encoding.encode, rows)))
    return file


def read(source: DataSource, *files: Path) -> list[EmotionDistribution]:
    records = [record for part in source.splits.values() for record in part]
    return [record.target for record in read_soft_answers(files, records, source)]


def request(source: DataSource, out: Path, settings: Settings, *teachers: Path) -> TrainingRequest:
    return TrainingRequest(
        name="tiny",
        data="folder",
        source=source,
        settings=settings,
        out=out,
        teachers=teachers,
        graph=False,
    )


def test_a_target_is_the_mixture_of_label_and_soft_answer() -> None:
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    soft = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(mix_targets(labels, soft, 0.25), 0.75 * labels + 0.25 * soft)
    torch.testing.assert_close(mix_targets(labels, soft, 1.0), soft)
    roots = soft.sqrt() / soft.sqrt().sum(dim=1, keepdim=True)
    torch.testing.assert_close(mix_targets(labels, soft, 1.0, temperature=2.0), roots)


def test_cross_entropy_to_the_mixture_has_the_gradient_of_both_losses() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 8, requires_grad=True)
    labels = torch.nn.functional.one_hot(torch.tensor([0, 3, 3, 7]), 8).float()
    soft = torch.randn(4, 8).softmax(dim=1)
    logs = logits.log_softmax(dim=1)
    mixture = -(mix_targets(labels, soft, 0.7) * logs).sum()
    to_labels = -(labels * logs).sum()
    divergence = torch.nn.functional.kl_div(logs, soft, reduction="sum")
    (ours,) = torch.autograd.grad(mixture, logits, retain_graph=True)
    (theirs,) = torch.autograd.grad(0.3 * to_labels + 0.7 * divergence, logits)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["soft.jsonl", "soft.csv"])
@pytest.mark.parametrize("root", ["", "/elsewhere/pictures/", "DATA"])
def test_a_row_is_found_by_its_picture_wherever_the_pictures_were(
    tmp_path: Path, source: DataSource, name: str, root: str
) -> None:
    root = f"{source.root}/" if root == "DATA" else root
    found = read(source, write(tmp_path / name, source, root=root))
    for record, soft in zip(source.split("all"), found, strict=True):
        assert soft.weights == pytest.approx(MIKELS.distribution(wrong(record.key)).weights)


def test_words_are_read_by_name_in_whatever_order_they_stand(tmp_path: Path, source: DataSource) -> None:
    plain = write(tmp_path / "plain.jsonl", source)
    rows = [json.loads(line) for line in plain.read_text().splitlines()]
    turned = tmp_path / "turned.jsonl"
    for row in rows:
        row["emotions"] = dict(reversed(row["emotions"].items()))
    turned.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    assert read(source, turned) == read(source, plain)


def test_of_several_teachers_probabilities_are_averaged(tmp_path: Path, source: DataSource) -> None:
    one = write(tmp_path / "one.jsonl", source, lambda _: {"awe": 1.0})
    other = write(tmp_path / "other.csv", source, lambda _: {"awe": 0.2, "fear": 0.8})
    assert read(source, one, other)[0].weights == pytest.approx(
        MIKELS.distribution({"awe": 0.6, "fear": 0.4}).weights
    )


def without_one(file: Path, source: DataSource) -> str:
    lines = [line for line in file.read_text().splitlines() if "anger/3.png" not in line]
    file.write_text("\n".join(lines) + "\n")
    return r"no row for the training picture anger/3\.png"


def without_any(file: Path, source: DataSource) -> str:
    write(file, source, root="elsewhere-")
    return rf"no row for the training picture {source.split('all')[0].key}"


def cut_off(file: Path, source: DataSource) -> str:
    file.write_text(file.read_text()[:-40])
    return "line 36: not JSON"


def with_text(file: Path, source: DataSource) -> str:
    file.write_text(file.read_text().replace("0.9", '"high"', 1))
    return "line 1: .*high"


def unreadable(file: Path, source: DataSource) -> str:
    lines = file.read_text().splitlines()
    row = json.loads(lines[4]) | {
        "emotions": None,
        "error": {"type": "PictureEmpty", "message": "zero bytes"},
    }
    file.write_text("\n".join([*lines[:4], json.dumps(row), *lines[5:]]))
    return r"line 5: a picture that could not be predicted \(zero bytes\)"


def twice(file: Path, source: DataSource) -> str:
    file.write_text(file.read_text() + file.read_text().splitlines()[2] + "\n")
    return "two rows for"


def other_words(file: Path, source: DataSource) -> str:
    write(file, source, lambda _: {"joy": 1.0}, vocabulary=EKMAN)
    return r"over the emotions \[anger, .*labelled with \[amusement, "


@pytest.mark.parametrize(
    "spoil", [without_one, without_any, cut_off, with_text, unreadable, twice, other_words]
)
def test_a_file_that_does_not_hold_every_picture_is_an_error_before_there_is_a_run(
    tmp_path: Path, source: DataSource, spoil: Callable[[Path, DataSource], str]
) -> None:
    file = write(tmp_path / "soft.jsonl", source)
    expected = spoil(file, source)
    teaching = replace(TINY, distillation=0.5)
    everything = replace(source, splits={"train": source.split("all"), "val": source.split("all")[:0]})
    with pytest.raises((DatasetError, BadRow), match=expected):
        read(everything, file)
    with pytest.raises(AffectLensError):
        next(fit(request(source, tmp_path / "run", teaching, file)))
    assert not (tmp_path / "run").exists()


def test_another_kind_of_file_is_an_error_that_names_the_known(tmp_path: Path, source: DataSource) -> None:
    (tmp_path / "soft.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"\.jsonl, \.csv"):
        read(source, tmp_path / "soft.parquet")


def test_teachers_and_their_weight_go_together(tmp_path: Path, source: DataSource) -> None:
    file = write(tmp_path / "soft.jsonl", source)
    with pytest.raises(SettingsError, match="--teachers FILE"):
        open_session(source, replace(TINY, distillation=0.5), "cpu")
    with pytest.raises(SettingsError, match="count for nothing while distillation is 0"):
        open_session(source, TINY, "cpu", teachers=[file])
    with pytest.raises(SettingsError, match="distillation must be between 0 and 1"):
        replace(TINY, distillation=1.5)
    with pytest.raises(SettingsError, match="distillation_temperature must be above 0"):
        replace(TINY, distillation_temperature=0.0)


def session_of(source: DataSource, settings: Settings, *teachers: Path) -> Session:
    return open_session(source, settings, "cpu", teachers=teachers)


def test_losses_see_the_mixture_and_the_order_of_pictures_follows_labels(
    tmp_path: Path, source: DataSource
) -> None:
    settings = replace(TINY, distillation=0.75, logit_adjustment=1.0, balanced_sampling=0.5)
    session = session_of(source, settings, write(tmp_path / "soft.jsonl", source))
    plain = session_of(source, replace(settings, distillation=0.0))
    indices = [session.stream.order(position) for position in range(40)]
    assert indices == [plain.stream.order(position) for position in range(40)]
    smaller = session.stream.with_size(session.preprocessing)
    for position, index in enumerate(indices):
        record = session.training[index]
        label = MIKELS.index(record.key.split("/")[0])
        soft = torch.tensor(MIKELS.distribution(wrong(record.key)).probabilities)
        expected = 0.75 * soft + 0.25 * torch.eye(8)[label]
        for stream in (session.stream, smaller):
            item = stream[position]
            assert isinstance(item, tuple)
            torch.testing.assert_close(item[1], expected)
    prior = session.learned_targets.mean(dim=0)
    learned = [MIKELS.index(word) for word in EMOTIONS]
    torch.testing.assert_close(session.objective.log_prior[learned], prior[learned].log())


def tops(finished: RunFinished, data: Path) -> list[tuple[str, str]]:
    """Label and predicted emotion of every picture."""
    predictor = Predictor(load_model(finished.model), "cpu", "float32")
    paths = sorted(data.rglob("*.png"))
    return [(path.parent.name, emotions.top) for path, emotions in zip(paths, predictor(paths), strict=True)]


@pytest.mark.parametrize("mixes", [[], ["mixup=0.2", "cutmix=0.5", "class_weight=0.5"]])
def test_a_run_learns_what_teachers_answer_and_without_them_the_labels(
    data: Path, source: DataSource, tmp_path: Path, mixes: list[str]
) -> None:
    settings = override(TINY, mixes)
    file = write(tmp_path / "soft.jsonl", source)
    taught = list(fit(request(source, tmp_path / "taught", replace(settings, distillation=1.0), file)))[-1]
    plain = list(fit(request(source, tmp_path / "plain", settings)))[-1]
    assert isinstance(taught, RunFinished) and isinstance(plain, RunFinished)
    answers, labels = tops(taught, data), tops(plain, data)
    assert sum(top == NEXT[label] for label, top in answers) > 0.8 * len(answers)
    assert sum(top == label for label, top in labels) > 0.8 * len(labels)


def test_a_run_names_its_teachers_and_resumes_with_the_same_alone(source: DataSource, tmp_path: Path) -> None:
    settings = override(TINY, ["distillation=0.5", "epochs=2", "checkpoint_every=1"])
    files = [write(tmp_path / "one.jsonl", source), write(tmp_path / "two.csv", source)]
    undisturbed = list(fit(request(source, tmp_path / "undisturbed", settings, *files)))[-1]
    begun = request(source, tmp_path / "begun", settings, *files)
    for event in fit(begun):
        if isinstance(event, Step) and event.number == 2:
            break
    record = RunRecord.read(begun.out)
    assert record.data.teachers == ("one.jsonl", "two.csv")
    assert set(record.data.hashes) == {"train", "val", "soft_answers"}
    others = write(tmp_path / "others.jsonl", source, lambda _: {"fear": 1.0})
    before = {name: (begun.out / name).read_bytes() for name in (RUN, SETTINGS, LAST)}
    for teachers, error in (((others,), RunError), ((), SettingsError)):
        with pytest.raises(error, match="--teachers"):
            next(fit(replace(begun, resume=True, teachers=teachers)))
    assert {name: (begun.out / name).read_bytes() for name in before} == before
    # The same answers in other files, of pictures that lay elsewhere.
    moved = write(tmp_path / "moved.jsonl", source, root="/mnt/colours/")
    finished = list(fit(replace(begun, resume=True, teachers=(moved,))))[-1]
    assert isinstance(finished, RunFinished) and isinstance(undisturbed, RunFinished)
    ours, theirs = (load_model(each.model).card.weights_hash for each in (finished, undisturbed))
    assert ours == theirs
