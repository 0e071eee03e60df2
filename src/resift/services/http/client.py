"""Does what `exchange` decides, over httpx: once blocking, once awaiting, each with its pool of connections."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

from resift._util.secret import ApiKey
from resift.errors import MissingExtraError, RemoteError
from resift.services.http.exchange import Failure, Send, Step, Steps, Together, Wait
from resift.services.http.reply import Reply
from resift.services.http.retry import Clock

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("a reranker behind HTTP", "remote") from error

R = TypeVar("R")

CONNECT = 10.0  # seconds
LINGER = 0.5


class Client:
    """Runs exchanges with at most `parallel` requests of one call at a time.

    Blocking calls share one pool per process: a forked child makes its own, and leaves its parent's connections
    alone. Awaiting calls share one pool per event loop, which is closed with the loop.
    """

    def __init__(self, key: ApiKey | None, parallel: int, clock: Clock) -> None:
        self.parallel = parallel
        self.clock = clock
        self._settings: dict[str, Any] = {
            "auth": None if key is None else _Bearer(key),
            "headers": {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "resift"},
            "follow_redirects": False,  # the key would go along
        }
        self._by_process: dict[int, httpx.Client] = {}
        self._by_loop: dict[asyncio.AbstractEventLoop, _Pool] = {}

    def run(self, steps: Steps[R]) -> R:
        """The exchange's result, waited for."""
        return self._run(steps, threading.Event())

    async def arun(self, steps: Steps[R]) -> R:
        """The exchange's result, awaited. Cancelling ends all its requests."""
        return await self._arun(steps, await self._pool())

    def close(self) -> None:
        """Closes the blocking pool; a later call opens another."""
        client = self._by_process.pop(os.getpid(), None)
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Closes the running event loop's pool; a later call opens another."""
        pool = self._by_loop.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.keeper.aclose()

    # Blocking

    def _run(self, steps: Steps[R], halt: threading.Event) -> R:
        outcome: Any = None
        while True:
            if halt.is_set():
                raise RemoteError("given up, since another request of the same call failed")
            step = _next(steps, outcome)
            if isinstance(step, _Done):
                result: R = step.result
                return result
            if isinstance(step, Send):
                outcome = self._send(step)
            elif isinstance(step, Wait):
                self.clock.sleep(step.seconds, halt)
                outcome = None
            else:
                outcome = self._together(step, halt)

    def _send(self, step: Send) -> Reply | Failure:
        end = time.monotonic() + step.seconds
        try:
            with self._blocking().stream(_method(step), step.url, content=step.body, timeout=_limits(step)) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if time.monotonic() > end:  # httpx's limit is for each read, and a trickle never meets it
                        return _slow(step)
                return _reply(response, bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _failure(error, step)

    def _together(self, step: Together, halt: threading.Event) -> list[Any]:
        if len(step.exchanges) == 1:
            return [self._run(step.exchanges[0], halt)]
        with ThreadPoolExecutor(min(self.parallel, len(step.exchanges)), thread_name_prefix="resift-remote") as threads:
            # The caller's context travels along, so that tracing of httpx finds its parent.
            futures = [threads.submit(copy_context().run, self._run, exchange, halt) for exchange in step.exchanges]
            try:
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
                return [future.result() for future in futures]
            except BaseException:  # an interrupt, too, ends what has not begun
                halt.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _blocking(self) -> httpx.Client:
        client = self._by_process.get(os.getpid())
        if client is None:
            # No lock, which a fork could inherit held: of two clients made at once one is never used.
            client = self._by_process.setdefault(os.getpid(), httpx.Client(**self._settings))
            weakref.finalize(self, client.close)
        return client

    # Awaiting

    async def _arun(self, steps: Steps[R], client: httpx.AsyncClient) -> R:
        outcome: Any = None
        while True:
            step = _next(steps, outcome)
            if isinstance(step, _Done):
                result: R = step.result
                return result
            if isinstance(step, Send):
                outcome = await self._asend(step, client)
            elif isinstance(step, Wait):
                await self.clock.asleep(step.seconds)
                outcome = None
            else:
                outcome = await self._atogether(step, client)

    async def _asend(self, step: Send, client: httpx.AsyncClient) -> Reply | Failure:
        try:
            async with asyncio.timeout(step.seconds):
                response = await client.request(_method(step), step.url, content=step.body, timeout=_limits(step))
        except TimeoutError:
            return _slow(step)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _failure(error, step)
        return _reply(response, response.content)

    async def _atogether(self, step: Together, client: httpx.AsyncClient) -> list[Any]:
        gate = asyncio.Semaphore(self.parallel)

        async def in_turn(exchange: Steps[Any]) -> Any:
            async with gate:
                return await self._arun(exchange, client)

        tasks = [asyncio.ensure_future(in_turn(exchange)) for exchange in step.exchanges]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pool(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            for known in list(self._by_loop):
                if known.is_closed():
                    self._by_loop.pop(known, None)
            pool = self._by_loop[loop] = _Pool(self, httpx.AsyncClient(**self._settings))
            await anext(pool.keeper)
        return self._by_loop[loop].client


class _Pool:
    """The running event loop's connections, closed with the loop, or with their owner.

    Loops close their asynchronous generators before they close themselves, so one of those keeps the client:
    `asyncio.run` leaves no connection behind, and nobody has to call `aclose`.
    """

    def __init__(self, owner: Client, client: httpx.AsyncClient) -> None:
        self.client = client
        self.keeper = self._keep()
        self._loop = asyncio.get_running_loop()
        self._orphaned = weakref.finalize(owner, self._close_soon)
        self._orphaned.atexit = False

    async def _keep(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._orphaned.detach()
            await self.client.aclose()

    def _close_soon(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and the keeper with it
            # Not at once: a scorer often dies just before its loop, which cancels what it finds half done.
            self._loop.call_soon_threadsafe(self._loop.call_later, LINGER, self._begin_to_close)

    def _begin_to_close(self) -> None:
        self._closing = self._loop.create_task(self._close())  # kept, as loops hold their tasks weakly

    async def _close(self) -> None:
        await self.keeper.aclose()


class _Bearer(httpx.Auth):
    """Puts the key on the request at the last moment, so that it stands in no settings, and no one's locals."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


class _Done:
    def __init__(self, result: Any) -> None:
        self.result = result


def _next(steps: Steps[Any], outcome: Any) -> Step | _Done:
    try:
        return steps.send(outcome)
    except StopIteration as stop:
        return _Done(stop.value)


def _method(step: Send) -> str:
    return "GET" if step.body is None else "POST"


def _limits(step: Send) -> httpx.Timeout:
    # Less for connecting, so that nobody listening is never mistaken for somebody thinking: only that is tried again.
    return httpx.Timeout(step.seconds, connect=min(CONNECT, step.seconds / 2))


def _reply(response: httpx.Response, body: bytes) -> Reply:
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def _slow(step: Send) -> Failure:
    return Failure(f"no whole answer from {_host(step)} within {step.seconds:.3g} s", again=False)


def _failure(error: Exception, step: Send) -> Failure:
    """A service that is still at work is not asked again, which would only add to its work; one that hung up is."""
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return _slow(step)
    lasting = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError)
    said = str(error) or type(error).__name__
    return Failure(
        f"no answer from {_host(step)}: {said}", again=isinstance(error, httpx.TransportError) and not lasting
    )


def _host(step: Send) -> str:
    return step.url.split("/")[2]
