"""Training in words."""

from affectlens.training.loop import Step
from affectlens.training.run import EpochEnd
from affectlens.training.text import Meter, epoch_text


def test_the_meter_follows_the_latest_steps() -> None:
    seconds = iter(0.5 * number for number in range(201))
    meter = Meter(clock=lambda: next(seconds))
    assert meter.state == ""
    for number in range(200):
        meter.after(Step(number, 0, 2.0 if number < 20 else 1.0, 0.5, 0.1, 4, False))
    assert meter.state == "loss 1.000, accuracy 0.500, 8 pictures/s"


def test_the_scores_of_an_epoch_are_one_sentence_that_marks_the_best() -> None:
    scores = {"accuracy": 0.5, "balanced_accuracy": 0.25}
    assert epoch_text(EpochEnd(2, 10, scores, best=True)) == (
        "Epoch 2: accuracy 0.5000, balanced accuracy 0.2500 (best)."
    )
    assert "(best)" not in epoch_text(EpochEnd(2, 10, scores, best=False))
