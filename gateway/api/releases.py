"""The HTTP API for releases: full deployments, canaries, shadows, experiments."""

from __future__ import annotations

from aiohttp import web

from ...access.caller import caller
from ...broker.views.releases import ReleasesView
from ...broker.views.statistics import StatisticsView
from ...registry.registry import Registry
from ...registry.storage.database import ExperimentRow
from ...registry.version_specs import spec_of
from ...schemas.documents.releases import (
    CanaryDocument,
    CanaryRequest,
    ChangeRequest,
    Deployed,
    DeploymentList,
    DeploymentRequest,
    EventDocument,
    ExperimentDocument,
    ExperimentList,
    ExperimentRequest,
    HistoryPage,
    PercentageRequest,
    ShadowRequest,
    StopExperimentRequest,
)
from ...schemas.errors import Conflict, NotFound
from ...schemas.names import check_model_name
from ...schemas.payloads.commands import (
    Deploy,
    Promote,
    Rollback,
    StartCanary,
    StartExperiment,
    StartShadow,
    StepCanary,
    StopExperiment,
    StopShadow,
)
from ...schemas.payloads.releases import VersionSpec
from ...schemas.trial_id import TrialId
from ...telemetry.http import json_response
from ..deployer import Deployer
from ..recent_events import RecentEvents, newer
from ..route import Route
from .release_changes import CHANGE_ERRORS, ReleaseChanges
from .route_tools import PAGING, answer, paging, parse_id, read_json
from .row_documents import event_document, experiment_document
from .upload import parse

DEFAULT_PERCENTAGE = 10.0
_ENDS = ("canary.promoted", "canary.rolled_back")


