"""multipart/form-data, read as it comes: parts in memory, or written where the caller wants them.

Nothing is read ahead and nothing goes to disk of itself; what is beyond a limit ends the reading at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from affectlens.serve.problems import invalid, malformed, too_large

LONGEST_HEAD = 8_192  # bytes of all headers of one part
LONGEST_FIELD = 4_096  # bytes of a part that is not a file
MOST_FIELDS = 64
LONGEST_NAME = 1_000  # letters of a file's name, which is a label


class Sink(Protocol):
    """What a file's bytes are written to as they come."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class FilePart:
    """A file of a form: the name that the client gave it, which is a label only, and its bytes."""

    name: str
    data: bytes


@dataclass
class Form:
    """A form as it was read.

    Attributes:
        files: by the name of their part, in the order given
        fields: values by name, in the order given
    """

    files: dict[str, list[FilePart]] = field(default_factory=dict)
    fields: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class _OpenPart:
    head: dict[str, bytes] = field(default_factory=dict)
    size: int = 0
    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)
    sink: Sink | None = None


class FormReader:
    """Reads a form from the chunks of a body.

    Raises `Problem` for what is not such a form, for more files than `most_files`, and for files in parts
    of other names than `file_names`.
    """

    def __init__(
        self,
        content_type: bytes,
        file_names: frozenset[str],
        most_files: int,
        sink: Callable[[str], Sink] | None = None,
    ) -> None:
        """Begin a form by its Content-Type; `sink` opens what a file, by its name, is written to."""
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise malformed(
                "The Content-Type has no boundary. Send multipart/form-data as its standard has it."
            )
        self.form = Form()
        self._file_names, self._most_files, self._sink = file_names, most_files, sink
        self._part, self._field, self._value = _OpenPart(), bytearray(), bytearray()
        self._head_size = self._files = self._fields = 0
        self._is_complete = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise malformed(f"The boundary of the form cannot be used: {error}.") from None

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise malformed(f"The body is not a form as its Content-Type states: {error}.") from None

    def finish(self) -> Form:
        """Return the form after its last bytes."""
        if not self._is_complete:
            raise malformed("The form ends before its last boundary. Send it again, completely.")
        return self.form

    def _callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_to_field,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_head,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._part, self._head_size = _OpenPart(), 0

    def _add_to_field(self, data: bytes, start: int, end: int) -> None:
        self._count_head(end - start)
        self._field += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._count_head(end - start)
        self._value += data[start:end]

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > LONGEST_HEAD:
            raise too_large(f"The head of a part is longer than {LONGEST_HEAD:,} bytes.")

    def _end_header(self) -> None:
        name = bytes(self._field).decode("latin-1").lower()
        self._part.head[name] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _end_head(self) -> None:
        part = self._part
        kind, options = parse_options_header(part.head.get("content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise malformed("A part of the form has no name. Give each a Content-Disposition with one.")
        part.name = options[b"name"].decode("utf-8", "replace")
        if b"filename" in options:
            self._begin_file(options[b"filename"].decode("utf-8", "replace"))
            return
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise too_large(f"The form has more than {MOST_FIELDS} fields.")

    def _begin_file(self, name: str) -> None:
        part = self._part
        part.filename = name[:LONGEST_NAME]
        if part.name not in self._file_names:
            known = ", ".join(sorted(self._file_names))
            raise invalid(f"There is a file in the part {part.name[:100]!r}. Files go into: {known}.")
        self._files += 1
        if self._files > self._most_files:
            raise too_large(f"The form has more than {self._most_files} files. Send several requests.")
        if self._sink is not None:
            part.sink = self._sink(part.filename)

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.sink is not None:
            part.sink.write(data[start:end])
            return
        part.data += data[start:end]
        if part.filename is None and len(part.data) > LONGEST_FIELD:
            raise too_large(f"The field {part.name[:100]!r} is longer than {LONGEST_FIELD:,} bytes.")

    def _end_part(self) -> None:
        part = self._part
        if part.filename is None:
            value = part.data.decode("utf-8", "replace")
            self.form.fields.setdefault(part.name, []).append(value)
        else:
            file = FilePart(part.filename, bytes(part.data))
            self.form.files.setdefault(part.name, []).append(file)
        self._part = _OpenPart()

    def _end(self) -> None:
        self._is_complete = True
