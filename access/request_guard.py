"""Checks of a request before any handler: `Host`, `Origin`, and whether headers and path are valid text.

A web page in a user's browser can send requests to any address that the user can reach, including 127.0.0.1. Two checks stop
it. `Host` must be one of this service's names; this prevents DNS rebinding, where a foreign name resolves to this machine.
`Origin` (or `Sec-Fetch-Site`, if the browser sends no Origin) must be this service or listed in `cors_origins`. Programs send
neither Origin nor Sec-Fetch-Site.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

from aiohttp import hdrs, web
from multidict import istr

from ..schemas.errors import ForeignPage, MalformedRequest, SetupError, UnsupportedMediaType, WrongHost
from ..schemas.settings.access import HttpSettings

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
SITE, MODE = istr("Sec-Fetch-Site"), istr("Sec-Fetch-Mode")
# Content types that browsers send cross-origin without a preflight.
_FORM_TYPES = frozenset(("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"))
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_PREDICTION_PATHS = ("/predict/", "/v1/predict/", "/v2/")
_UPLOAD_PATHS = frozenset(("/models", "/v1/models"))
# Every header that ModelMesh reads. A proxy could read a duplicate or invalid one differently, so it is refused.
_READ_HEADERS = frozenset(
    b"host origin content-type content-length content-encoding authorization x-api-key x-request-id x-routing-key x-timeout-ms "
    b"traceparent idempotency-key inference-header-content-length sec-fetch-site sec-fetch-mode "
    b"access-control-request-method access-control-request-headers".split()
)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::\d{1,5})?")
_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::\d{1,5})?")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# Bounded, so that a page cannot fill memory with accepted Host values.
_HOST_CACHE_SIZE = 1000


def known_hosts(settings: HttpSettings, address: str) -> frozenset[str] | None:
    """Return the `Host` names that a server on `address` accepts; None: any.

    Any if `hosts` has `*`, and by default with authentication: a foreign page has no key, and the gateway does not know the
    names of its deployment (proxy, service).
    """
    configured = [host.strip().lower() for host in settings.hosts.split(",") if host.strip()]
    if "*" in configured or (not configured and settings.auth != "off"):
        return None
    own = {socket.gethostname().lower()} if _is_wildcard(address) else {address.lower()}
    return LOOPBACK | own | {host.strip("[]") for host in configured}


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach a server on this address."""
    return address in LOOPBACK or (_is_address(address) and ip_address(address).is_loopback)


def url_of(host: str, port: int) -> str:
    """Return the URL of a local server that listens on `host`; a wildcard address is reached by loopback."""
    name = "127.0.0.1" if _is_wildcard(host) else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


