"""`affectlens serve [--model M] [--port N]`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from affectlens.cli import options
from affectlens.cli.console import echo
from affectlens.extras import CLUSTER, SERVE, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from affectlens.serve.settings import ServeSettings


@click.command()
@click.option("--model", "names", multiple=True, default=["default"], show_default=True,
              help="Name from `affectlens models`, model folder, or owner/name on the hub; several times for "
                   "several models, the first by default.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address to listen on; 0.0.0.0 for all of this machine's.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
              help="Port to listen on; 0 for a free one.")  # fmt: skip
@click.option("--open", "opens", is_flag=True, help="Browser on the page, once the service is there.")
@click.option("--token", envvar="AFFECTLENS_TOKEN", metavar="TOKEN", show_envvar=True,
              help="Token that requests must carry. Processes of this machine can read the command line: "
                   "prefer the variable.")  # fmt: skip
@click.option("--allow-origin", "allow_origins", multiple=True, metavar="ORIGIN",
              help="Origin, as https://example.org, whose pages may call the service.")  # fmt: skip
@click.option("--allow-host", "allow_hosts", multiple=True, metavar="NAME",
              help="Name by which the service may be called, besides its own.")  # fmt: skip
@click.option("--game", metavar="FOLDER",
              type=options.NamedPath(exists=True, file_okay=False, path_type=Path),
              help="Folder of pictures that the page offers for guessing; labels.csv and ratings.csv in it, "
                   "or .tsv, hold what people answered.")  # fmt: skip
@click.option("--set", "assignments", multiple=True, metavar="LIMIT=VALUE",
              help="Limit to change, as pictures=8; docs/serve.md lists them.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, options.MOST_PROCESSES), metavar="N",
              help="Number of replicas, on this machine or a Ray cluster.")  # fmt: skip
@click.option("--address", default="auto", show_default=True,
              help="Ray cluster for --workers: auto, none (a new one here) or HOST:PORT.")  # fmt: skip
@options.engine
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True,
              help="Number format: auto, float32 or bfloat16.")  # fmt: skip
def serve(
    names: tuple[str, ...],
    opens: bool,
    assignments: tuple[str, ...],
    workers: int | None,
    address: str,
    engine: str,
    device: str,
    precision: str,
    **given: Any,
) -> None:
    """Serve predictions and explanations over HTTP, to programs and to a page.

    Pictures are decoded in processes of their own and never written to disk. Without --host only programs of
    this machine reach the service.
    """
    require(SERVE, "affectlens serve")
    if workers:
        require(CLUSTER, "--workers")
    from affectlens.serve.service import Service
    from affectlens.serve.settings import ServeSettings

    settings = ServeSettings(**given).assigned(assignments)
    if not settings.is_loopback and settings.token is None:
        echo(
            f"WARNING: anyone who reaches {settings.host} can use this service, without a token and without "
            "encryption. Set AFFECTLENS_TOKEN, or listen on 127.0.0.1.",
            err=True,
        )
    echo(f"Loading {', '.join(names)}. A large network takes a while.", err=True)
    loading = {"engine": engine, "device": device, "precision": precision}
    service = Service.load(names, settings, **loading)
    served = ", ".join(service.models)

    def ready(url: str) -> None:
        echo(f"Serving {served} on {url} until Ctrl-C.", err=True)
        if opens:
            import webbrowser

            webbrowser.open(url)

    if not workers:
        from affectlens.serve.run import run_service

        run_service(service, settings, ready)
        return
    if settings.game is not None:
        from affectlens.serve.game import read_game

        read_game(settings.game)
    del service  # replicas load their own: what could not be loaded was an error here, at once
    _serve_on_ray(names, settings, assignments, loading, workers, address, ready)


def _serve_on_ray(
    names: tuple[str, ...],
    settings: "ServeSettings",
    assignments: tuple[str, ...],
    loading: dict[str, str],
    workers: int,
    address: str,
    ready: "Callable[[str], None]",
) -> None:
    import os

    from affectlens.cluster.connection import Cluster
    from affectlens.cluster.replica import ServedApplication
    from affectlens.cluster.serve import serve_on_ray

    application = ServedApplication(names=names, settings=settings, assignments=assignments, **loading)
    cluster = Cluster(address=address, cpus=max(workers, os.cpu_count() or 1))
    serve_on_ray(application, workers, cluster, ready=ready, progress=lambda line: echo(line, err=True))
