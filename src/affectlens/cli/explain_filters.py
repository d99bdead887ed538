"""`affectlens explain filters PICTURE [--out FILE]`."""

from pathlib import Path

import click

from affectlens.cli import options
from affectlens.cli.console import echo


@click.command()
@click.argument("picture", type=options.NamedPath(path_type=Path))
@click.option("--model", "name", default="default", show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub.")  # fmt: skip
@click.option("--out", type=options.NamedPath(path_type=Path), metavar="FILE", default=Path("filters.png"),
              show_default=True, help="File for the figure: .png, .jpg, .pdf or .svg.")  # fmt: skip
@click.option("--block", "blocks", multiple=True, metavar="NAME",
              help="Block to map and to visualise; may be repeated.")  # fmt: skip
@click.option("--channel", "channels", multiple=True, type=click.IntRange(0), metavar="N",
              help="Channel to show instead of the strongest; may be repeated.")  # fmt: skip
@click.option("--steps", default=96, show_default=True, type=click.IntRange(1),
              help="Steps of gradient ascent: more make clearer pictures.")  # fmt: skip
@click.option(
    "--seed", default=0, show_default=True, help="Random seed of the noise that visualisations begin with."
)
@click.pass_context
def filters(
    context: click.Context,
    picture: Path,
    name: str,
    out: Path,
    blocks: tuple[str, ...],
    channels: tuple[int, ...],
    steps: int,
    seed: int,
) -> None:
    """Draw where the layers of a model are active in PICTURE, and what they detect.

    One figure: where in the picture the strongest channel of each block is active, and the pictures that
    activate channels of a shallow, a middle and a deep block most. An existing file is replaced.
    """
    from affectlens.cli.progress import counter
    from affectlens.explain.features import figure
    from affectlens.explain.features.visualisation import GradientAscent, choose_blocks, study
    from affectlens.files import exists
    from affectlens.images import read_pixels
    from affectlens.locks import locked_file
    from affectlens.models import saved

    if exists(out) and exists(picture) and out.samefile(picture):
        raise click.UsageError(
            "--out is the picture itself, which the figure would replace. Name another file."
        )
    figure.check_file(out)
    context.with_resource(locked_file(out))
    ascent = GradientAscent(steps=steps, seed=seed)
    pixels = read_pixels(picture)
    model = saved.load(name)
    network, preprocessing = model.network, model.card.preprocessing
    _, visualised = choose_blocks(network, preprocessing, blocks, channels)
    with counter("visualising", ascent.steps * len(visualised)) as advance:
        found = study(
            network, preprocessing, pixels, blocks=blocks, channels=channels, ascent=ascent, progress=advance
        )
    figure.write_figure(out, found, model.card.name)
    echo(f"{out}: what {model.card.name} detects, and where it is active in {picture}")
