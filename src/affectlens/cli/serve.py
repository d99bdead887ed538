"""`affectlens serve [--model M] [--port N]`."""

from pathlib import Path
from typing import Any

import click

from affectlens.cli import options
from affectlens.cli.console import echo
from affectlens.extras import SERVE, require


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
@options.engine
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True,
              help="Number format: auto, float32 or bfloat16.")  # fmt: skip
def serve(
    names: tuple[str, ...],
    opens: bool,
    assignments: tuple[str, ...],
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
    from affectlens.serve.run import run_service
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
    service = Service.load(names, settings, engine=engine, device=device, precision=precision)

    def ready(address: str) -> None:
        echo(f"Serving {', '.join(service.models)} on {address} until Ctrl-C.", err=True)
        if opens:
            import webbrowser

            webbrowser.open(address)

    run_service(service, settings, ready)
