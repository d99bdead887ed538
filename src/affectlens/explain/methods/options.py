"""Options of methods as text: KEY=VALUE, each of the type of its default."""

from collections.abc import Iterable
from typing import Any

from affectlens.errors import SettingsError
from affectlens.explain.methods.catalog import find


def parse(method: str, assignments: Iterable[str]) -> dict[str, Any]:
    """Read assignments as options of a method.

    Raises `UnknownName` for a method, `SettingsError` for an option that it does not have or another type.
    """
    known = find(method).options
    options: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator or key not in known:
            raise SettingsError(
                f"{assignment!r} does not set an option of {method}: expected KEY=VALUE. "
                f"Its options: {listing(method) or 'none'}."
            )
        options[key] = _parsed(key, value, known[key])
    return options


def listing(method: str) -> str:
    """List a method's options with their defaults, as they can be given; "" where it has none."""
    return " ".join(f"{key}={_written(default)}" for key, default in find(method).options.items())


def _parsed(key: str, value: str, default: Any) -> Any:
    try:
        if isinstance(default, tuple):
            return tuple(part.strip() for part in value.split(","))
        if isinstance(default, bool):
            return {"true": True, "false": False}[value.lower()]
        return type(default)(value) if isinstance(default, (int, float)) else value
    except (KeyError, ValueError):
        kind = "true or false" if isinstance(default, bool) else type(default).__name__
        raise SettingsError(f"{key}={value}: expected {kind}.") from None


def _written(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
