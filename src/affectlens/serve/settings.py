"""Settings of the service: where it listens, who may call it, and the limits of what it reads at once."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from affectlens.errors import SettingsError, UnknownName
from affectlens.machine import usable_cores

LOOPBACK_NAME = "localhost"
MOST = 10**12  # of any limit: what systems take as sizes and times, with room to multiply
_PORTS_OF_SCHEMES = {"http": 80, "https": 443}  # which browsers leave out of an origin


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How the service answers.

    Attributes:
        host, port: where it listens; port 0 takes a free one
        token: what requests must carry as `Authorization: Bearer TOKEN`; None for no such check
        allow_origins: origins, as `https://example.org`, whose pages may call the service
        allow_hosts: names by which it may be called, besides `host`, localhost and addresses in numbers
        request_bytes: of a request's body, without films
        picture_pixels: of a picture as it is stored
        pictures: of a request
        waiting: pictures that wait or are answered; requests beyond are refused
        waiting_explanations: explanations that wait or are made
        memory_bytes: of all bodies that are held at once
        connections: that are open at once
        header_seconds, body_seconds: for a client to send a request's head, and its body
        decode_seconds: for one picture to be decoded
        answer_seconds, explain_seconds: from a body that is complete to its predictions, and explanations
        shutdown_seconds: for accepted requests to end after a signal
        decoders: processes that decode pictures
        batch_size: pictures that go through the network together, on other devices than the CPU
        film_bytes, film_seconds: of a film
        films: of the service: waiting, running and finished ones
        upload_seconds: for a client to send a film
        film_keep_seconds: for which a finished film is kept
        game: folder of pictures that the page offers for guessing (`game.read_game`); None for none
    Raises `SettingsError` for a limit that is not in (0, `MOST`], for a token that no header could carry, and
    for a host, a name or an origin that no request could have.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    request_bytes: int = 64_000_000
    picture_pixels: int = 64_000_000
    pictures: int = 64
    waiting: int = 256
    waiting_explanations: int = 8
    memory_bytes: int = 512_000_000
    connections: int = 512
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    decode_seconds: float = 20.0
    answer_seconds: float = 60.0
    explain_seconds: float = 300.0
    shutdown_seconds: float = 30.0
    decoders: int = field(default_factory=usable_cores)
    batch_size: int = 16
    film_bytes: int = 1_000_000_000
    film_seconds: float = 3 * 3600.0
    films: int = 8
    upload_seconds: float = 600.0
    film_keep_seconds: float = 3600.0
    game: Path | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "port" and isinstance(value, int | float) and not 0 < value <= MOST:
                raise SettingsError(f"{name} must be more than 0 and at most {MOST:,}, not {value}.")
        if not 0 <= self.port < 1 << 16:
            raise SettingsError(f"port must lie in 0..65535, not {self.port}.")
        if self.token is not None and not _is_token(self.token):
            raise SettingsError(
                "The token is empty, or has spaces, line ends or letters beyond ASCII. "
                "Give letters and digits, or none."
            )
        for name in (self.host, *self.allow_hosts):
            if not _is_host(name):
                raise SettingsError(
                    f"{name!r} is not a host. Give a name or an address alone, as example.org."
                )
        for origin in self.allow_origins:
            if not _is_origin(origin):
                raise SettingsError(
                    f"{origin!r} is not an origin as browsers send it. Give scheme and host, and the port "
                    "where it is not the scheme's own, as https://example.org."
                )

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can reach the service."""
        if self.host == LOOPBACK_NAME:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def assigned(self, assignments: Iterable[str]) -> "ServeSettings":
        """Return these with limits changed by texts as `pictures=8`. Raises `SettingsError`."""
        changed: dict[str, int | float] = {}
        for assignment in assignments:
            name, _, text = assignment.partition("=")
            known = getattr(self, name, None) if name in _LIMITS else None
            if known is None:
                raise SettingsError(str(UnknownName("limit", name, _LIMITS, "the service")))
            try:
                changed[name] = type(known)(text)
            except ValueError:
                kind = "a whole number" if isinstance(known, int) else "a number"
                raise SettingsError(f"{name} must be {kind}, not {text!r}.") from None
        return replace(self, **changed)  # type: ignore[arg-type]

    def limits(self) -> dict[str, int | float]:
        """Return the limits that clients should know."""
        names = ("request_bytes", "picture_pixels", "pictures", "film_bytes", "film_seconds")
        return {name: getattr(self, name) for name in names}


_LIMITS = tuple(
    each.name for each in fields(ServeSettings) if each.type in (int, float) and each.name != "port"
)


def _is_token(text: str) -> bool:
    """Whether a header can carry it: clients and servers strip spaces around a value."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        pass
    else:
        return True
    try:
        return bool(text) and urlsplit(f"//{text}").hostname == text.lower()
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    has_only = f"{parts.scheme}://{parts.netloc}".lower() == text.rstrip("/").lower() and "@" not in text
    return has_only and bool(parts.hostname) and (port is None or port != _PORTS_OF_SCHEMES.get(parts.scheme))
