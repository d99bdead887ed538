"""FI, Flickr and Instagram: about 23,000 pictures, each with one of Mikels' eight emotions.

Paper: You et al., "Building a Large Scale Dataset for Image Emotion Recognition: The Fine Print
    and The Benchmark", AAAI 2016.
Get it: from its authors, for research. Circulating copies differ in size (23,308 to 22,700 pictures)
    and have no common split, so every figure needs the hash of its split next to it.

On disk, any of:
    root/splits.tsv                          path, label, split; pictures where the paths point
    root/{train,val,test}/<emotion>/*.jpg
    root/<emotion>/*.jpg, root/emotion_dataset/<emotion>/*.jpg        raw, without a split

Raw copies hold many copies of one placeholder ("this photo is no longer available"). They are left
out and counted.
"""

from dataclasses import replace
from pathlib import Path

from affectlens.data import folder, table
from affectlens.data.fingerprints import same_bytes
from affectlens.data.records import DataSource, Record
from affectlens.emotions import MIKELS

LICENCE = "FI (Flickr and Instagram) was released for research; its pictures belong to those who took them"

# The same bytes this often are a placeholder and no picture: a photo that people posted twice or
# three times stays in. Copies made with the same tool are equal to the byte.
PLACEHOLDER_COPIES = 10


def read(root: Path) -> DataSource:
    """List FI in whichever of its layouts lies at root."""
    if (root / "splits.tsv").is_file():
        return table.read(root / "splits.tsv", name="fi")
    inner = root / "emotion_dataset"
    source = folder.read(inner if inner.is_dir() else root, name="fi", vocabulary=MIKELS)
    placeholders = find_placeholders([r for part in source.splits.values() for r in part])
    if not placeholders:
        return source
    splits = {name: [r for r in part if r.path not in placeholders] for name, part in source.splits.items()}
    note = f"{len(placeholders):,} copies of a placeholder picture were left out"
    return replace(source, splits=splits, notes=(*source.notes, note))


def find_placeholders(records: list[Record], copies: int = PLACEHOLDER_COPIES) -> set[Path]:
    """Find files whose very bytes occur at least `copies` times."""
    return {path for same in same_bytes((record.path for record in records), copies) for path in same}
