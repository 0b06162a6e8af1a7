"""Checks of a request before any handler: `Host`, `Origin`, and whether headers and path are valid text.

A web page in a user's browser can send requests to any address that the user can reach, 127.0.0.1 too. Two checks stop it.
`Host` must be one of this service's names, against DNS rebinding (a foreign name that resolves to this machine). And `Origin`
(`Sec-Fetch-Site` where a browser sends no Origin) must be this service or listed in `cors_origins`. Programs send neither
Origin nor Sec-Fetch-Site.
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
_FORMS = frozenset(("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"))
_CHANGE_NOTHING = frozenset(("GET", "HEAD", "OPTIONS"))
_PREDICTIONS = ("/predict/", "/v1/predict/", "/v2/")
_UPLOADS = frozenset(("/models", "/v1/models"))
# Every header that ModelMesh reads: a duplicate or invalid one could be read differently by a proxy, and is refused.
_READ = frozenset(
    b"host origin content-type content-length content-encoding authorization x-api-key x-request-id x-routing-key x-timeout-ms "
    b"traceparent idempotency-key inference-header-content-length sec-fetch-site sec-fetch-mode "
    b"access-control-request-method access-control-request-headers".split()
)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::\d{1,5})?")
_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::\d{1,5})?")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# The cache of valid Host values is bounded, so that a page cannot fill memory.
_REMEMBERED = 1000


def known_hosts(settings: HttpSettings, address: str) -> frozenset[str] | None:
    """Return the `Host` names that a server on `address` accepts; None: any.

    Any if `hosts` has `*`, and by default with authentication: a foreign page has no key, and the names of a deployment (its
    proxy's, its service's) are not known here.
    """
    given = [host.strip().lower() for host in settings.hosts.split(",") if host.strip()]
    if "*" in given or (not given and settings.auth != "off"):
        return None
    own = {socket.gethostname().lower()} if _is_all(address) else {address.lower()}
    return LOOPBACK | own | {host.strip("[]") for host in given}


def is_loopback(address: str) -> bool:
    """Whether a server on this address can be reached from this machine alone."""
    return address in LOOPBACK or (_is_address(address) and ip_address(address).is_loopback)


def url_of(host: str, port: int) -> str:
    """Return the URL of a server here that listens on `host`; one on all addresses is reached by loopback."""
    name = "127.0.0.1" if _is_all(host) else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


class Door:
    """Checks requests to one server. Valid Host values are cached, so that most requests cost one look-up."""

    def __init__(self, settings: HttpSettings, address: str) -> None:
        self._hosts = known_hosts(settings, address)
        # A server on all addresses accepts any IP address as Host: DNS rebinding needs a name.
        self._any_address = _is_all(address)
        self._origins = frozenset(filter(None, (one.strip().lower() for one in settings.cors_origins.split(","))))
        for origin in self._origins:
            if not _ORIGIN.fullmatch(origin):
                raise SetupError(
                    f"MODELMESH_CORS_ORIGINS has {origin[:80]!r}: name each page's origin, as https://host or http://host:port"
                )
        self._good_hosts: set[str] = set()

    def check(self, request: web.Request) -> None:
        """Raise MalformedRequest, WrongHost, ForeignPage or UnsupportedMediaType for a request that is refused."""
        headers, raw, target = request.headers, request.raw_headers, request.raw_path
        if not b"".join([value for _, value in raw]).isascii() or len({name.lower() for name, _ in raw}) != len(raw):
            _check_texts(raw)
        if "%" in target or not target.isascii():
            _check_target(target)
        host = headers.get(hdrs.HOST, "")
        if host not in self._good_hosts:
            self._check_host(host)
        origin = headers.get(hdrs.ORIGIN)
        if origin is not None:
            self._check_origin(origin, host)
        elif (site := headers.get(SITE)) is not None and not _may_lead_here(request, site):
            raise ForeignPage("a page from elsewhere asks: only this service's own pages may", field="Sec-Fetch-Site")
        if request.method not in _CHANGE_NOTHING:
            _check_kind(request, headers.get(hdrs.CONTENT_TYPE))

    def allowed_origin(self, origin: str | None) -> bool:
        """Whether `cors_origins` names this page's address."""
        return origin is not None and origin.lower() in self._origins

    @property
    def opened(self) -> bool:
        """Whether any foreign origin is allowed."""
        return bool(self._origins)

    def _check_host(self, host: str) -> None:
        if not host and self._hosts is None:
            return  # HTTP/1.0 health checks of some load balancers
        match = _HOST.fullmatch(host)
        if match is None:
            raise WrongHost(f"Host {host[:80]!a} is no name of a host", field="Host")
        name = (match[1] or match[2]).lower().removesuffix(".")
        if self._hosts is not None and name not in self._hosts and not (self._any_address and _is_address(name)):
            raise WrongHost(
                f"this service is not known as {name[:80]!r}: where that is meant to be one of its names, add it to "
                "MODELMESH_HOSTS",
                field="Host",
            )
        if len(self._good_hosts) < _REMEMBERED:
            self._good_hosts.add(host)

    def _check_origin(self, origin: str, host: str) -> None:
        scheme, _, where = origin.lower().partition("://")
        if scheme in ("http", "https") and where == host.lower():
            return
        if not self.allowed_origin(origin):
            raise ForeignPage(
                f"a page of {origin[:80]!a} asks: only this service's own pages may, and those that MODELMESH_CORS_ORIGINS names",
                field="Origin",
            )


