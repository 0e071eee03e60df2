"""The client of MCP's SDK with the names of its version 2, whichever is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

from mcp import StdioServerParameters

try:
    from mcp import Client
except ImportError:  # before version 2
    from mcp import ClientSession
    from mcp.client.stdio import stdio_client
    from mcp.shared.memory import create_client_server_memory_streams

    class OldClient:
        """A session of version 1."""

        def __init__(self, session: ClientSession, server_info: Any) -> None:
            self.session = session
            self.server_info = server_info

        async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
            answer = await self.session.call_tool(name, arguments)
            return SimpleNamespace(
                is_error=answer.isError, structured_content=answer.structuredContent, content=answer.content
            )

        async def list_tools(self) -> Any:
            return SimpleNamespace(tools=[renamed(tool) for tool in (await self.session.list_tools()).tools])

    def renamed(tool: Any) -> Any:
        hints = SimpleNamespace(read_only_hint=tool.annotations.readOnlyHint)
        return SimpleNamespace(
            name=tool.name, description=tool.description, input_schema=tool.inputSchema, annotations=hints
        )

    @asynccontextmanager
    async def Client(server: Any) -> AsyncIterator[OldClient]:  # type: ignore[no-redef]  # noqa: N802 - the SDK's name
        async with AsyncExitStack() as stack:
            if isinstance(server, StdioServerParameters):
                streams = await stack.enter_async_context(stdio_client(server))
            else:
                import anyio

                low_level = server._mcp_server
                streams, served = await stack.enter_async_context(create_client_server_memory_streams())
                tasks = await stack.enter_async_context(anyio.create_task_group())
                stack.callback(tasks.cancel_scope.cancel)
                tasks.start_soon(low_level.run, *served, low_level.create_initialization_options())
            session = await stack.enter_async_context(ClientSession(*streams))
            yield OldClient(session, (await session.initialize()).serverInfo)


__all__ = ["Client", "StdioServerParameters"]