class RequestGuard:
    """Checks requests to one server. Accepted Host values are cached, so that most requests cost one look-up."""

    def __init__(self, settings: HttpSettings, address: str) -> None:
        self._hosts = known_hosts(settings, address)
        # A server on a wildcard address accepts any IP address as Host: DNS rebinding needs a name.
        self._any_address = _is_wildcard(address)
        self._origins = frozenset(filter(None, (one.strip().lower() for one in settings.cors_origins.split(","))))
        for origin in self._origins:
            if not _ORIGIN.fullmatch(origin):
                raise SetupError(
                    f"MODELMESH_CORS_ORIGINS has {origin[:80]!r}: name each page's origin, as https://host or http://host:port"
                )
        self._accepted_hosts: set[str] = set()

    def check(self, request: web.Request) -> None:
        """Raise MalformedRequest, WrongHost, ForeignPage or UnsupportedMediaType for a request that is refused."""
        headers, raw, target = request.headers, request.raw_headers, request.raw_path
        if not b"".join([value for _, value in raw]).isascii() or len({name.lower() for name, _ in raw}) != len(raw):
            _check_headers(raw)
        if "%" in target or not target.isascii():
            _check_target(target)
        host = headers.get(hdrs.HOST, "")
        if host not in self._accepted_hosts:
            self._check_host(host)
        origin = headers.get(hdrs.ORIGIN)
        if origin is not None:
            self._check_origin(origin, host)
        elif (site := headers.get(SITE)) is not None and not _is_same_origin_or_navigation(request, site):
            raise ForeignPage(
                "cross-site request: only this service's own pages may send requests", field="Sec-Fetch-Site"
            )
        if request.method not in _SAFE_METHODS:
            _check_content_type(request, headers.get(hdrs.CONTENT_TYPE))

    def allowed_origin(self, origin: str | None) -> bool:
        """Whether `cors_origins` lists this origin."""
        return origin is not None and origin.lower() in self._origins

    @property
    def allows_origins(self) -> bool:
        """Whether any foreign origin is allowed."""
        return bool(self._origins)

    def _check_host(self, host: str) -> None:
        if not host and self._hosts is None:
            return  # HTTP/1.0 health checks of some load balancers
        match = _HOST.fullmatch(host)
        if match is None:
            raise WrongHost(f"Host {host[:80]!a} is not a valid host name", field="Host")
        name = (match[1] or match[2]).lower().removesuffix(".")
        if self._hosts is not None and name not in self._hosts and not (self._any_address and _is_address(name)):
            raise WrongHost(
                f"{name[:80]!r} is not one of this service's host names: to accept it, add it to MODELMESH_HOSTS",
                field="Host",
            )
        if len(self._accepted_hosts) < _HOST_CACHE_SIZE:
            self._accepted_hosts.add(host)

    def _check_origin(self, origin: str, host: str) -> None:
        scheme, _, origin_host = origin.lower().partition("://")
        if scheme in ("http", "https") and origin_host == host.lower():
            return
        if not self.allowed_origin(origin):
            raise ForeignPage(
                f"a page of {origin[:80]!a} may not send requests: only pages of this service and of MODELMESH_CORS_ORIGINS may",
                field="Origin",
            )


def _check_headers(raw: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise MalformedRequest for a header in `_READ_HEADERS` that is duplicated or not valid text."""
    seen: set[bytes] = set()
    for given, value in raw:
        name = given.lower()
        if name not in _READ_HEADERS:
            continue
        shown = given.decode("ascii", "replace")
        if name in seen:
            raise MalformedRequest(f"{shown} is given twice", field=shown)
        seen.add(name)
        _check_text(value, shown, f"{value[:80]!r}", shown)


def _check_target(target: str) -> None:
    """Raise MalformedRequest for a path or a query that is not valid text."""
    for field, part in zip(("path", "query"), target.split("?", 1), strict=False):
        plain = unquote_to_bytes(part.encode(errors="surrogateescape"))
        _check_text(plain, f"the {field}", f"{part[:80]!a}", field)


def _check_text(text: bytes, what: str, shown: str, field: str) -> None:
    """Raise MalformedRequest for bytes that are not UTF-8 or contain control characters; the error quotes `shown`."""
    try:
        text.decode()
    except UnicodeDecodeError:
        raise MalformedRequest(f"{what} is not UTF-8 text: {shown}", field=field) from None
    if _CONTROL.search(text):
        raise MalformedRequest(f"{what} contains a control character: {shown}", field=field)


def _check_content_type(request: web.Request, content_type: str | None) -> None:
    """Raise UnsupportedMediaType for a change whose content type needs no preflight. Predictions change nothing and pass."""
    if content_type is None:
        return  # read as JSON; a page that sends it has passed the Origin check
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _FORM_TYPES or request.path.startswith(_PREDICTION_PATHS):
        return
    if kind == "multipart/form-data" and request.path in _UPLOAD_PATHS:
        return
    raise UnsupportedMediaType(
        f"a body of type {kind} is not accepted here: send JSON with `Content-Type: application/json` (curl: --json)",
        field="Content-Type",
    )


def _is_same_origin_or_navigation(request: web.Request, site: str) -> bool:
    """Whether a request without an Origin is same-origin, or a navigation: the linking page cannot read its response."""
    if site in ("same-origin", "none"):
        return True
    return request.method in _SAFE_METHODS and request.headers.get(MODE) == "navigate"


def _is_wildcard(address: str) -> bool:
    """Whether the address means all addresses of the machine."""
    return not address or (_is_address(address) and ip_address(address).is_unspecified)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
