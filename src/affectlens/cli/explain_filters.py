"""`affectlens explain filters PICTURE [--out FILE]`."""

from pathlib import Path

import click


@click.command()
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("--model", "name", default="default", show_default=True,
              help="A name from `affectlens models`, a model folder, or owner/name of the hub.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", default=Path("filters.png"),
              show_default=True, help="The figure: .png, .jpg, .pdf or .svg.")  # fmt: skip
@click.option("--block", "blocks", multiple=True, metavar="NAME",
              help="A block to look into, and to paint pictures of; may be given several times.")  # fmt: skip
@click.option("--channel", "channels", multiple=True, type=click.IntRange(0), metavar="N",
              help="A channel to show in place of the strongest; may be given several times.")  # fmt: skip
@click.option("--steps", default=96, show_default=True, type=click.IntRange(1),
              help="Steps of gradient ascent: more make clearer pictures.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the noise that pictures are painted from.")
def filters(
    picture: Path,
    name: str,
    out: Path,
    blocks: tuple[str, ...],
    channels: tuple[int, ...],
    steps: int,
    seed: int,
) -> None:
    """Draw what the layers of a model see in PICTURE, and what they look for.

    One figure: where in the picture the strongest channel of each block sees something, and the pictures
    that channels of a shallow, a middle and a deep block would see most in. An existing file is replaced.
    """
    from affectlens.cli.progress import counter
    from affectlens.explain.features import figure as report
    from affectlens.explain.features.visualisation import Ascent, plan, study
    from affectlens.images import read_pixels
    from affectlens.models import saved

    report.check_file(out)
    ascent = Ascent(steps=steps, seed=seed)
    pixels = read_pixels(picture)
    model = saved.load(name)
    network, preprocessing = model.network, model.card.preprocessing
    _, painted = plan(network, preprocessing, blocks, channels)
    with counter("painting", ascent.steps * len(painted)) as advance:
        found = study(
            network, preprocessing, pixels, blocks=blocks, channels=channels, ascent=ascent, progress=advance
        )
    report.write(out, found, model.card.name)
    click.echo(f"{out}: what {model.card.name} looks for, and what it sees in {picture}")
