"""Runs generators of steps over httpx: blocking or with await, each with its own pool of connections."""

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
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

from resift._util.secret import ApiKey
from resift.errors import MissingExtraError, RemoteError
from resift.services.http.body import Body, BodyError
from resift.services.http.response import HttpResponse
from resift.services.http.retry import Clock
from resift.services.http.steps import Failure, Parallel, Send, Step, Steps, Wait

try:
    import httpx

    from resift.services.http.timed_network import ends_at, limit_time
except ImportError as error:
    raise MissingExtraError("a reranker behind HTTP", "remote") from error

R = TypeVar("R")

CONNECT_TIMEOUT_SECONDS = 10.0
LONGEST_OPERATION_SECONDS = 86_400.0
CLOSE_DELAY_SECONDS = 0.5


class Client:
    """Runs generators of steps, with at most `parallel` requests of one call at a time.

    Blocking calls share one pool of connections per process: a forked child opens its own, and leaves its parent's
    alone. Async calls share one pool per event loop, which is closed with the loop.
    """

    def __init__(self, key: ApiKey | None, parallel: int, clock: Clock) -> None:
        self.parallel = parallel
        self.clock = clock
        self._settings: dict[str, Any] = {
            "auth": None if key is None else _Bearer(key),
            "headers": {
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",  # what `body` unpacks
                "User-Agent": "resift",
            },
            "follow_redirects": False,  # the key would go along
        }
        self._by_process: dict[int, httpx.Client] = {}
        self._by_loop: dict[asyncio.AbstractEventLoop, _Pool] = {}

    def run(self, steps: Steps[R]) -> R:
        """Run the steps in this thread and return their result."""
        return self._run(steps, threading.Event())

    async def arun(self, steps: Steps[R]) -> R:
        """Run the steps on the event loop and return their result. Cancelling ends all their requests."""
        return await self._arun(steps, await self._loop_client())

    def close(self) -> None:
        """Close the pool of blocking calls; a later call opens another."""
        client = self._by_process.pop(os.getpid(), None)
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the running event loop's pool; a later call opens another."""
        pool = self._by_loop.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.keeper.aclose()

    # Blocking calls

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
                outcome = self._parallel(step, halt)

    def _send(self, step: Send) -> HttpResponse | Failure:
        try:
            with (
                ends_at(time.monotonic() + step.timeout),
                self._process_client().stream(
                    _method(step), step.url, content=step.body, timeout=_httpx_timeout(step)
                ) as response,
            ):
                body = Body(_headers(response), len(step.body or b""))
                try:
                    for data in response.iter_raw():
                        for _ in body.add(data):
                            pass
                    return _convert(response, body.finish())
                except BodyError as error:
                    return _unusable(error, response, body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _failure(error, step)

    def _parallel(self, step: Parallel, halt: threading.Event) -> list[Any]:
        if len(step.generators) == 1:
            return [self._run(step.generators[0], halt)]
        with ThreadPoolExecutor(
            min(self.parallel, len(step.generators)), thread_name_prefix="resift-remote"
        ) as threads:
            # In a copy of the caller's context, so that tracing of httpx finds its parent.
            futures = [threads.submit(copy_context().run, self._run, steps, halt) for steps in step.generators]
            try:
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
                return [future.result() for future in futures]
            except BaseException:  # an interrupt, too, cancels what has not begun
                halt.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _process_client(self) -> httpx.Client:
        client = self._by_process.get(os.getpid())
        if client is None:
            # Without a lock, which a forked child could inherit locked. If two threads make a client at once, one is
            # never used.
            client = httpx.Client(**self._settings, cookies=_no_cookies())
            limit_time(client)
            client = self._by_process.setdefault(os.getpid(), client)
            weakref.finalize(self, client.close)
        return client

    # Async calls

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
                outcome = await self._aparallel(step, client)

    async def _asend(self, step: Send, client: httpx.AsyncClient) -> HttpResponse | Failure:
        try:
            async with (
                asyncio.timeout(step.timeout),
                client.stream(_method(step), step.url, content=step.body, timeout=_httpx_timeout(step)) as response,
            ):
                body = Body(_headers(response), len(step.body or b""))
                try:
                    async for data in response.aiter_raw():
                        for _ in body.add(data):
                            await asyncio.sleep(0)  # other tasks have a turn
                    return _convert(response, body.finish())
                except BodyError as error:
                    return _unusable(error, response, body)
        except TimeoutError:
            return _timed_out(step)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _failure(error, step)

    async def _aparallel(self, step: Parallel, client: httpx.AsyncClient) -> list[Any]:
        semaphore = asyncio.Semaphore(self.parallel)

        async def run_limited(steps: Steps[Any]) -> Any:
            async with semaphore:
                return await self._arun(steps, client)

        tasks = [asyncio.ensure_future(run_limited(steps)) for steps in step.generators]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _loop_client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            for other_loop in list(self._by_loop):
                if other_loop.is_closed():
                    self._by_loop.pop(other_loop, None)
            pool = self._by_loop[loop] = _Pool(self, httpx.AsyncClient(**self._settings, cookies=_no_cookies()))
            await anext(pool.keeper)
        return self._by_loop[loop].client


class _Pool:
    """The connections of the running event loop, which are closed with the loop or with their owner.

    A loop closes its asynchronous generators before it closes itself, so such a generator (`keeper`) owns the httpx
    client: `asyncio.run` leaves no connection open, and nobody has to call `aclose`.
    """

    def __init__(self, owner: Client, client: httpx.AsyncClient) -> None:
        self.client = client
        self.keeper = self._keep()
        self._loop = asyncio.get_running_loop()
        self._owner_gone = weakref.finalize(owner, self._close_soon)
        self._owner_gone.atexit = False

    async def _keep(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._owner_gone.detach()
            await self.client.aclose()

    def _close_soon(self) -> None:
        with suppress(RuntimeError):  # the loop is closed already, and the keeper with it
            # Not at once: a scorer is often deleted just before its loop ends, which would cancel a half-done close.
            self._loop.call_soon_threadsafe(self._loop.call_later, CLOSE_DELAY_SECONDS, self._begin_to_close)

    def _begin_to_close(self) -> None:
        self._closing = self._loop.create_task(self._close())  # in an attribute, since a loop holds its tasks weakly

    async def _close(self) -> None:
        await self.keeper.aclose()


class _Bearer(httpx.Auth):
    """Adds the key to a request just before it is sent, so that no settings and no local variables hold it."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


def _no_cookies() -> CookieJar:
    """Return a jar that keeps nothing: httpx keeps a cookie that is no ASCII, and fails at the next request with it."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


class _Done:
    """The result of a generator of steps."""

    def __init__(self, result: Any) -> None:
        self.result = result


def _next(steps: Steps[Any], outcome: Any) -> Step | _Done:
    try:
        return steps.send(outcome)
    except StopIteration as stop:
        return _Done(stop.value)


def _method(step: Send) -> str:
    return "GET" if step.body is None else "POST"


def _httpx_timeout(step: Send) -> httpx.Timeout:
    # Less for connecting, so that a server that is down is not taken for a slow one: only the first is tried again.
    # For each operation no more than sockets take: Python refuses 1e9 seconds.
    seconds = min(step.timeout, LONGEST_OPERATION_SECONDS)
    return httpx.Timeout(seconds, connect=min(CONNECT_TIMEOUT_SECONDS, seconds / 2))


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _convert(response: httpx.Response, body: bytes) -> HttpResponse:
    return HttpResponse(response.status_code, _headers(response), body)


def _unusable(error: BodyError, response: httpx.Response, body: Body) -> HttpResponse | Failure:
    """Return what to make of a body that can't be used. An error of the server keeps its status and its beginning."""
    if not response.is_success:
        return _convert(response, body.content)
    return Failure(str(error), error.retry, response.status_code)


def _timed_out(step: Send) -> Failure:
    return Failure(f"no whole answer from {_host(step)} within {step.timeout:.3g} s", retry=False)


def _failure(error: Exception, step: Send) -> Failure:
    """Return the failure of a request. One that timed out is not sent again: the service may still be working on it."""
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return _timed_out(step)
    permanent = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError)
    message = str(error) or type(error).__name__
    return Failure(
        f"no answer from {_host(step)}: {message}", retry=isinstance(error, httpx.TransportError) and not permanent
    )


def _host(step: Send) -> str:
    return step.url.split("/")[2]
