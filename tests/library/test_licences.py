"""What a model may be used for, by the terms of what it learned from."""

from dataclasses import replace

from affectlens.data.catalog import UNKNOWN_LICENCE, licence
from affectlens.library.licences import hub_licence, licences, merged_licences, use_text
from model_folders import CARD


def test_use_follows_from_the_terms_of_the_training_data() -> None:
    research = use_text(replace(CARD, licences={"data": licence("fi")}))
    assert research.startswith("research, no commercial use") and licence("fi") in research
    unknown = use_text(replace(CARD, licences={"data": licence("folder")}))
    assert "not known here" in unknown and "before any commercial use" in unknown
    assert "the card names none" in use_text(replace(CARD, licences={}))


def test_a_model_trained_on_research_data_is_for_research_and_on_other_data_as_its_terms_allow() -> None:
    assert licences("fi")["weights"].startswith("research use")
    assert licences("folder")["weights"] == "as the terms of the data allow"
    names = [hub_licence(replace(CARD, licences=licences(data))) for data in ("emoset", "csv")]
    assert names == ["research-use", "terms-of-the-data"]
    assert hub_licence(replace(CARD, licences={})) == "terms-of-the-data"


def test_of_merged_licences_the_strictest_counts_and_none_is_lost() -> None:
    for order in (("fi", "folder"), ("folder", "fi")):
        merged = merged_licences([licences(data) for data in order])
        assert licence("fi") in merged["data"] and UNKNOWN_LICENCE in merged["data"]
        assert merged["weights"].startswith("research use") and merged["code"] == "Apache-2.0"
        assert use_text(replace(CARD, licences=merged)).startswith("research, no commercial use")
    assert merged_licences([licences("fi")] * 2) == licences("fi")
