"""An API key that is used and never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol, runtime_checkable

from resift.errors import InputError

STARS = "**********"


@runtime_checkable
class SecretLike(Protocol):
    """What all secret types have: ours, and pydantic's `SecretStr`."""

    def get_secret_value(self) -> str:
        """Return the secret itself."""


class ApiKey:
    """The key of a service. Whoever prints, logs or shows it gets stars; pickling it is an error.

    Args:
        value: A text, or a secret object with `get_secret_value()`, such as pydantic's `SecretStr`.

    Raises:
        InputError: The value can't be a key: it is empty, or does not fit into an HTTP header.

    >>> ApiKey("sk-1234")
    ApiKey('**********')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | SecretLike) -> None:
        text = value.get_secret_value() if isinstance(value, SecretLike) else value
        if not isinstance(text, str):
            raise InputError(f"an API key is a text or a secret with get_secret_value(), not a {type(text).__name__}")
        self._value = text.strip()  # files and shells leave line ends
        if not self._value:
            raise InputError("the API key is empty")
        if not all("!" <= character <= "~" for character in self._value):
            raise InputError("the API key has characters that no key has (spaces, line ends or accents): copy it again")

    def get_secret_value(self) -> str:
        """Return the key itself."""
        return self._value

    def hide(self, text: str) -> str:
        """Return the text with stars in place of the key: servers quote what they refuse.

        >>> ApiKey("sk-1234").hide("invalid key: sk-1234")
        'invalid key: **********'
        """
        return text.replace(self._value, STARS)

    @staticmethod
    def hide_in(options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the model options with `api_key`, if there is one, as an ApiKey: for objects that keep and show them.

        >>> ApiKey.hide_in({"timeout": 5, "api_key": "sk-1234"})
        {'timeout': 5, 'api_key': ApiKey('**********')}
        """
        key = options.get("api_key")
        return dict(options) if key is None else {**options, "api_key": ApiKey(key)}

    @staticmethod
    def leave_out(options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the model options without `api_key`: what may be saved of them."""
        return {name: value for name, value in options.items() if name != "api_key"}

    def __repr__(self) -> str:
        return f"ApiKey('{STARS}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiKey) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> ApiKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ApiKey:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an API key is not pickled: leave api_key out and set the service's environment variable, "
            "which is read again wherever the pickle is opened"
        )


def find_key(given: str | SecretLike | None, variables: Sequence[str]) -> ApiKey | None:
    """Return the given key, else that of the first of the environment variables that is set; None if none is."""
    if given is not None:
        return ApiKey(given)
    keys = (os.environ.get(variable, "").strip() for variable in variables)
    key = next(filter(None, keys), None)
    return None if key is None else ApiKey(key)
