"""`arae serve`: serve models over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from arae_transfer.cli.command import exit_without_cleanup, report
from arae_transfer.cli.options import (
    MESSAGES,
    MODEL,
    SPEED,
    DeviceOption,
    QuietOption,
    ThreadsOption,
    VariantOption,
    announce_downloads,
    complete_model,
)
from arae_transfer.errors import AraeError

ADDRESS = "Address and access"
LIMITS = "Limits"
CHECKING = "Editors (LanguageTool's interface)"
LOOPBACK = ("localhost", "::1")


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|PATH|hf://OWNER/NAME",
            help=(
                "Name or folder of an exported model, or its address on the Hugging Face Hub; repeatable. The "
                "first model answers requests that name none. Default: $ARAE_MODEL, else the shipped model."
            ),
            callback=announce_downloads,
            autocompletion=complete_model,
            rich_help_panel=MODEL,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 is all networks.", rich_help_panel=ADDRESS),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="N", help="Port to listen on; 0 chooses a free one.", rich_help_panel=ADDRESS
        ),
    ] = 8080,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Require API keys; FILE holds their hashes.", rich_help_panel=ADDRESS),
    ] = None,
    hash_api_key: Annotated[
        bool,
        typer.Option(
            "--hash-api-key",
            help=(
                "Read a key, or make one from empty input, and write its line for the file of --api-key-file; "
                "serve nothing."
            ),
            rich_help_panel=ADDRESS,
        ),
    ] = False,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Origin of a web page that may call this server; repeatable.",
            rich_help_panel=ADDRESS,
        ),
    ] = None,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Seconds to finish accepted requests after SIGTERM.",
            rich_help_panel=ADDRESS,
        ),
    ] = 30,
    check_to: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS",
            help="Target class of /v2/check. Default: the model's last class.",
            rich_help_panel=CHECKING,
        ),
    ] = None,
    check_confidence: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="P",
            help="Mark sentences that belong to another class with at least this probability.",
            rich_help_panel=CHECKING,
        ),
    ] = 0.8,
    max_body: Annotated[
        int, typer.Option(min=1, metavar="N", help="Maximum size of a request body in bytes.", rich_help_panel=LIMITS)
    ] = 1 << 20,
    max_texts: Annotated[
        int, typer.Option(min=1, metavar="N", help="Maximum number of texts per request.", rich_help_panel=LIMITS)
    ] = 256,
    max_characters: Annotated[
        int, typer.Option(min=1, metavar="N", help="Maximum number of characters per text.", rich_help_panel=LIMITS)
    ] = 10_000,
    max_lines: Annotated[
        int, typer.Option(min=1, metavar="N", help="Maximum number of lines per request.", rich_help_panel=LIMITS)
    ] = 1024,
    max_candidates: Annotated[
        int, typer.Option(min=1, metavar="N", help="Maximum number of candidates per line.", rich_help_panel=LIMITS)
    ] = 16,
    max_queue: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Maximum number of waiting lines over all requests.", rich_help_panel=LIMITS
        ),
    ] = 4096,
    max_connections: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Maximum number of requests answered at the same time.", rich_help_panel=LIMITS
        ),
    ] = 1024,
    max_batch_lines: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Maximum number of lines per batch; 1 disables batching.", rich_help_panel=SPEED
        ),
    ] = 128,
    max_batch_tokens: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Maximum number of tokens times candidates per batch.", rich_help_panel=SPEED
        ),
    ] = 8192,
    device: DeviceOption = "auto",
    variant: VariantOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Log each request: route, status, time.", rich_help_panel=MESSAGES),
    ] = False,
) -> None:
    """Serve a model over HTTP, with a page to try it on.

    Rewrites and classifies texts, and marks sentences in editors. Waiting requests are batched. SIGTERM or Ctrl-C
    finishes accepted requests; a second one stops at once. The server stores nothing, and logs no text, key or
    address.

    \b
      arae serve
      curl http://127.0.0.1:8080/v1/rewrite --json '{"text": "the food was cold", "to": "positive"}'
    """
    if hash_api_key:
        _hash_api_key()
        return
    from arae_transfer.cli.extras import require

    require("starlette", "uvicorn", "prometheus_client", extra="serve", command="arae serve")
    from arae_transfer.serving.engine import Engine
    from arae_transfer.serving.keys import Keys
    from arae_transfer.serving.limits import Limits
    from arae_transfer.serving.server import Server, listen, url_of
    from arae_transfer.serving.server import serve as run
    from arae_transfer.serving.service import Checking, Service

    limits = Limits(
        body_bytes=max_body,
        texts=max_texts,
        characters=max_characters,
        lines=max_lines,
        candidates=max_candidates,
        queue_lines=max_queue,
        batch_lines=max_batch_lines,
        batch_tokens=max_batch_tokens,
        connections=max_connections,
    )
    for origin in cors_origin or ():
        _check_origin(origin)
    keys = None if api_key_file is None else Keys.read(api_key_file)
    names: list[str | None] = list(model) if model else [None]
    engines = [Engine.open(each, device=device, threads=threads, variant=variant) for each in names]
    service = Service(engines, limits, keys, Checking(check_to, check_confidence))
    bound = listen(host, port)
    address = url_of(host, bound.getsockname()[1])
    if not quiet:
        report(f"serving {', '.join(service.engines)} at {address}; Ctrl-C stops")
        if keys is None and not (host.startswith("127.") or host in LOOPBACK):
            report("anyone who reaches this address can use it", "--api-key-file FILE requires keys.")

    def ready() -> None:
        if not quiet:
            for engine in engines:
                if engine.sessions.fallback is not None:
                    report(f"{engine.sessions.fallback}; running on the CPU", "--device cuda shows what is missing.")
            report("ready")

    run(Server(service, grace=grace, origins=cors_origin or (), ready=ready), bound, verbose=verbose)
    exit_without_cleanup()


def _hash_api_key() -> None:
    """Read a key without showing it, and write its hash; show a random key once, on standard error."""
    from getpass import getpass

    from arae_transfer.serving.keys import make_key

    if sys.stdin is not None and sys.stdin.isatty():
        typed = getpass("Key (empty for a random one): ")
    else:
        typed = sys.stdin.readline().rstrip("\r\n") if sys.stdin is not None else ""
    key, line = make_key(typed)
    if not typed:
        report(f"the key, shown only this once: {key}")
    typer.echo(line)


def _check_origin(origin: str) -> None:
    scheme, separator, rest = origin.partition("://")
    if not (scheme and separator and rest) or "/" in rest or "*" in origin:
        raise AraeError(
            f"{origin!r} is not the origin of a web page",
            "write scheme and host without a path, such as https://example.org.",
        )
