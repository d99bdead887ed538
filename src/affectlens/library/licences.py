"""What a model may be used for: the licences in its card, by the terms of the data that it learned from."""

from collections.abc import Iterable, Mapping

from affectlens.data.catalog import commercial_use, licence
from affectlens.model_folder import Card

CODE = "Apache-2.0"
# Of weights, by whether the data may be used commercially (`commercial_use`); and the names for the hub.
WEIGHTS_LICENCES = {
    False: "research use, because of the data",
    None: "as the terms of the data allow",
    True: "any use",
}
HUB_LICENCES = {False: "research-use", None: "terms-of-the-data", True: "any-use"}


def licences(data: str) -> dict[str, str]:
    """Licences of code, weights and data for a model trained on a data set of the catalogue."""
    of_data = licence(data)
    return {"code": CODE, "weights": WEIGHTS_LICENCES[commercial_use(of_data)], "data": of_data}


def merged_licences(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Licences of a model made of several: all of them bind, so each differing text is kept.

    Where the data of any allows no commercial use, the weights are for research alone.

    >>> merged_licences([{"code": "MIT", "data": "mine"}, {"code": "MIT", "data": "yours"}])
    {'code': 'MIT', 'data': 'mine; yours'}
    """
    found: dict[str, list[str]] = {}
    for each in several:
        for what, text in each.items():
            found.setdefault(what, []).append(text)
    merged = {what: "; ".join(dict.fromkeys(texts)) for what, texts in found.items()}
    if commercial_use(merged.get("data", "")) is False:
        merged["weights"] = WEIGHTS_LICENCES[False]
    return merged


def hub_licence(card: Card) -> str:
    """Name the licence of a model in the header that the hub reads."""
    return HUB_LICENCES[commercial_use(card.licences.get("data", ""))]


def use_text(card: Card) -> str:
    """State what a model may be used for, commercially too, given the terms of what it was trained on.

    What the terms allow is in `data.catalog.DATA_SETS`.
    """
    terms = " ".join(card.licences.get("data", "").split())
    commercial = commercial_use(terms)
    if commercial:
        return f"any, commercial use too, by the terms of its training data: {terms}."
    if commercial is False:
        return f"research, no commercial use, by the terms of its training data: {terms}."
    return (
        "what the terms of its training data allow, which are not known here "
        f"({terms or 'the card names none'}). Read them before any commercial use."
    )
