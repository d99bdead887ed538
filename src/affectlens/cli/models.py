"""`affectlens models`, `affectlens models show NAME`, `affectlens models join NAME... --out FOLDER`."""

import json
from pathlib import Path

import click

from affectlens.cli import options
from affectlens.cli.console import echo, table_console
from affectlens.report.text import printable


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List trained models, recipes and networks; `show` prints a card, `join` makes one model of several."""
    if context.invoked_subcommand is None:
        _list()


@models.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="JSON with the complete card.")
@click.option("--engine", "with_engine", is_flag=True,
              help="Engine that answers on this machine, and why, instead of the card.")  # fmt: skip
def show(name: str, as_json: bool, with_engine: bool) -> None:
    """Print the card of the model NAME (a name, a folder, or owner/name on the hub).

    After the card as its makers wrote it: which version of AffectLens made the model, what it may be used
    for, what else opens it, and how it compares with the default model before it, if there was one.
    """
    from affectlens import library
    from affectlens.library.text import elsewhere_text, summary_text

    if with_engine:
        _show_engine(name)
        return
    card = library.card(name)
    if as_json:
        about = {"version": card.version, "weights_hash": card.weights_hash}
        echo(json.dumps({**card.to_json(), **about}, indent=2, ensure_ascii=False), several_lines=True)
        return
    summary, elsewhere = summary_text(card), elsewhere_text(library.find(name))
    # Before the comparison with the default model before it, which is a table.
    points, _, compared = summary.partition("\n\n")
    parts = (library.card_text(name).rstrip(), f"{points}\n{elsewhere}", compared)
    echo("\n\n".join(filter(None, parts)), several_lines=True)


@models.command()
@click.argument("names", metavar="MODEL...", nargs=-1, required=True)
@click.option("--out", required=True, type=options.NamedPath(path_type=Path), help="Model folder to write.")
@click.option("--name", callback=options.model_title, help="Name of the model. Default: that of the folder.")
@click.option("--size", type=click.IntRange(1), metavar="PIXELS",
              help="Height and width of its input. Default: the largest that a MODEL has.")  # fmt: skip
@options.weights_dtype
@click.pass_context
def join(
    context: click.Context,
    names: tuple[str, ...],
    out: Path,
    name: str | None,
    size: int | None,
    dtype: str,
) -> None:
    """Make one model of several, which were trained apart: an ensemble.

    Each MODEL is named as in `affectlens models`, or is the folder of a model or run. The answer of the
    ensemble is the mean of their calibrated log-probabilities; a MODEL that is an ensemble itself gives its
    branches.
    """
    from affectlens.errors import OutputError
    from affectlens.locks import locked_file
    from affectlens.models import join as joining
    from affectlens.models import saved

    # As a file is: what the lock of a folder would lie in is replaced by another.
    context.with_resource(locked_file(out))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists and is not overwritten. Name another folder.")
    title = name or printable(out.name)
    model = joining.join([saved.load(each) for each in names], title, size)
    saved.save_model(out, model.network, model.card, joining.joined_readme(model.card), dtype)
    echo(f"Model: {out}")


@models.command()
@click.argument("folder", type=options.NamedPath(exists=True, file_okay=False, path_type=Path))
def graph(folder: Path) -> None:
    """Add a graph to the model FOLDER, or to the model of a run, so that it answers without torch.

    The graph is compared with the network before it is written; one that the folder has is made again.
    """
    from affectlens import library
    from affectlens.models.saved import add_graph

    folder = library.at_path(folder) or folder
    difference = add_graph(folder)
    echo(f"Written to {printable(str(folder))}; the largest difference of an output is {difference:.1g}.")


@models.command()
@click.argument("name", metavar="MODEL")
@click.option("--out", required=True, type=options.NamedPath(path_type=Path),
              help="File to write, as model.onnx or model.safetensors; a folder for OpenVINO.")  # fmt: skip
@click.option("--format", "format_", metavar="NAME",
              help="Format: onnx, openvino or safetensors. Default: by the suffix of --out.")  # fmt: skip
@click.option("--precision", default="float32", show_default=True, metavar="NAME",
              help="Precision: float32, float16 (of the stored weights alone) or int8.")  # fmt: skip
@click.option("--with-preprocessing", is_flag=True,
              help="Graph that takes pixels of any size: resizing and normalisation are in it.")  # fmt: skip
@click.option("--calibrate", multiple=True, metavar="PICTURES",
              help="Pictures for ranges of activations, for int8; several times for several.")  # fmt: skip
@click.option("--verify", multiple=True, metavar="PICTURES",
              help="Pictures to compare answers on; several times for several.")  # fmt: skip
def export(
    name: str,
    out: Path,
    format_: str | None,
    precision: str,
    with_preprocessing: bool,
    calibrate: tuple[str, ...],
    verify: tuple[str, ...],
) -> int:
    """Write MODEL (a name or folder) as one file for other programs, which need nothing of this package.

    The file is opened and compared with the model before it is kept: on noise, or on the pictures of
    --verify, of which 99.5 % must have the same most likely emotion, and 99 % in int8.

    Exit status: 0 all pictures were used, 1 some could not be read, 2 wrong use.
    """
    from affectlens.cli.progress import progress_bar
    from affectlens.export.job import ExportRequest, export_model, format_of
    from affectlens.inference.inputs import pictures

    request = ExportRequest(
        model=name,
        out=out,
        format=format_ or format_of(out),
        precision=precision,
        with_preprocessing=with_preprocessing,
        calibrate=tuple(pictures(calibrate)),
        verify=tuple(pictures(verify)),
    )
    totals = {"calibrating": len(request.calibrate), "comparing": len(request.verify)}
    with progress_bar("starting") as bar:
        current, count = "", 0

        def show(doing: str, done: int) -> None:
            nonlocal current, count
            if doing != current:
                current, count = doing, 0
                bar.start(doing, totals[doing])
            count += done
            bar.set(count)

        report = export_model(request, show)
    for error in report.not_read:
        echo(f"Not read: {printable(str(error))}", err=True)
    if report.agreement is None:
        echo("Compared with the model on noise alone; --verify PICTURES compares them on pictures.")
    else:
        echo(report.agreement.sentence())
    echo(f"Written to {printable(str(report.written))}, {report.size / 1e6:.1f} MB.")
    return 1 if report.not_read else 0


def _show_engine(name: str) -> None:
    """Print what `auto` chooses for few pictures and for many, and how it runs."""
    from affectlens import library
    from affectlens.inference.engine import CPU_BATCH, MANY, choose, cores, load_engine

    load_engine(name)  # which finds what is damaged, or not installed
    folder = library.find(name)
    for title, many in (("A picture, or a few", False), (f"{MANY} pictures and more", True)):
        engine, reason = choose(folder, many=many)
        echo(f"{title}: {engine}, since {reason}.")
    echo(
        f"Cores: {cores()}. A picture alone has all of them; in a job each has a batch of its own, of up to "
        f"{CPU_BATCH} pictures."
    )


def _list() -> None:
    from rich.table import Table
    from rich.text import Text

    from affectlens import library
    from affectlens.extras import TRAIN

    console = table_console()
    trained = Table(
        "model", "network", "emotions", "accuracy", "trained on", title="Trained models", title_justify="left"
    )
    for model in library.summaries():
        if model.error is not None:
            trained.add_row(Text(printable(model.name)), Text(printable(f"unusable: {model.error}")))
            continue
        measured = model.accuracy
        accuracy = "not measured" if measured is None else f"{measured:.1%} ({model.split})"
        cells = (model.name, model.network, model.emotions, accuracy, model.data)
        trained.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(trained)
    if not TRAIN.is_installed:
        echo(f'Recipes and networks come with pip install "affectlens[{TRAIN.name}]".')
        return
    from affectlens.models.catalog import NETWORKS
    from affectlens.recipes import catalog as recipes

    for title, rows in (
        ("Recipes, for `affectlens train`", recipes.summaries()),
        (
            "Networks, for `affectlens train`; any other of timm's too",
            {n: e.summary for n, e in NETWORKS.items()},
        ),
    ):
        table = Table("name", "what it is", title=title, title_justify="left")
        for name, summary in rows.items():
            table.add_row(name, Text(summary))
        console.print(table)
