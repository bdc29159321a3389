"""The API and its web sockets in one app, errors in words."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from convscope import __version__
from convscope.errors import ConvscopeError
from convscope.explorer import api, sockets
from convscope.explorer.explorer import Explorer
from convscope.explorer.guard import without_paths
from convscope.explorer.images import Unknown
from convscope.explorer.jobs import Full
from convscope.explorer.models import ErrorTold

_log = logging.getLogger("convscope.explorer")


def plain_app(explorer: Explorer) -> FastAPI:
    """The app without its guard and the pages: what the client's types are made from."""
    app = FastAPI(
        title="convscope Explorer", version=__version__,
        # The usual pages about an API load scripts from elsewhere.
        openapi_url="/api/openapi.json", docs_url=None, redoc_url=None,
        responses={status: {"model": ErrorTold} for status in (401, 403, 404, 413, 415, 422, 429)},
        redirect_slashes=False,
    )  # fmt: skip
    app.include_router(api.router(explorer))
    app.include_router(sockets.router(explorer))
    app.add_exception_handler(ConvscopeError, _in_words)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _refused)
    return app


def _in_words(_: Request, error: Exception) -> JSONResponse:
    status = 404 if isinstance(error, Unknown) else 429 if isinstance(error, Full) else 422
    headers = {"retry-after": "2"} if status == 429 else None
    return JSONResponse({"error": without_paths(str(error))}, status, headers)


def _not_understood(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Without what was sent: it may be anything.
    told = [f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"error": without_paths("; ".join(told))}, 422)


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing here", 405: "this can't be done here", 400: "the body can't be read"}
    return JSONResponse({"error": words.get(error.status_code, "refused")}, error.status_code, error.headers)
