"""From a model's name or a URL to the address that requests go to."""

from __future__ import annotations

from dataclasses import dataclass

from resift._util.secret import ApiKey
from resift.errors import InputError
from resift.services.http.url import check_url, without_secrets
from resift.services.rerank.known_services import Service

ENDPOINT_NAMES = ("rerank", "reranking", "ranking")  # a URL that ends with one of them is the endpoint itself


@dataclass(frozen=True, slots=True)
class Address:
    """Where the requests of a scorer go, and for which model."""

    name: str
    """`Reranker(name)` finds the same address again."""
    endpoint: str
    """The URL that requests are sent to."""
    model: str | None
    """The model that requests name; None where the server has only one."""

    def sibling_url(self, path: str) -> str:
        """Return the URL of another path of the same server, next to the endpoint."""
        return f"{self.endpoint.rpartition('/')[0]}/{path}"


def find_address(scheme: str, service: Service, name: str, base_url: str | None, key: ApiKey | None) -> Address:
    """Return the address of `scheme:name`. The name is a model or a URL: `http://host:8080`, `http://host:8080#model`.

    A URL may be the server's root, its version (`/v1`) or the endpoint itself. Raises InputError where the model or
    the URL is missing, or the URL can't be used.
    """
    if name.startswith(("http://", "https://")):
        if base_url is not None:
            raise InputError(f"{scheme}:{without_secrets(name)} is a URL already, so base_url can't be another")
        base_url, _, model = name.partition("#")
    else:
        model = name
    if not model and service.url is not None:
        raise InputError(f"which model of {service.title}? Name it, as in {scheme}:MODEL")
    if base_url is not None:
        base = check_url(base_url)
        return Address(
            f"{scheme}:{base}" + (f"#{model}" if model else ""), _join(base, service.request_format.path), model or None
        )
    if service.url is None:
        raise InputError(
            f"where is the server of {scheme}:{model}? Give base_url=, or the URL as the name: "
            f"{scheme}:http://HOST:PORT{f'#{model}' if model and service.request_format.names_model else ''}"
        )
    base = service.url if key is None else _url_of_key(service, key)
    path = service.request_format.path if service.hosted_path is None else service.hosted_path
    # NVIDIA's addresses have underscores where its models have dots.
    return Address(f"{scheme}:{model}", f"{base}/{path.format(model=model.replace('.', '_'))}", model)


def _url_of_key(service: Service, key: ApiKey) -> str:
    """Return the service's URL for this key: some keys belong to another host."""
    urls = (url for prefix, url in service.key_urls.items() if key.get_secret_value().startswith(prefix))
    return next(urls, service.url or "")


def _join(base: str, path: str) -> str:
    """Return the endpoint: the base itself if it ends as an endpoint, else base and path, a shared segment once.

    >>> _join("http://host/v1", "v1/rerank"), _join("http://host/api", "v1/rerank"), _join("http://host/x/rerank", "r")
    ('http://host/v1/rerank', 'http://host/api/v1/rerank', 'http://host/x/rerank')
    """
    segments = base.split("/")
    if segments[-1] in ENDPOINT_NAMES:
        return base
    first, _, rest = path.partition("/")
    return f"{base}/{rest}" if rest and segments[-1] == first else f"{base}/{path}"
