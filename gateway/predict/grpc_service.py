"""The Open Inference Protocol over gRPC. Its message classes come from Triton's client: `pip install 'modelmesh[grpc]'`."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import grpc
import orjson
import structlog
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from ... import __version__
from ...access.caller import ANONYMOUS, Caller
from ...access.gatekeeper import Gatekeeper
from ...producers.client import PredictionClient
from ...schemas.errors import MalformedRequest, ModelMeshError, SetupError, from_problem
from ...schemas.names import REQUEST_ID
from ...schemas.payloads.keys import Scope
from ...schemas.records import v2_content_type, v2_header_bytes
from ...schemas.settings.gateway import GatewaySettings
from ...telemetry.tracing import known_traceparent
from ..served_models import EXTENSIONS, ServedModels, check_served_name
from .grpc_messages import to_body, to_response
from .routes import PredictRoutes

log = structlog.get_logger(__name__)
T = TypeVar("T")
_READ_METADATA = frozenset(("authorization", "x-api-key", "x-request-id", "x-routing-key", "traceparent"))
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def _abort_on_error(
    call: Callable[[GrpcService, Any, Any], Awaitable[T]],
) -> Callable[[GrpcService, Any, Any], Awaitable[T]]:
    """Abort the call with the status of a ModelMeshError, or with INTERNAL and no details for any other exception."""

    @functools.wraps(call)
    async def guarded(self: GrpcService, request: Any, context: Any) -> T:
        try:
            return await call(self, request, context)
        except ModelMeshError as error:
            await context.abort(CODES.get(error.status, grpc.StatusCode.INTERNAL), error.detail)
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("grpc.failed", call=call.__name__)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error; see the gateway's log")
        raise AssertionError("abort raises")

    return guarded


class GrpcService(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The same service as the HTTP routes. Triton's own extensions (shared memory, statistics, settings) are not implemented."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        client: PredictionClient,
        models: ServedModels,
        predict: PredictRoutes,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._client = client
        self._models = models
        self._predict = predict

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return pb.ServerReadyResponse(ready=self._models.ready())

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return pb.ServerMetadataResponse(name="modelmesh", version=__version__, extensions=EXTENSIONS)

    @_abort_on_error
    async def ModelReady(self, request: Any, context: Any) -> Any:
        await self._authenticate(context, request.name)
        return pb.ModelReadyResponse(ready=self._models.model_ready(request.name, request.version))

    @_abort_on_error
    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        await self._authenticate(context, request.name)
        document = self._models.metadata(request.name, request.version)
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=document["name"],
            versions=document["versions"],
            platform=document["platform"],
            inputs=[tensor(**one) for one in document["inputs"]],
            outputs=[tensor(**one) for one in document["outputs"]],
        )

    @_abort_on_error
    async def ModelInfer(self, request: Any, context: Any) -> Any:
        return await self._infer(request, context)

    async def ModelStreamInfer(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            try:
                yield pb.ModelStreamInferResponse(infer_response=await self._infer(request, context))
            except ModelMeshError as error:
                yield pb.ModelStreamInferResponse(error_message=error.detail)
            except Exception:
                log.exception("grpc.failed", call="ModelStreamInfer")
                yield pb.ModelStreamInferResponse(error_message="internal error; see the gateway's log")

    @_abort_on_error
    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        _, found = await self._authenticate(context)
        index = self._models.index(found, ready=request.ready)
        return pb.RepositoryIndexResponse(models=[pb.RepositoryIndexResponse.ModelIndex(**one) for one in index])

    @_abort_on_error
    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        await self._authenticate(context, request.model_name, "deploy")
        self._models.load(request.model_name)
        return pb.RepositoryModelLoadResponse()

    @_abort_on_error
    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        await self._authenticate(context, request.model_name, "deploy")
        self._models.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()

    async def _infer(self, request: Any, context: Any) -> Any:
        metadata, found = await self._authenticate(context, request.model_name)
        request_id = metadata.get("x-request-id") or (request.id if REQUEST_ID.fullmatch(request.id) else uuid4().hex)
        if not request.id:
            request.id = request_id
        check_served_name(request.model_name)
        rows = request.inputs[0].shape[0] if request.inputs and request.inputs[0].shape else 1
        if rows > 1:
            await self._gatekeeper.count(found, rows - 1)
        body, header_bytes = to_body(request)
        began = time.perf_counter()
        reply = await self._client.send(
            request.model_name,
            body,
            content_type=v2_content_type(header_bytes),
            routing_key=metadata.get("x-routing-key", ""),
            deadline=context.time_remaining(),
            request_id=request_id,
            traceparent=known_traceparent(metadata.get("traceparent", "")),
            pinned_version=request.model_version,
            caller=found.name,
        )
        self._predict.observe(reply, began)
        if not reply.ok:
            raise from_problem(orjson.loads(reply.body))
        return to_response(reply.body, v2_header_bytes(reply.content_type))

    async def _authenticate(
        self, context: Any, model: str = "", scope: Scope = "predict"
    ) -> tuple[dict[str, str], Caller]:
        """Return the call's metadata, and its caller. Raises MalformedRequest, Unauthorized, Forbidden or RateLimited."""
        given = context.invocation_metadata()
        metadata = {name: value for name, value in given if isinstance(value, str)}
        if len(metadata) != len(given):
            _check_not_duplicated(given)
        found = ANONYMOUS
        if not self._gatekeeper.open:
            found = await self._gatekeeper.identify(metadata.get("authorization", ""), metadata.get("x-api-key", ""))
            found.check_scope(scope)
            if model:
                found.check_model(model)
            await self._gatekeeper.count(found)
        return metadata, found


def _check_not_duplicated(metadata: Sequence[tuple[str, str | bytes]]) -> None:
    """Raise MalformedRequest if metadata that is read here is duplicated: the values may differ."""
    names = [name for name, _ in metadata if name in _READ_METADATA]
    for name in names:
        if names.count(name) > 1:
            raise MalformedRequest(f"the metadata has {name} twice", field=name)


def make_server(settings: GatewaySettings, service: GrpcService) -> grpc.aio.Server:
    """Return a server on `grpc_port`, not started yet; it uses the gateway's certificate if there is one.

    Raises SetupError if the port cannot be opened.
    """
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", settings.max_body_bytes)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
    address = f"{settings.host}:{settings.grpc_port}"
    try:
        if settings.tls_cert is not None and settings.tls_key is not None:
            pair = (settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())
            server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            server.add_insecure_port(address)
    except RuntimeError as error:
        raise SetupError(
            f"{address} cannot be opened for gRPC: choose another port with MODELMESH_GRPC_PORT"
        ) from error
    return server
