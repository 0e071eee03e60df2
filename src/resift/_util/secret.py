"""A key that is used and never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol, runtime_checkable

from resift.errors import InputError

STARS = "**********"


@runtime_checkable
class SecretLike(Protocol):
    """What secret types have in common: ours, and pydantic's `SecretStr`."""

    def get_secret_value(self) -> str:
        """The secret itself."""


class ApiKey:
    """A service's key. Nothing that prints, logs, copies or saves it finds more than stars; pickling it is an error.

    Takes a text or a secret object (`get_secret_value()`, as pydantic's `SecretStr` has it). Raises InputError
    for what can't be a key: nothing, or something that does not fit into an HTTP header.

    >>> ApiKey("sk-1234")
    ApiKey('**********')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | SecretLike) -> None:
        found = value.get_secret_value() if isinstance(value, SecretLike) else value
        if not isinstance(found, str):
            raise InputError(f"an API key is a text or a secret with get_secret_value(), not a {type(found).__name__}")
        self._value = found.strip()  # files and shells leave line ends
        if not self._value:
            raise InputError("the API key is empty")
        if not all("!" <= letter <= "~" for letter in self._value):
            raise InputError("the API key has characters that no key has (spaces, line ends or accents): copy it again")

    def get_secret_value(self) -> str:
        """The key itself."""
        return self._value

    def hide(self, text: str) -> str:
        """The text with stars wherever it holds the key: servers quote what they refuse.

        >>> ApiKey("sk-1234").hide("invalid key: sk-1234")
        'invalid key: **********'
        """
        return text.replace(self._value, STARS)

    @staticmethod
    def hide_in(options: Mapping[str, Any]) -> dict[str, Any]:
        """Model options whose `api_key`, if they have one, is an ApiKey: for objects that keep and show them.

        >>> ApiKey.hide_in({"timeout": 5, "api_key": "sk-1234"})
        {'timeout': 5, 'api_key': ApiKey('**********')}
        """
        key = options.get("api_key")
        return dict(options) if key is None else {**options, "api_key": ApiKey(key)}

    @staticmethod
    def leave_out(options: Mapping[str, Any]) -> dict[str, Any]:
        """Model options without `api_key`: what may be saved of them."""
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
    """The key that was given, else that of the first environment variable that has one; None where none has."""
    if given is not None:
        return ApiKey(given)
    found = (os.environ.get(variable, "").strip() for variable in variables)
    key = next(filter(None, found), None)
    return None if key is None else ApiKey(key)
