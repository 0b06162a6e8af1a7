"""All methods, in the order of the tables."""

from __future__ import annotations

from . import argo_rollouts, flagger
from .argo_rollouts import ArgoRollouts
from .flagger import Flagger
from .group_sequential import GroupSequential
from .kayenta import Kayenta
from .method import Method
from .msprt import Msprt

METHODS: tuple[Method, ...] = (
    Msprt(),
    GroupSequential(),
    flagger.TUTORIAL,
    Flagger(),
    argo_rollouts.STEP,
    ArgoRollouts(),
    Kayenta(),
)
