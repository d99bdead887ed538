"""Read result files back, whatever their format."""

from dataclasses import dataclass
from pathlib import Path

from affectlens.errors import DatasetError, first_line, is_denied
from affectlens.extras import require
from affectlens.files import exists, is_file, is_folder, is_pipe_or_device
from affectlens.inference.output.formats import FORMATS, journal_of
from affectlens.inference.output.json_lines import JsonRow


@dataclass(frozen=True)
class RowsFile:
    """A result file and its rows, in the file's order."""

    file: Path
    rows: tuple[JsonRow, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The emotions of all rows, in the order of their first row."""
        return tuple(dict.fromkeys(word for row in self.rows for word in row.emotions or ()))


def is_rows_file(name: str) -> bool:
    """Whether a name is that of a result file, by its suffix; a folder is none."""
    return Path(name).suffix.lower() in FORMATS and not is_folder(name)


def read_rows_file(file: Path) -> RowsFile:
    """Read all rows of a file that `affectlens predict --out` wrote, of this version or an earlier one.

    Raises `DatasetError` for a file that is not there, has no rows, or has one that is not a prediction, and
    `MissingExtra` for Parquet where pyarrow is not installed.
    """
    if is_pipe_or_device(file):
        raise DatasetError(f"The file of predictions {file} is a pipe or a device. Save it as a file first.")
    if not is_file(file):
        unfinished = exists(journal_of(file))
        hint = "Its job was interrupted: finish it by --resume." if unfinished else "Check its spelling."
        if is_denied(file):
            raise DatasetError(f"{file} may not be looked at. Change the rights of its folder.")
        raise DatasetError(f"There is no file of predictions at {file}. {hint}")
    row_format = FORMATS[file.suffix.lower()]
    if row_format.extra:
        require(row_format.extra, f"Reading {file}")
    rows: list[JsonRow] = []
    try:
        for row in row_format.read(file):
            rows.append(row)  # noqa: PERF402 - one by one, so that an error can name the row after the last
    except ValueError as error:
        raise DatasetError(
            f"{file}, row {len(rows) + 1}, is not a prediction as `affectlens predict --out` writes it: "
            f"{first_line(error)}. A job that was interrupted within a row is finished by --resume."
        ) from None
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror or error}.") from None
    if not rows:
        raise DatasetError(f"{file} has no rows. Write them by `affectlens predict --out`.")
    return RowsFile(file, tuple(rows))
