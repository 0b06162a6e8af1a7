"""A release that does not fit is refused, with the field that is wrong."""

import pytest
from modelmesh.schemas.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    ModelNotFound,
    NotFound,
    SignatureDiffers,
    VersionNotFound,
)


async def test_what_does_not_fit_is_refused_with_the_field(sdk, register, linear_versions):
    model = await register("refusals", {}, {})
    for change, error, field in (
        ({"candidate_version": "2.0.0", "initial_percentage": 101}, InvalidInput, "initial_percentage"),
        ({"candidate_version": "2.0.0", "initial_percentage": 0}, InvalidInput, "initial_percentage"),
        ({"candidate_version": "2.0.0", "steps": [50, 5]}, InvalidInput, "body"),
        ({"candidate_version": "2.0.0", "steps": [5, 150]}, InvalidInput, "body"),
        ({"candidate_version": "2.0.0", "auto_rollback_threshold": 5}, InvalidInput, "auto_rollback_threshold"),
        ({"candidate_version": "2.0.0", "colour": "red"}, InvalidInput, "colour"),
        ({"candidate_version": "9.0.0"}, VersionNotFound, "version"),
        ({"candidate_version": "1.0.0"}, InvalidInput, "version"),
    ):
        with pytest.raises(error) as caught:
            await sdk.create_canary(model, **change)
        assert caught.value.field == field, change
    with pytest.raises(ModelNotFound):
        await sdk.create_canary("nobody", "1.0.0")
    with pytest.raises(InvalidInput, match="add up"):
        await sdk.create_experiment(
            model,
            [{"name": "a", "version": "1.0.0", "weight": 0.5}, {"name": "b", "version": "2.0.0", "weight": 0.6}],
        )
    with pytest.raises(Conflict):
        await sdk.create_shadow(model, "2.0.0", "3.0.0")
    with pytest.raises(SignatureDiffers) as caught:
        await sdk.create_canary(linear_versions, "2.0.0")
    assert "inputs has shape [-1, 3], not [-1, 2]" in caught.value.detail
    await sdk.create_canary(model, "2.0.0")
    for again in (
        sdk.create_canary(model, "3.0.0"),
        sdk.create_shadow(model, "1.0.0", "3.0.0"),
        sdk.deploy(model, "2.0.0"),
    ):
        with pytest.raises(IllegalTransition, match="promote it or roll it back"):
            await again
    for nothing in (sdk.stop_shadow(model), sdk.stop_experiment(model), sdk.rollback_canary("nobody")):
        with pytest.raises(NotFound):
            await nothing


@pytest.fixture(scope="module")
async def linear_versions(sdk):
    """A model whose second version takes another number of features."""
    from sklearn.linear_model import LinearRegression

    for columns in (2, 3):
        rows = [[float(i * j) for j in range(columns)] for i in range(1, 6)]
        await sdk.register_model("widths", LinearRegression().fit(rows, range(5)), sample=rows)
    return "widths"
