"""A rerank service on Ray Serve: `serve run resift.serving.ray_serve:app`, or with settings of your own
`serve run resift.serving.ray_serve:build model=st:folder replicas=8`. Needs `resift[scale]`.
"""

from __future__ import annotations

from resift.errors import MissingExtraError
from resift.models.options import ModelOptions
from resift.serving.limits import BATCH_TOKENS, MAX_BODY, MAX_DOCUMENTS, UPLOAD_SECONDS, WAITING_TOKENS

try:
    from pydantic import BaseModel, ConfigDict, Field
    from ray import serve
    from ray.serve import Application
except ImportError as error:
    raise MissingExtraError("the Ray Serve application", "scale") from error

from starlette.applications import Starlette  # after Ray Serve, which brings it


class Settings(BaseModel):
    """The settings that `serve run resift.serving.ray_serve:build` takes as `name=value`."""

    model_config = ConfigDict(extra="forbid")

    model: str = "resift:small"
    """A name or folder, as `Reranker` takes it."""
    replicas: int = Field(default=1, ge=1)
    """Processes, each with a model of its own."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of each process."""
    gpus: float = Field(default=0, ge=0)
    """Share of a GPU for each process."""
    options: dict[str, str | int | bool] = {}
    """Further options of the model, such as `max_length`."""
    max_documents: int = Field(default=MAX_DOCUMENTS, ge=1)
    """Documents that one request may hold."""
    max_body: int = Field(default=MAX_BODY, ge=1)
    """Bytes that the body of one request may have."""
    batch_tokens: int = Field(default=BATCH_TOKENS, ge=1)
    """Tokens that are scored together, of several requests; up to twice as many if these are alike; estimated."""
    waiting_tokens: int = Field(default=WAITING_TOKENS, ge=1)
    """Tokens that may wait at a replica, estimated; more are answered with 429 and a Retry-After."""
    upload_seconds: float = Field(default=UPLOAD_SECONDS, gt=0)
    """How long a client may take to send a request."""


def build(settings: Settings) -> Application:
    """Return the Ray Serve application for these settings.

    Args:
        settings: The model, the processes and the limits.

    Returns:
        An application for `serve.run`. A model that can't be loaded fails the deployment, with its own error.
    """

    def replica() -> Starlette:
        from resift.scoring.load import load_with_threads
        from resift.serving.asgi import ServiceOptions, application
        from resift.serving.service import RerankService

        options: ModelOptions = settings.options  # type: ignore[assignment]  # load_scorer checks them
        service = RerankService(
            load_with_threads(settings.model, options, settings.threads),
            batch_tokens=settings.batch_tokens,
            waiting_tokens=settings.waiting_tokens,
        )
        limits = ServiceOptions(settings.max_documents, settings.max_body, upload_seconds=settings.upload_seconds)
        return application(service, limits)

    deployment = serve.deployment(
        serve.ingress(replica)(),
        name="resift",
        num_replicas=settings.replicas,
        # The service counts tokens and refuses requests itself, so Serve must not hold them back before.
        max_ongoing_requests=10_000,
        ray_actor_options={"num_cpus": settings.threads, "num_gpus": settings.gpus},
    )
    return deployment.bind()


app = build(Settings())
