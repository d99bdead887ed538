"""Files of explanations: their names, the registry of formats, and what each requests."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from affectlens.emotions import MIKELS
from affectlens.errors import OutputInUse, SettingsError, UnknownName
from affectlens.explain.explainer import Explanation, ExplanationRequest
from affectlens.explain.formats import FORMATS, request_for
from affectlens.explain.methods.options import listing, parse
from affectlens.explain.output import ExplanationFiles
from affectlens.ratings import with_intervals
from heat import effects_of, explanation_of, heatmap_of, with_patch
from lock_holder import holder
from rated import SCALES


def test_pictures_of_one_name_do_not_overwrite_each_other() -> None:
    given = ExplanationFiles(Path("out"), ExplanationRequest())
    files = [
        given.path(Explanation(image), FORMATS["png"]).name
        for image in ("a/x.jpg", "b/x.jpg", "a/x.png", "a/X.jpg", "x-2.jpg", "a/x.jpg")
    ]
    assert files[0] == files[5]
    assert len({file.casefold() for file in files}) == 5


@pytest.mark.skipif(os.name == "nt", reason="names as long as POSIX has them")
def test_a_long_name_is_shortened_and_stays_one_of_its_own(tmp_path: Path) -> None:
    heatmap = heatmap_of(with_patch(), emotion="fear")
    files = ExplanationFiles(tmp_path, ExplanationRequest())
    written = []
    for name in ("n" * 251, "n" * 250 + "m", "\u00e9" * 125, os.fsdecode(b"\xff" * 251)):
        written += files.write(
            replace(explanation_of(heatmap), image=f"{name}.jpg"), ("json", "npz", "wheel")
        )
    assert len(set(written)) == 12 and all(file.is_file() for file in written)
    assert [file.name.split(".", 1)[1] for file in written[:3]] == ["fear.json", "fear.npz", "wheel.png"]


def test_questions_too_long_for_a_name_are_shortened_too(tmp_path: Path) -> None:
    heatmaps = [heatmap_of(with_patch(), emotion=word, against="contentment") for word in MIKELS.words * 2
                if word != "contentment"]  # fmt: skip
    explanation = replace(explanation_of(*heatmaps), image="n" * 251 + ".jpg")
    (file,) = ExplanationFiles(tmp_path, ExplanationRequest()).write(explanation, ("json",))
    assert file.is_file() and file.name.startswith("n" * 40) and file.suffix == ".json"


def test_the_question_is_part_of_a_name() -> None:
    heatmaps = [heatmap_of(with_patch(), emotion="fear", against="anger"), heatmap_of(with_patch())]
    for request, image, expected in (
        (ExplanationRequest(), explanation_of(*heatmaps), "night street.fear-rather-than-anger+fear.png"),
        (ExplanationRequest(all_emotions=True), Explanation("x.jpg"), "x.all.png"),
        (ExplanationRequest(all_emotions=True, against="fear"), Explanation("x.jpg"),
         "x.all-rather-than-fear.png"),
    ):  # fmt: skip
        assert ExplanationFiles(Path("out"), request).path(image, FORMATS["png"]) == Path("out") / expected


def test_every_format_writes_its_file_and_no_two_the_same(tmp_path: Path) -> None:
    heatmap = heatmap_of(with_patch())
    explanation = explanation_of(
        heatmap,
        effects=(effects_of(heatmap.question, {}),),
        scales=SCALES,
        ratings=with_intervals(SCALES, [4.0, 6.0]),
    )
    written = ExplanationFiles(tmp_path / "out", ExplanationRequest()).write(explanation, FORMATS)
    assert len(set(written)) == len(FORMATS)
    assert sorted(written) == sorted((tmp_path / "out").iterdir())
    assert all(
        file.name.endswith(entry.suffix) for file, entry in zip(written, FORMATS.values(), strict=True)
    )
    assert all(file.stat().st_size > 500 for file in written)


def test_a_folder_that_another_process_writes_is_refused_and_what_a_killed_one_left_is_cleared(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".a.awe.png.0123abcd.part").touch()
    with holder("locked_folder", out) as other, pytest.raises(OutputInUse, match=str(other.pid)):
        ExplanationFiles(out, ExplanationRequest()).__enter__()
    with ExplanationFiles(out, ExplanationRequest()):
        assert [path.name for path in out.iterdir()] == [".lock"]


def test_only_what_a_format_shows_is_requested() -> None:
    arrays = request_for(["npz"], emotions=("fear",))
    assert (arrays.effects, arrays.removal, arrays.keep_pixels) == (False, None, False)
    assert request_for([], story=True).effects
    sheet = request_for(["npz", "png"])
    assert sheet.keep_pixels and sheet.removal is not None and not sheet.effects
    page = request_for(["html"], faithfulness=False)
    assert page.keep_pixels and page.effects and page.removal is None


@pytest.mark.needs("torch")
def test_options_of_a_method_are_read_by_the_type_of_their_default() -> None:
    found = parse("rise", ["masks=64", "kept=0.25", "replacement=black"])
    assert found == {"masks": 64, "kept": 0.25, "replacement": "black"}
    assert "masks=1000" in listing("rise")
    for assignment, words in (
        ("masks", "does not set an option of rise"),
        ("maskz=3", "Its options: "),
        ("masks=many", "masks=many: expected int"),
    ):
        with pytest.raises(SettingsError, match=words):
            parse("rise", [assignment])
    with pytest.raises(UnknownName):
        parse("gradent", [])


@pytest.mark.needs("torch")
def test_options_of_several_values_are_separated_by_commas_and_truth_is_spelt_out() -> None:
    assert parse("integrated_gradients", ["baselines=mean, black"]) == {"baselines": ("mean", "black")}
    assert "baselines=mean" in listing("integrated_gradients")
    assert parse("grad_cam", ["pooled=false"]) == {"pooled": False}
    with pytest.raises(SettingsError, match="pooled=no: expected true or false"):
        parse("grad_cam", ["pooled=no"])
