"""What the README of a model states of ratings, sets and unusual pictures."""

from affectlens import library
from affectlens.library.text import heads_text
from affectlens.model_folder import load_card, read_readme


def test_the_section_of_the_default_model_is_what_its_card_gives_and_writing_it_again_changes_nothing() -> (
    None
):
    folder = library.find("default")
    card, readme = load_card(folder), read_readme(folder)
    assert heads_text(readme, card) == readme
    figure = card.training["ratings"]["figures"]["oasis valence"]
    assert f"r {figure['r']:.2f}" in readme and "Whether they bind" in readme
    assert readme.index("## Valence, arousal") < readme.index("## Training")


def test_a_readme_without_a_section_on_training_gets_it_at_the_end() -> None:
    card = load_card(library.find("default"))
    written = heads_text("# own\n", card)
    assert written.startswith("# own\n\n## Valence") and written.endswith("\n")
