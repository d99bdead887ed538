"""What makes tests of adaptation fast."""

import pytest


@pytest.fixture(autouse=True)
def divided_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide pictures once, which takes a third of the time, but where several divisions are tested."""
    from affectlens.adaptation import validation

    if "division" not in request.node.name:
        monkeypatch.setattr(validation, "DIVISIONS", 1)
