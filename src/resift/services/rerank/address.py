"""From what people write to where requests go."""

from __future__ import annotations

from dataclasses import dataclass

from resift._util.secret import ApiKey
from resift.errors import InputError
from resift.services.http.url import checked, shown
from resift.services.rerank.services import Service

WHOLE = ("rerank", "reranking", "ranking")  # a URL that ends so is the endpoint itself


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint, the model to ask it for, and the name both go by: `Reranker(name)` finds the same again."""

    name: str
    endpoint: str
    model: str | None

    def beside(self, path: str) -> str:
        """The URL of another path of the same server."""
        return f"{self.endpoint.rpartition('/')[0]}/{path}"


def locate(scheme: str, service: Service, name: str, base_url: str | None, key: ApiKey | None) -> Address:
    """The address of `scheme:name`. The name is a model, or a URL: `http://host:8080`, `http://host:8080#model`.

    A URL may be the server's root, its version (`/v1`) or the endpoint itself. Raises InputError where model
    and URL leave something open, or the URL can't be used.
    """
    if name.startswith(("http://", "https://")):
        if base_url is not None:
            raise InputError(f"{scheme}:{shown(name)} is a URL already, so base_url can't be another")
        base_url, _, model = name.partition("#")
    else:
        model = name
    if not model and service.url is not None:
        raise InputError(f"which model of {service.title}? Name it, as in {scheme}:MODEL")
    if base_url is not None:
        base = checked(base_url)
        return Address(
            f"{scheme}:{base}" + (f"#{model}" if model else ""), _join(base, service.wire.path), model or None
        )
    if service.url is None:
        raise InputError(
            f"where is the server of {scheme}:{model}? Give base_url=, or the URL as the name: "
            f"{scheme}:http://HOST:PORT{f'#{model}' if model and service.wire.model else ''}"
        )
    base = service.url if key is None else _of_key(service, key)
    path = service.wire.path if service.hosted_path is None else service.hosted_path
    # NVIDIA's addresses have underscores where its models have dots.
    return Address(f"{scheme}:{model}", f"{base}/{path.format(model=model.replace('.', '_'))}", model)


def _of_key(service: Service, key: ApiKey) -> str:
    urls = (url for start, url in service.key_urls.items() if key.get_secret_value().startswith(start))
    return next(urls, service.url or "")


def _join(base: str, path: str) -> str:
    """The endpoint: the base itself if it ends as one, else base and path with what they share written once.

    >>> _join("http://host/v1", "v1/rerank"), _join("http://host/api", "v1/rerank"), _join("http://host/x/rerank", "r")
    ('http://host/v1/rerank', 'http://host/api/v1/rerank', 'http://host/x/rerank')
    """
    segments = base.split("/")
    if segments[-1] in WHOLE:
        return base
    first, _, rest = path.partition("/")
    return f"{base}/{rest}" if rest and segments[-1] == first else f"{base}/{path}"
