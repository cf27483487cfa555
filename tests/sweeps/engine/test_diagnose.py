"""The diagnosis takes the measurement's own path and the same extremes."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import attention
from routers import ROUTERS
from routers.signature import CHANNEL_HUB, CHANNEL_SINKS, COLLAPSE, REDUCE
from routers.signature.nulls import UNIFORM, VARIANTS, diagnostic_variants
from routers.signature.reduction import HUB, reduction
from sweeps.design.experiment import Experiment, build_experiment
from sweeps.engine.inputs import make_members, take_row
from sweeps.engine.programs import variants_of
from sweeps.inference.diagnosis import Diagnosis, mean, most_common, reduce
from tests.routers.signature import signature_reference as reference
from train.diagnose import Sources, diagnose
from train.measure import measure
from train.step import init_state

ENTROPY = "stream/matrix_entropy"


def configure(overrides: dict[str, Any], **more: Any) -> ConfigDict:
    config = attention.get_config()
    config.update_from_flattened_dict(overrides | more)
    return config


@dataclasses.dataclass(frozen=True)
class Setting:
    """One member of a small sweep with two sets of parameters."""

    experiment: Experiment
    knobs: Any
    params: tuple[Any, Any]


def build(config: ConfigDict) -> Setting:
    experiment = build_experiment(config)
    grid = experiment.grid
    members = make_members(experiment, grid, np.arange(grid.members))
    first, other = take_row(members, 2), take_row(members, 3)
    inputs, _ = experiment.task.held_out(jax.random.key(0), 1)
    params = [
        init_state(experiment.spec, experiment.task.geometry(), inputs, member).params
        for member in (first, other)
    ]
    return Setting(experiment, first.knobs, (params[0], params[1]))


@pytest.fixture(scope="module")
def setting(tiny: dict[str, Any]) -> Setting:
    sizes = {"model.heads": 2, "model.layers": 2, "model.init.router": 0.5}
    return build(configure(tiny, **sizes))


def diagnosed(setting: Setting, sequences: int) -> Any:
    """The compiled program and its arguments; parameters of step 0 are the other's."""
    experiment = setting.experiment
    geometry = experiment.task.geometry()
    inputs, targets = experiment.task.held_out(jax.random.key(0), sequences)
    variants, _ = variants_of(experiment)

    def program(params: Any, knobs: Any, inputs: jax.Array) -> Any:
        here, other = params
        sources = Sources((here, here, other), geometry, geometry)
        key = jax.random.key(1)
        model = experiment.spec.model
        return diagnose(model, "token", variants, sources, knobs, inputs, key)

    arguments = (setting.params, setting.knobs, inputs)
    return jax.jit(program).lower(*arguments).compile(), arguments, targets


@pytest.fixture(scope="module")
def found(setting: Setting) -> tuple[dict[str, np.ndarray], Any]:
    program, arguments, targets = diagnosed(setting, 3)
    values = {name: np.asarray(v) for name, v in program(*arguments).items()}
    return values, (arguments[2], targets)


def test_real_and_criterion_nulls_equal_the_measurement(
    setting: Setting, found: Any
) -> None:
    values, batch = found
    experiment = setting.experiment
    names = [variant.name for variant in variants_of(experiment)[0]]
    arguments = (setting.knobs, experiment.task.geometry(), *batch)
    here, other = (
        jax.jit(lambda p: measure(experiment.spec.model, "token", p, *arguments))(
            params
        )
        for params in setting.params
    )
    own, even = here[COLLAPSE][0], here[COLLAPSE][VARIANTS.index(UNIFORM)]
    assert np.isfinite(own).all()
    assert (even == 1).all()  # by definition, so it is not measured
    # The diagnosis has effective ranks instead; channels share the weights here.
    shared = set(REDUCE) - {COLLAPSE, CHANNEL_HUB, CHANNEL_SINKS}
    assert shared <= set(values)
    for name in sorted(shared):
        for index, null in enumerate(VARIANTS):
            np.testing.assert_allclose(
                values[name][names.index(null)], here[name][index], rtol=1e-4, atol=1e-5
            )
        start = values[name][names.index("untrained")]
        np.testing.assert_allclose(start, other[name][0], rtol=1e-4, atol=1e-5)


def test_shapes_names_and_finite_values(setting: Setting, found: Any) -> None:
    values, _ = found
    variants, absent = variants_of(setting.experiment)
    of_stream = {name for name in values if name.startswith("stream/")}
    for name, value in values.items():
        # Two layers leave three states of the stream, of which two have no head.
        heads = 1 if name in ("stream/massive_activation", ENTROPY) else 2
        depths, heads = (3, heads) if name in of_stream else (2, 2)
        assert value.shape == (len(variants), 3, depths, heads), name
    assert "post_hoc" not in absent  # 0 is the neutral brake, and in the sweep
    real = {name: value[0] for name, value in values.items()}
    for name, value in real.items():
        # Random matrices have complex leading eigenvalues about half of the time.
        assert np.isfinite(value).all() or name == "alignment/eigenvector", name
    names = [variant.name for variant in variants]
    drawn = names.index("iid_logits_8")
    for name in ("collapse/effective_rank", *of_stream):
        assert np.isnan(values[name][drawn]).all(), name
    assert np.isfinite(values["concentration/hub_mass"][drawn]).all()
    shuffled = values["concentration/hub_mass"][names.index("shuffled_keys")]
    assert not np.allclose(shuffled, real["concentration/hub_mass"])
    contribution = real["collapse/without_hub/effective_rank"]
    assert (contribution <= setting.experiment.task.length - 1).all()


