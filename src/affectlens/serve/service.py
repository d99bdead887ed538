"""The service itself, without HTTP: pictures' bytes in, rows and explanations out, within its limits."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from threading import Event
from typing import Any, TypeAlias, TypeVar

from affectlens import library
from affectlens.errors import PictureError, SettingsError, UnknownName
from affectlens.inference.engine import AUTO, cores
from affectlens.inference.fitting import FittedPicture
from affectlens.inference.output.rows import PredictionRow
from affectlens.serve.batches import Batches
from affectlens.serve.bodies import BodyMemory
from affectlens.serve.decoders import DecoderPool
from affectlens.serve.film_folder import remove_stale
from affectlens.serve.films import Films
from affectlens.serve.metrics import ServeMetrics
from affectlens.serve.models import RowOptions, ServedModel
from affectlens.serve.multipart import FilePart
from affectlens.serve.problems import CLOSE, Problem, invalid, overloaded
from affectlens.serve.requests import ExplainFields, PredictFields
from affectlens.serve.settings import ServeSettings

Answer = TypeVar("Answer")
_Batch: TypeAlias = tuple[str, RowOptions]


class Service:
    """Models, decoders and queues. `start` and `stop` it in the event loop that calls it."""

    def __init__(self, models: Sequence[ServedModel], settings: ServeSettings) -> None:
        """Serve models, the first by default. Raises `SettingsError` where two have one name."""
        self.models = {model.card.name: model for model in models}
        if len(self.models) < len(models):
            names = ", ".join(model.card.name for model in models)
            raise SettingsError(f"Two of the models have the same name: {names}. Serve one of them.")
        self.settings, self.metrics = settings, ServeMetrics()
        # What /metrics answers; a replica among several answers for all of them.
        self.write_metrics: Callable[[], Awaitable[bytes]] = self._own_metrics
        self.default = models[0].card.name
        self.memory = BodyMemory(settings.memory_bytes)
        self.is_ready = False
        self.stopping = False
        self.decoders = DecoderPool(
            settings.decoders, settings.decode_seconds, settings.picture_pixels, self.metrics.replaced.inc
        )
        self._batches: Batches[_Batch, tuple[str, FittedPicture], PredictionRow] = Batches(
            self._predict,
            lambda batch: self.models[batch[0]].at_once,
            cores(),
            self.metrics.batches.observe,
        )
        self.films = Films(settings, self.metrics)
        self._explaining = ThreadPoolExecutor(1, "explain")
        self._pictures = self._explanations = 0

    @classmethod
    def load(
        cls,
        names: Iterable[str] = (library.DEFAULT,),
        settings: ServeSettings | None = None,
        *,
        engine: str = AUTO,
        device: str = "auto",
        precision: str = "auto",
    ) -> "Service":
        """Load models by name or folder. Raises as `inference.engine.load_engine`, and `SettingsError`."""
        settings = settings or ServeSettings()
        size = settings.batch_size
        return cls([ServedModel.load(name, size, engine, device, precision) for name in names], settings)

    async def start(self) -> None:
        """Start what answers need, and remove films of services that were killed."""
        await asyncio.to_thread(remove_stale)
        try:
            await asyncio.gather(
                self.decoders.start(), *(asyncio.to_thread(each.warm_up) for each in self.models.values())
            )
        except (OSError, asyncio.IncompleteReadError):
            # Ctrl-C reaches a decoder too, in the moment before it has a session of its own.
            if not self.stopping:
                raise
        self.is_ready = not self.stopping

    async def stop(self) -> None:
        """End all processes and threads; what was accepted is answered before."""
        self.begin_to_stop()
        await self.films.stop()
        self._batches.stop()
        self._explaining.shutdown(wait=True, cancel_futures=True)
        await self.decoders.stop()

    def begin_to_stop(self) -> None:
        """Accept nothing more; what was accepted goes on. A handler of signals may call it."""
        self.is_ready = False
        self.stopping = self.films.stopping = True

    def describe(self) -> dict[str, Any]:
        """Describe models and limits to clients."""
        models = [model.describe() for model in self.models.values()]
        return {"default": self.default, "models": models, "limits": self.settings.limits()}

    async def _own_metrics(self) -> bytes:
        return self.metrics.text()

    async def predict(self, pictures: Sequence[FilePart], fields: PredictFields) -> list[PredictionRow]:
        """Return a row for each picture, in order; of one that cannot be read, with its error.

        Raises `Problem`.
        """
        model = self.model(fields.model)
        options = RowOptions(fields.attributes, fields.coverage)
        with _as_problems():
            model.check(options)
        with self._accepted_pictures(len(pictures)):
            work = _together(self._row(model, options, each) for each in pictures)
            rows = await _in_time(work, self.settings.answer_seconds)
        for row in rows:
            self._count(row)
        return rows

    async def explain(self, picture: FilePart, fields: ExplainFields) -> dict[str, Any]:
        """Explain a picture. Raises `Problem`, also for a picture that cannot be read."""
        model = self.model(fields.model)
        with _as_problems():
            model.check_explanation(fields)
            with self._accepted_explanation():
                work = self._explanation(model, picture, fields)
                return await _in_time(work, self.settings.explain_seconds)

    async def _explanation(
        self, model: ServedModel, picture: FilePart, fields: ExplainFields
    ) -> dict[str, Any]:
        decoded = await self.decoders.decode(picture, model.card.preprocessing)
        stop = Event()
        work = asyncio.get_running_loop().run_in_executor(
            self._explaining, model.explain, picture.name, decoded, fields, stop
        )
        try:
            return await work
        finally:
            stop.set()

    async def _row(self, model: ServedModel, options: RowOptions, picture: FilePart) -> PredictionRow:
        preprocessing = model.card.preprocessing
        fitted = await self.decoders.fit(picture, preprocessing, measured=options.attributes)
        if isinstance(fitted, PictureError):
            return model.failed(options, fitted)
        return await self._batches.submit((model.card.name, options), (picture.name, fitted))

    def _predict(self, key: _Batch, pictures: list[tuple[str, FittedPicture]]) -> list[PredictionRow]:
        name, options = key
        return self.models[name].rows(options, pictures)

    def model(self, name: str | None) -> ServedModel:
        """Return the model of a name that a client gave. Raises `Problem`; nothing is loaded."""
        name = name or self.default
        if name not in self.models:
            raise invalid(str(UnknownName("model", name, self.models, "this service")))
        return self.models[name]

    def require_running(self) -> None:
        """Raise `Problem` where nothing more is accepted."""
        if self.stopping:
            raise overloaded("The service is being stopped.", CLOSE)

    @contextmanager
    def _accepted_pictures(self, number: int) -> Generator[None, None, None]:
        self._require_room(self._pictures + number, self.settings.waiting, "pictures")
        self._pictures += number
        self.metrics.waiting.set(self._pictures)
        try:
            yield
        finally:
            self._pictures -= number
            self.metrics.waiting.set(self._pictures)

    @contextmanager
    def _accepted_explanation(self) -> Generator[None, None, None]:
        self._require_room(self._explanations + 1, self.settings.waiting_explanations, "explanations")
        self._explanations += 1
        self.metrics.explanations.set(self._explanations)
        try:
            yield
        finally:
            self._explanations -= 1
            self.metrics.explanations.set(self._explanations)

    def _require_room(self, number: int, most: int, what: str) -> None:
        self.require_running()
        if number > most:
            raise overloaded(f"More {what} wait than the service takes at once ({most}). Try again soon.")

    def _count(self, row: PredictionRow) -> None:
        error = row["error"]
        self.metrics.pictures.labels("error" if error else "answered").inc()
        if error:
            self.metrics.errors.labels(error["type"]).inc()


async def _in_time(work: Coroutine[Any, Any, Answer], seconds: float) -> Answer:
    """Wait for an answer; one that takes too long is given up."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise overloaded(f"No answer within {seconds:g} seconds. Send less, or try again.") from None


async def _together(work: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Wait for several answers, in order; the first error, or the caller's end, ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            begun = [group.create_task(each) for each in work]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [each.result() for each in begun]


@contextmanager
def _as_problems() -> Generator[None, None, None]:
    """Turn errors of the package into problems of a request."""
    try:
        yield
    except PictureError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unreadable-picture", str(error)) from None
    except (SettingsError, UnknownName) as error:
        raise invalid(str(error)) from None