def _check_texts(raw: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise MalformedRequest for a header in `_READ` that is duplicated or not valid text."""
    seen: set[bytes] = set()
    for given, value in raw:
        name = given.lower()
        if name not in _READ:
            continue
        shown = given.decode("ascii", "replace")
        if name in seen:
            raise MalformedRequest(f"{shown} is given twice", field=shown)
        seen.add(name)
        _check_text(value, shown, f"{value[:80]!r}", shown)


def _check_target(target: str) -> None:
    """Raise MalformedRequest for a path or a query that is not valid text, which neither a name nor a log line could hold."""
    for field, part in zip(("path", "query"), target.split("?", 1), strict=False):
        plain = unquote_to_bytes(part.encode(errors="surrogateescape"))
        _check_text(plain, f"the {field}", f"{part[:80]!a}", field)


def _check_text(text: bytes, what: str, shown: str, field: str) -> None:
    """Raise MalformedRequest for bytes that are not UTF-8 or hold control characters; `shown` is quoted in the error."""
    try:
        text.decode()
    except UnicodeDecodeError:
        raise MalformedRequest(f"{what} is no UTF-8 text: {shown}", field=field) from None
    if _CONTROL.search(text):
        raise MalformedRequest(f"{what} holds a control character: {shown}", field=field)


def _check_kind(request: web.Request, content_type: str | None) -> None:
    """Raise UnsupportedMediaType for a change whose content type needs no preflight. Predictions change nothing and pass."""
    if content_type is None:
        return  # it is read as JSON; a page that sends one has passed the Origin check
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _FORMS or request.path.startswith(_PREDICTIONS):
        return
    if kind == "multipart/form-data" and request.path in _UPLOADS:
        return
    raise UnsupportedMediaType(
        f"a body of type {kind} is not taken here: send JSON with `Content-Type: application/json` (curl: --json)",
        field="Content-Type",
    )


def _may_lead_here(request: web.Request, site: str) -> bool:
    """Whether a request without an Origin is same-origin or a navigation, whose response the linking page cannot read."""
    if site in ("same-origin", "none"):
        return True
    return request.method in _CHANGE_NOTHING and request.headers.get(MODE) == "navigate"


def _is_all(address: str) -> bool:
    """Whether the address means all of the machine's addresses."""
    return not address or (_is_address(address) and ip_address(address).is_unspecified)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
