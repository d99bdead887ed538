"""Vocabularies, distributions and conversions."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlens.attributes import Attribute, BadAttribute
from affectlens.emotions import (
    EKMAN,
    EMOTION6,
    MAPPINGS,
    MIKELS,
    MIKELS_CIRCLE,
    POLARITY,
    VOCABULARIES,
    WEBEMO_7,
    WEBEMO_25,
    BadDistribution,
    BadVocabulary,
    EmotionDistribution,
    NoConversion,
    Vocabulary,
    by_polarity,
    convert,
    find_vocabulary,
    own_vocabulary,
    polarity_score,
    polarity_sums,
    read_vocabulary,
    to_plain,
    vocabulary,
    vocabulary_of_plain,
)
from affectlens.errors import UnknownName
from affectlens.inference.output.rows import columns_among

POSITIVE = ("amusement", "awe", "contentment", "excitement")

# Far from the ends of floating point: what is tested is the arithmetic of votes and probabilities.
a_weight = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))


def weights_of(words: tuple[str, ...]) -> st.SearchStrategy[dict[str, float]]:
    return st.fixed_dictionaries(dict.fromkeys(words, a_weight)).filter(lambda w: sum(w.values()) > 0)


@pytest.mark.parametrize(
    ("spelling", "word"),
    [("Amusement", "amusement"), ("amuse", "amusement"), ("content", "contentment"), ("excit", "excitement"),
     ("Excite", "excitement"), ("sad", "sadness"), (" awe ", "awe"), ("ANGRY", "anger")],
)  # fmt: skip
def test_the_spellings_of_data_sets_mean_one_word(spelling: str, word: str) -> None:
    assert MIKELS.word(spelling) == word
    assert MIKELS.words[MIKELS.index(spelling)] == word


def test_a_misspelt_emotion_is_an_error_not_a_ninth_class() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'amusement'"):
        MIKELS.only("amusment")


@pytest.mark.parametrize("known", VOCABULARIES.values(), ids=VOCABULARIES)
def test_every_alias_leads_to_a_word_and_hides_none(known: Vocabulary) -> None:
    assert set(known.aliases.values()) <= set(known.words)
    assert not set(known.aliases) & set(known.words)
    assert all(word == word.strip().lower() for word in (*known.words, *known.aliases))


def test_a_vocabulary_repeats_no_word_and_has_some() -> None:
    with pytest.raises(BadDistribution, match="repeats"):
        Vocabulary("twice", ("awe", "awe"))
    with pytest.raises(BadDistribution, match="none"):
        Vocabulary("empty", ())


@given(st.permutations(MIKELS.words))
def test_the_same_words_in_another_order_are_another_vocabulary(words: list[str]) -> None:
    other = Vocabulary("mikels-8", tuple(words))
    assert (other == MIKELS) == (tuple(words) == MIKELS.words)
    target = other.only("awe")
    assert target["awe"] == 1.0
    if other != MIKELS:
        with pytest.raises(NoConversion):
            convert(target, POLARITY)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_vocabulary_is_found_by_its_name(name: str) -> None:
    assert vocabulary(name).name == name


def test_a_misspelt_vocabulary_is_an_error() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'mikels-8'"):
        vocabulary("mikels8")


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (MIKELS.words, "mikels-8"),
        (["anger", "disgust", "fear", "sadness"], "mikels-8"),  # fits four; the one met most often
        (["Amuse", "sad"], "mikels-8"),
        (["positive", "NEG"], "polarity-2"),
        (["anger", "joy", "fear"], "ekman-6"),
        (["happiness", "sad", "angry"], "ekman-6"),
        (["joy", "neutral"], "emotion6-7"),
        (["joy", "trust"], "plutchik-8"),
        (["love", "joy"], "webemo-7"),
        (["cheerfullness", "zest"], "webemo-25"),
    ],
)
def test_the_vocabulary_of_a_data_set_is_found_from_its_labels(labels: list[str], name: str) -> None:
    assert find_vocabulary(labels).name == name


def test_the_label_that_fits_nowhere_is_named() -> None:
    with pytest.raises(UnknownName, match=r"'boredom' is not an emotion of the nearest vocabulary, mikels-8"):
        find_vocabulary(["amusement", "awe", "boredom", "contentment"])


def test_the_circle_has_the_words_of_mikels() -> None:
    assert sorted(MIKELS_CIRCLE) == sorted(MIKELS.words)


@given(weights_of(MIKELS.words))
def test_votes_become_probabilities_in_the_same_proportion(votes: dict[str, float]) -> None:
    made = MIKELS.distribution(votes)
    assert math.isclose(math.fsum(made.probabilities), 1)
    total = math.fsum(votes.values())
    assert all(math.isclose(made[word], vote / total) for word, vote in votes.items())
    assert made.weights == dict(zip(MIKELS.words, made.probabilities, strict=True))
    assert made.ranked[0] == (made.top, max(made.probabilities))


@pytest.mark.parametrize(
    "votes",
    [
        {},
        {"awe": 0},
        {"awe": -1, "fear": 2},
        {"awe": math.nan},
        {"awe": math.inf},
        {"awe": 1e308, "fear": 1e308},
    ],
)
def test_votes_that_make_no_distribution_are_refused(votes: dict[str, float]) -> None:
    with pytest.raises(BadDistribution):
        MIKELS.distribution(votes)


@pytest.mark.parametrize("values", [(0.5, 0.4), (1.5, -0.5), (math.nan, 1.0), (1.0,), (0.5, 0.25, 0.25)])
def test_numbers_that_are_no_probabilities_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(BadDistribution):
        EmotionDistribution(POLARITY, values)


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda m: f"{m.source.name} to {m.target.name}")
def test_every_mapping_holds_where_each_word_goes(mapping: object) -> None:
    source, words, target = mapping.source, mapping.words, mapping.target  # type: ignore[attr-defined]
    assert tuple(words) == source.words
    assert {new for new in words.values() if new} <= set(target.words)
    assert mapping.lost  # type: ignore[attr-defined]


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda m: f"{m.source.name} to {m.target.name}")
@given(data=st.data())
def test_a_conversion_sums_the_groups_and_reports_what_it_drops(mapping: object, data: st.DataObject) -> None:
    source, words, target = mapping.source, mapping.words, mapping.target  # type: ignore[attr-defined]
    before = source.distribution(data.draw(weights_of(source.words)))
    kept = math.fsum(before[word] for word, new in words.items() if new)
    if kept <= 0:
        with pytest.raises(NoConversion):
            convert(before, target)
        return
    after = convert(before, target)
    assert math.isclose(math.fsum(after.distribution.probabilities), 1)
    assert math.isclose(after.dropped, 1 - kept, abs_tol=1e-9)
    for new in target.words:
        group = math.fsum(before[word] for word in source.words if words[word] == new)
        assert math.isclose(after.distribution[new], group / kept, abs_tol=1e-9)


@given(weights_of(MIKELS.words))
def test_polarity_is_the_sum_over_positive_and_negative_emotions(votes: dict[str, float]) -> None:
    evoked = MIKELS.distribution(votes)
    expected = math.fsum(evoked[word] for word in POSITIVE)
    assert math.isclose(evoked.polarity["positive"], expected, abs_tol=1e-9)


def test_polarity_by_way_of_the_families_of_webemo_is_the_same() -> None:
    for word in WEBEMO_25.words:
        direct = WEBEMO_25.only(word).polarity
        assert convert(convert(WEBEMO_25.only(word), WEBEMO_7).distribution, POLARITY).distribution == direct


def test_a_distribution_of_its_own_vocabulary_comes_back_untouched() -> None:
    evoked = MIKELS.distribution({"awe": 2, "fear": 1})
    assert convert(evoked, MIKELS).distribution is evoked


def test_weight_without_a_counterpart_is_dropped_and_reported() -> None:
    made = convert(EMOTION6.distribution({"neutral": 1, "joy": 3}), EKMAN)
    assert (made.distribution.top, made.dropped) == ("joy", 0.25)
    assert "neutral" in made.lost


def test_a_conversion_that_would_leave_nothing_is_refused() -> None:
    with pytest.raises(NoConversion, match="surprise"):
        convert(EKMAN.only("surprise"), POLARITY)


def test_vocabularies_without_a_mapping_are_refused_with_the_known_ones() -> None:
    with pytest.raises(NoConversion, match="mikels-8 to polarity-2"):
        convert(POLARITY.only("positive"), MIKELS)


def test_a_distribution_reads_like_a_sentence() -> None:
    assert (
        str(MIKELS.distribution({"fear": 1, "awe": 1, "sadness": 2})) == "sadness 50 %, awe 25 %, fear 25 %"
    )


def test_the_top_of_equals_is_the_first_in_vocabulary_order() -> None:
    assert MIKELS.distribution({"fear": 1, "awe": 1}).top == "awe"


def test_what_is_no_name_and_no_weight_is_refused_in_our_words() -> None:
    with pytest.raises(UnknownName, match="'0' is not an emotion"):
        MIKELS.only("awe")[0]  # type: ignore[index]
    for weight in ("much", None):
        with pytest.raises(BadDistribution, match="not a number"):
            MIKELS.distribution({"awe": weight})  # type: ignore[dict-item]


# -------------------------------------------------------------------------------- words of one's own


def test_a_word_is_found_whatever_its_case_and_however_its_accents_are_stored() -> None:
    words = own_vocabulary(["\u00c5ngest", "rock 'n' roll"])
    assert words.words == ("\u00e5ngest", "rock 'n' roll")
    for spelling in ("a\u030angest", "\u00c5NGEST", " \u212bngest "):
        assert words.word(spelling) == "\u00e5ngest"
    assert words.word("Rock  'N' Roll") == "rock 'n' roll"
    assert not words.knows("angest")


def test_polarity_follows_from_the_words_that_have_one() -> None:
    words = Vocabulary("moods", ("cosy", "odd", "bleak"), polarity={"cosy": "positive", "bleak": "negative"})
    made = convert(words.distribution({"cosy": 1, "odd": 2, "bleak": 1}), POLARITY)
    assert (made.distribution["positive"], made.dropped) == (0.5, 0.5)
    assert "odd" in made.lost
    assert polarity_score(words.only("bleak")) == -1
    assert by_polarity(words) == ["cosy", "odd", "bleak"]
    assert polarity_score(Vocabulary("moods", words.words).only("cosy")) is None


def test_positive_as_one_word_of_several_has_no_sums_next_to_it() -> None:
    sides = {"positive": "positive", "negative": "negative"}
    words = Vocabulary("three", ("negative", "neutral", "positive"), polarity=sides)
    evoked = words.distribution({"positive": 2, "neutral": 1, "negative": 1})
    assert polarity_sums(evoked) is None
    assert math.isclose(evoked.polarity["positive"], 2 / 3)
    assert polarity_sums(POLARITY.only("positive")) == POLARITY.only("positive")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('words = ["a", "b"]\npolarty = {}', "polarty"),
        ('words = ["a", "b"]\nname = "mikels-8"', "known vocabulary"),
        ('words = ["a", "A"]', "'a' is there twice"),
        ('words = ["a"]', "two words or more"),
        ('words = ["a", "b"]\ncolours = {a = "red"}', "colours of 'a' is 'red', not as #1a2b3c"),
        ('words = ["a", "b"]\nvalence = {a = 10}', "valence of 'a'"),
        ('words = ["a", "b"]\naliases = {c = "d"}', "leads to no word"),
        ('words = ["a", "b"]\npolarity = {positive = ["c"]}', "'c', which is not one of its words"),
        ('words = ["a", "b"]\npolarity = {positive = ["a"], negative = ["A"]}', "both positive and negative"),
        ("words = [", "moods.toml"),
        ('name = "mikels-9"', "Did you mean 'mikels-8'"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused_with_its_name(
    tmp_path: Path, text: str, reason: str
) -> None:
    file = tmp_path / "moods.toml"
    file.write_text(text)
    with pytest.raises(BadVocabulary, match=rf"moods\.toml.*{reason}|{reason}"):
        read_vocabulary(file)


def test_words_by_the_ten_thousand_take_no_longer_than_their_number() -> None:
    named = [f"w{number:x}" for number in range(50_000)]
    began = time.process_time()
    facts = {"polarity": {"positive": named}, "valence": dict.fromkeys(named, 5.0)}
    words = vocabulary_of_plain({"words": named, **facts})
    assert sum(words.signs.values()) == len(named)
    for repeated, spelling in (named[-1], "there twice"), (f"{named[-1]}!", "signs alone"):
        with pytest.raises(BadVocabulary, match=spelling):
            own_vocabulary([*named, repeated])
    with pytest.raises(BadAttribute, match=f"'{named[-1]}' twice"):
        Attribute("scene", (*named, named[-1]))
    with pytest.raises(ValueError, match=f"several columns '{named[-1]}'"):
        columns_among([*named, named[-1]])
    assert time.process_time() - began < 10  # each of these took minutes by every two words


def test_a_file_may_name_a_known_vocabulary_alone(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.toml").write_text('name = "ekman"')
    assert read_vocabulary(tmp_path / "vocabulary.toml") is EKMAN


def test_all_that_is_known_of_words_is_written_and_read_back() -> None:
    words = own_vocabulary(
        ["cosy", "bleak"], "moods", aliases={"snug": "cosy"}, polarity={"cosy": "positive"},
        colours={"bleak": "#123456"}, valence={"cosy": 7.5},
    )  # fmt: skip
    read = vocabulary_of_plain(to_plain(words))
    for name in ("name", "words", "aliases", "polarity", "colours", "valence"):
        assert getattr(read, name) == getattr(words, name), name
    assert to_plain(MIKELS) == {"name": "mikels-8", "words": list(MIKELS.words)}


@pytest.mark.parametrize("words", ["ab", ("a", 5), None, ("a", None)])
def test_words_are_texts(words: Any) -> None:
    with pytest.raises(BadVocabulary, match=r"vocabulary own (are|cannot have)"):
        Vocabulary("own", words)


def test_probabilities_are_numbers() -> None:
    with pytest.raises(BadDistribution, match="must be numbers"):
        EmotionDistribution(POLARITY, ("a", "b"))  # type: ignore[arg-type]