def test_the_stream_is_the_network_s_own_under_every_null(
    setting: Setting, found: Any
) -> None:
    values, (inputs, _) = found
    names = [variant.name for variant in variants_of(setting.experiment)[0]]
    geometry = setting.experiment.task.geometry()

    @jax.jit
    def streams(params: Any, content: Any) -> Any:
        knobs = setting.knobs | {"token.content": content}
        model = setting.experiment.spec.model
        return model.apply({"params": params}, inputs, geometry, knobs)[2]

    here, other = setting.params
    for null, params, content in (
        ("", here, 1.0),
        ("brake_only", here, 0.0),
        ("untrained", other, 1.0),
    ):
        stream = np.asarray(streams(params, content), np.float64)  # [L + 1, E, T, D]
        hubs = values[HUB][names.index(null)].astype(int)  # [E, L, H]
        for one, layer in np.ndindex(3, 3):
            x, hub = stream[layer, one], hubs[one, min(layer, 1)]
            wanted = {
                ENTROPY: [reference.matrix_entropy(x)],
                "stream/massive_activation": [reference.massive_activation(x)],
                "stream/hub_feature_norm": [
                    reference.log_ratio(np.linalg.norm(x, axis=1), h, True) for h in hub
                ],
                "stream/hub_negative_aware_norm": [
                    reference.log_ratio(reference.negative_aware_norm(x), h, True)
                    for h in hub
                ],
            }
            for name, expected in wanted.items():
                value = values[name][names.index(null), one, layer]
                np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_memory_does_not_grow_with_sequences(setting: Setting) -> None:
    few, _, _ = diagnosed(setting, 2)
    many, _, _ = diagnosed(setting, 16)
    a, b = few.memory_analysis(), many.memory_analysis()
    # What is kept, a few numbers per sequence, may be held once more beside the output.
    grown = b.output_size_in_bytes - a.output_size_in_bytes
    assert b.temp_size_in_bytes - a.temp_size_in_bytes <= 2 * grown


def test_memory_of_a_measurement_does_not_grow_with_its_batches(
    setting: Setting,
) -> None:
    experiment = setting.experiment
    geometry = experiment.task.geometry()

    def compiled(sequences: int) -> Any:
        batch = experiment.task.held_out(jax.random.key(0), sequences)
        program = jax.jit(
            lambda params, knobs, batch: measure(
                experiment.spec.model, "token", params, knobs, geometry, *batch
            )
        )
        lowered = program.lower(setting.params[0], setting.knobs, batch)
        return lowered.compile().memory_analysis()

    few, many = compiled(8), compiled(64)
    grown = many.output_size_in_bytes - few.output_size_in_bytes
    assert many.temp_size_in_bytes - few.temp_size_in_bytes <= 2 * grown


def test_sequences_trained_in_segments_are_diagnosed_whole(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(tiny)
    config.router = ConfigDict({"name": "rwkv4"})
    setting = build(config)
    whole, arguments, _ = diagnosed(setting, 1)
    monkeypatch.setattr("routers.rwkv.RWKV4.segment", 4)
    segments, _, _ = diagnosed(setting, 1)
    jax.tree.map(np.testing.assert_array_equal, whole(*arguments), segments(*arguments))


def test_a_missing_neutral_value_is_named(tiny: dict[str, Any]) -> None:
    experiment = build_experiment(configure(tiny, **{"sweep.zero": False}))
    variants, absent = variants_of(experiment)
    assert "post_hoc" not in {variant.name for variant in variants}
    assert absent["post_hoc"].startswith(
        "post_hoc needs members trained at token.brake=0"
    )


def test_reductions_leave_out_what_is_not_defined() -> None:
    values = np.asarray([[[1.0, np.nan], [-3.0, 2.0]], [[np.nan] * 2] * 2])
    for extreme, wanted in (("max", 2), ("min", -3), ("mean", 0), ("absmax", -3)):
        np.testing.assert_array_equal(reduce(values, extreme), [wanted, np.nan])
    averaged = mean(np.asarray([[[1.0, 3.0, np.nan], [np.nan] * 3]]))
    np.testing.assert_array_equal(averaged, [[2.0, np.nan]])
    hubs = np.asarray([0.0, 3.0, 3.0, 1.0]).reshape(1, 1, 4, 1, 1)
    mode, share = most_common(hubs)
    assert (mode.item(), share.item()) == (3.0, 0.5)


def test_every_measure_has_a_reduction_and_a_hub_has_none() -> None:
    diagnosis = Diagnosis(0, ("",), {}, {HUB: np.zeros((1, 1, 1, 1, 1))})
    with pytest.raises(ValueError, match="no number of the whole model"):
        diagnosis.model(HUB)
    for name, extreme in REDUCE.items():
        assert reduction(name) == extreme
    assert reduction(ENTROPY) == "min"  # the valley over depth
    assert reduction("stream/massive_activation") == "max"
    assert reduction("stream/hub_feature_norm") == "absmax"


@pytest.mark.parametrize("name", ROUTERS)
def test_variants_are_one_mechanism_for_every_router(name: str) -> None:
    router, _ = ROUTERS[name]
    variants, _ = diagnostic_variants(router, sorted(router.kinds)[0], None)
    names = [variant.name for variant in variants]
    assert len(set(names)) == len(names)
    assert names[:3] == list(VARIANTS)