class ReleaseRoutes(ReleaseChanges):
    """Changes are commands to the control plane. Ending a trial needs neither the registry nor the database."""

    def __init__(
        self,
        registry: Registry,
        deployer: Deployer,
        releases: ReleasesView,
        statistics: StatisticsView,
        recent: RecentEvents,
    ) -> None:
        super().__init__(deployer, releases)
        self._recent = recent
        self._registry = registry
        self._statistics = statistics

    async def deploy(self, request: web.Request) -> web.Response:
        """Send all requests to one version."""
        body: DeploymentRequest = parse(DeploymentRequest, await read_json(request))
        spec = await self._spec(body.model, body.version)
        return await self._execute(Deploy(**await self._fields(body.model, body), version=spec))

    async def list_deployments(self, request: web.Request) -> web.Response:
        """Return every model's current release, from the log."""
        return self._list(request, request.query.get("strategy"))

    async def list_canaries(self, request: web.Request) -> web.Response:
        """Return the running canaries."""
        return self._list(request, "canary")

    def _list(self, request: web.Request, strategy: str | None) -> web.Response:
        models = caller.get().models_to_list(request.query.get("model"))
        documents = [
            self._deployment(release).model_dump(mode="json")
            for _, release in sorted(self._releases.releases.items())
            if (models is None or release.model in models) and strategy in (None, release.strategy)
        ]
        return json_response({"deployments": documents})

    async def history(self, request: web.Request) -> web.Response:
        """Return the history of releases, newest first."""
        page, per_page = paging(request)
        models = caller.get().models_to_list(request.query.get("model"))
        rows, total = await self._registry.history(models, page=page, per_page=per_page)
        stored = list(map(event_document, rows))
        added = newer(self._recent.select(models), stored) if page == 1 else []
        return answer(HistoryPage(events=added + stored, page=page, per_page=per_page, total=total + len(added)))

    async def start_canary(self, request: web.Request) -> web.Response:
        """Start a canary: send a share of the requests to a candidate and judge it."""
        body: CanaryRequest = parse(CanaryRequest, await read_json(request))
        spec = await self._spec(body.model, body.candidate_version)
        percentage = body.initial_percentage or DEFAULT_PERCENTAGE
        fields = await self._fields(body.model, body)
        return await self._execute(StartCanary(**fields, version=spec, canary=body.plan(), percentage=percentage))

    async def get_canary(self, request: web.Request) -> web.Response:
        """Return a canary: its evidence while it runs, its outcome afterwards."""
        name, trial = parse_id(request)
        release = self._releases.releases.get(name)
        if release is not None and release.strategy == "canary" and trial in (None, release.id):
            document = CanaryDocument(
                id=release.id,
                status="running",
                deployment=self._deployment(release),
                statistics=self._statistics.of_trial(release, "release"),
            )
            return answer(document)
        events = await self._ends_of(name, trial)
        if not events:
            raise NotFound(f"there is no canary {request.match_info['id'][:80]!r}", field="id")
        ended = events[0]
        return answer(
            CanaryDocument(
                id=TrialId.parse(ended.data["id"]),
                status="promoted" if ended.kind == "canary.promoted" else "rolled_back",
                events=[event for event in events if event.data["id"] == ended.data["id"]],
            )
        )

    async def _ends_of(self, model: str, trial: TrialId | None) -> list[EventDocument]:
        """Return the events that ended a canary, or without `trial` all of the model's, newest first."""
        ends = self._recent.select((model,), _ENDS)
        recent = [event for event in ends if trial is None or event.data.get("id") == str(trial)]
        return recent or list(map(event_document, await self._registry.events_of_trial(model, trial, _ENDS)))

    async def step_canary(self, request: web.Request) -> web.Response:
        """Change a canary's share."""
        body: PercentageRequest = parse(PercentageRequest, await read_json(request))
        fields, trial = await self._trial_fields(request, "canary", body)
        return await self._execute(StepCanary(**fields, trial=trial, percentage=body.percentage), 200)

    async def promote(self, request: web.Request) -> web.Response:
        """Promote a canary: send all requests to the candidate."""
        fields, trial = await self._trial_fields(request, "canary")
        return await self._execute(Promote(**fields, trial=trial), 200)

    async def rollback(self, request: web.Request) -> web.Response:
        """Roll a canary back: send all requests to the stable version."""
        fields, trial = await self._trial_fields(request, "canary")
        return await self._execute(Rollback(**fields, trial=trial), 200)

    async def start_shadow(self, request: web.Request) -> web.Response:
        """Start a shadow: send copies of the requests to a version; callers do not get its answers."""
        body: ShadowRequest = parse(ShadowRequest, await read_json(request))
        spec = await self._spec(body.model, body.shadow_version)
        release = self._releases.releases.get(body.model)
        if body.production_version and release and body.production_version != release.stable.version:
            raise Conflict(
                f"{release.stable.version} is live, not {body.production_version}", field="production_version"
            )
        fields = await self._fields(body.model, body)
        return await self._execute(StartShadow(**fields, version=spec, percentage=body.percentage))

    async def stop_shadow(self, request: web.Request) -> web.Response:
        """Stop a shadow."""
        fields, trial = await self._trial_fields(request, "shadow")
        return await self._execute(StopShadow(**fields, trial=trial), 200)

    async def start_experiment(self, request: web.Request) -> web.Response:
        """Start an experiment: split the users over several versions."""
        body: ExperimentRequest = parse(ExperimentRequest, await read_json(request))
        arms = body.arms()
        versions = {arm.version: await self._spec(body.model, arm.version) for arm in arms}
        fields = await self._fields(body.model, body)
        return await self._execute(StartExperiment(**fields, variants=arms, versions=versions, name=body.name))

    async def list_experiments(self, request: web.Request) -> web.Response:
        """Return the experiments, newest first, without their results."""
        rows = await self._registry.experiments(caller.get().models_to_list(request.query.get("model")))
        documents = [experiment_document(row, None) for row in rows]
        return json_response({"experiments": [document.model_dump(mode="json") for document in documents]})

    async def get_experiment(self, request: web.Request) -> web.Response:
        """Return an experiment with its results by variant."""
        name, trial = parse_id(request)
        release = self._releases.releases.get(name)
        row: ExperimentRow | None = await self._registry.experiment(name, trial)
        if release is not None and release.strategy == "ab" and trial in (None, release.id):
            statistics = self._statistics.of_trial(release, "release")
            document = ExperimentDocument(
                id=release.id,
                name=row.name if row is not None and row.id == str(release.id) else str(release.id),
                model=name,
                status="running",
                variants=[variant.model_dump(mode="json") for variant in release.variants],
                results=statistics["results"] if statistics else None,
            )
            return answer(document)
        if row is None:
            raise NotFound(f"there is no experiment {request.match_info['id'][:80]!r}", field="id")
        return answer(experiment_document(row, row.results))

    async def stop_experiment(self, request: web.Request) -> web.Response:
        """End an experiment; the winner goes live."""
        body: StopExperimentRequest = parse(StopExperimentRequest, await read_json(request))
        fields, trial = await self._trial_fields(request, "ab", body)
        release = self._releases.releases.get(fields["model"])
        statistics = self._statistics.of_trial(release, "release") if release is not None else None
        results = (statistics or {}).get("results", {})
        return await self._execute(StopExperiment(**fields, trial=trial, winner=body.winner, evidence=results), 200)

    routes = (
        Route("POST", "/deployments", deploy, "Send all requests to a version", scope="deploy", repeat="with_key",
              takes=DeploymentRequest, gives=Deployed, status=201, errors=CHANGE_ERRORS, database=True),
        Route("GET", "/deployments", list_deployments, "List the current releases", scope="deploy",
              gives=DeploymentList, query=("model", "strategy")),
        Route("GET", "/deployments/history", history, "List the history of releases", scope="deploy",
              gives=HistoryPage, errors=(422,), query=(*PAGING, "model"), database=True),
        Route("POST", "/deployments/canary", start_canary,
              "Start a canary: send a share of the requests to a version and judge it",
              scope="deploy", repeat="with_key", takes=CanaryRequest, gives=Deployed, status=201,
              errors=CHANGE_ERRORS, database=True),
        Route("GET", "/deployments/canary", list_canaries, "List the running canaries", scope="deploy",
              gives=DeploymentList, query=("model",)),
        Route("GET", "/deployments/canary/{id}", get_canary, "Show a canary with its evidence", scope="deploy",
              gives=CanaryDocument, errors=(404,), database=True),
        Route("POST", "/deployments/canary/{id}/percentage", step_canary, "Change a canary's share", scope="deploy",
              repeat="with_key", takes=PercentageRequest, gives=Deployed, errors=CHANGE_ERRORS),
        Route("POST", "/deployments/canary/{id}/promote", promote, "Send all requests to the candidate", scope="deploy",
              repeat="with_key", takes=ChangeRequest, gives=Deployed, errors=CHANGE_ERRORS),
        Route("POST", "/deployments/canary/{id}/rollback", rollback, "Send all requests to the stable version", scope="deploy",
              repeat="with_key", takes=ChangeRequest, gives=Deployed, errors=CHANGE_ERRORS),
        Route("POST", "/deployments/shadow", start_shadow, "Start a shadow: send copies of the requests to a version",
              scope="deploy", repeat="with_key", takes=ShadowRequest, gives=Deployed, status=201,
              errors=CHANGE_ERRORS, database=True),
        Route("POST", "/deployments/shadow/{id}/stop", stop_shadow, "Stop a shadow", scope="deploy",
              repeat="with_key", takes=ChangeRequest, gives=Deployed, errors=CHANGE_ERRORS),
        Route("POST", "/experiments", start_experiment, "Start an experiment: split the users over versions", scope="deploy",
              repeat="with_key", takes=ExperimentRequest, gives=Deployed, status=201, errors=CHANGE_ERRORS, database=True),
        Route("GET", "/experiments", list_experiments, "List the experiments", scope="deploy", gives=ExperimentList,
              query=("model",), database=True),
        Route("GET", "/experiments/{id}", get_experiment, "Show an experiment with its results", scope="deploy",
              gives=ExperimentDocument, errors=(404,), database=True),
        Route("POST", "/experiments/{id}/stop", stop_experiment, "End an experiment; the winner goes live", scope="deploy",
              repeat="with_key", takes=StopExperimentRequest, gives=Deployed, errors=CHANGE_ERRORS),
    )  # fmt: skip

    async def _spec(self, model: str, version: str) -> VersionSpec:
        """Return a registered version. Raises InvalidInput, Forbidden, ModelNotFound or VersionNotFound."""
        caller.get().check_model(check_model_name(model))
        return spec_of(await self._registry.version(model, version))
