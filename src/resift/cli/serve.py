"""`resift serve`: the rerank service over HTTP, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resift.cli._options import CalibrationFile, Long, LongDocuments, Model
from resift.errors import InputError
from resift.serving.limits import BATCH_TOKENS, MAX_BODY, MAX_DOCUMENTS, UPLOAD_SECONDS, WAITING_TOKENS

if TYPE_CHECKING:
    from resift._util.secret import ApiKey
    from resift.scorer import Scorer

KEY_VARIABLE = "RESIFT_API_KEY"
DEFAULT_MODELS = (None, "resift:small")
PROBE = "what eats bamboo?", ["Pandas eat bamboo.", "Stocks fell."]

Host = Annotated[str, typer.Option("--host", help="The address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--api-key-file", help=f"A file with the key that requests must have; or set {KEY_VARIABLE}."),
]
AllowNoKey = Annotated[
    bool, typer.Option("--allow-no-key", help="Listen where other machines reach it, though there is no key.")
]
ModelNames = Annotated[
    list[str] | None,
    typer.Option("--model-name", help="A name requests may give the model; may be repeated.", show_default="any name"),
]
TokensInFlight = Annotated[
    int, typer.Option("--max-tokens-in-flight", min=1, help="Tokens that may wait; more get status 429.")
]
BatchTokens = Annotated[int, typer.Option("--batch-tokens", min=1, help="Tokens scored together, of several requests.")]
MaxDocuments = Annotated[int, typer.Option("--max-documents", min=1, help="Documents of one request.")]
MaxBody = Annotated[int, typer.Option("--max-body", min=1, help="Bytes of one request.")]
UploadSeconds = Annotated[
    float,
    typer.Option(
        "--upload-seconds", min=0.1, help="How long a client may take to send a request, and to read its answer."
    ),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="all")]
DrainSeconds = Annotated[
    float, typer.Option("--drain-seconds", min=0, help="How long requests in flight may take after SIGTERM.")
]


def serve(
    model: Model = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    api_key_file: KeyFile = None,
    allow_no_key: AllowNoKey = False,
    model_name: ModelNames = None,
    max_tokens_in_flight: TokensInFlight = WAITING_TOKENS,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    max_documents: MaxDocuments = MAX_DOCUMENTS,
    max_body: MaxBody = MAX_BODY,
    upload_seconds: UploadSeconds = UPLOAD_SECONDS,
    long_documents: Long = None,
    calibration: CalibrationFile = None,
    threads: Threads = None,
    drain_seconds: DrainSeconds = 30,
) -> None:
    """Answer rerank requests in the formats of Cohere, Jina, vLLM and text-embeddings-inference."""
    from resift.serving.listening import open_socket

    key = _key(api_key_file)
    with (
        open_socket(host, port, key, allow_no_key=allow_no_key) as listening,
        _loading(model, long_documents, threads, calibration) as loaded,
    ):
        from resift.serving.asgi import ServiceOptions, application
        from resift.serving.server import run
        from resift.serving.service import RerankService

        scorer = loaded()
        service = RerankService(scorer, batch_tokens=batch_tokens, waiting_tokens=max_tokens_in_flight)
        options = ServiceOptions(max_documents, max_body, key, tuple(model_name or ()), upload_seconds)
        app = application(service, options)
        address = f"[{host}]" if ":" in host else host
        typer.echo(f"{scorer.name} answers on http://{address}:{listening.getsockname()[1]}")
        run(app, listening, drain_seconds=drain_seconds, upload_seconds=upload_seconds)


def _key(file: Path | None) -> ApiKey | None:
    from resift._util.secret import ApiKey, find_key

    if file is None:
        return find_key(None, (KEY_VARIABLE,))
    try:
        return ApiKey(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"{file} holds no key: it is no text") from None


@contextmanager
def _loading(
    model: str | None, long_documents: LongDocuments | None, threads: int | None, calibration: Path | None
) -> Iterator[Callable[[], Scorer]]:
    """Give what returns the model. The default one is loaded in a thread, while this one imports the server.

    Others import more than they compute, and two threads must not import at a time.
    """
    if model not in DEFAULT_MODELS or calibration is not None:
        yield lambda: _load(model, long_documents, threads, calibration)
        return
    import resift.engines.onnx  # so that the thread has nothing to import
    import resift.engines.split.encoder
    import resift.scoring.load  # noqa: F401 - the same

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_load, model, long_documents, threads, calibration).result


def _load(
    model: str | None, long_documents: LongDocuments | None, threads: int | None, calibration: Path | None
) -> Scorer:
    """Return the model, once it has answered."""
    from resift.models.options import ModelOptions
    from resift.scoring.load import load_scorer, load_with_threads

    options: ModelOptions = {} if long_documents is None else {"long_documents": long_documents.value}
    scorer = load_scorer(model, **options) if threads is None else load_with_threads(model, options, threads)
    if calibration is not None:
        from resift.scoring.calibrated import Calibrated

        scorer = Calibrated(scorer, calibration)
    scorer.score(*PROBE)
    return scorer
