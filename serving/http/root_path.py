"""A proxy may show the API under a path of its own, which routes must not see and links must begin with."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """ASGI middleware: requests arrive with the root path in front, or without it where the proxy strips it.

    Args:
        app: The application.
        root_path: Such as `/recsys`; must not be the beginning of one of the application's own paths.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app, self._root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on with `root_path`, and `path` beginning with it as ASGI wants."""
        if scope["type"] == "http":
            path = scope["path"]
            if path != self._root_path and not path.startswith(f"{self._root_path}/"):
                path = self._root_path + path
            scope = {**scope, "root_path": self._root_path, "path": path}
        await self._app(scope, receive, send)
