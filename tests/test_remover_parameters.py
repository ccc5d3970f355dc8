"""Parameters of the remover that are set after fit, and what partial_fit takes of them."""

import pickle

import numpy as np
import pytest

from passive_pruner import PassiveVariableRemover
from passive_pruner.datasets import make_posterior


@pytest.fixture(scope="module")
def posterior():
    types = ["active", "passive", "mixed", "active", "passive", "rare"]
    return make_posterior(types, 1000, random_state=0)[0]


def columns_for(criterion, posterior):
    return posterior.mean if criterion in ("active_units", "entropy") else np.hstack(posterior)


def results(remover, X):
    return {
        "support": remover.get_support().tolist(),
        "codes": remover.transform(X).tolist(),
        "types": remover.variable_types_.tolist(),
        "report": remover.report_.to_csv(),
        "summary": remover.summary(),
        "names": remover.get_feature_names_out().tolist(),
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"threshold": 0},
        {"threshold": 0.9},
        {"threshold": 1e9},
        {"criterion": "kl", "threshold": 0.05},
        {"criterion": "active_units"},
        {"criterion": "entropy"},
        {"drop": ("passive", "mixed")},
        {"criterion": "nothing", "drop": None, "threshold": "none"},
    ],
)
def test_parameters_set_after_fit_act_nowhere_until_the_next_fit(parameters, posterior):
    X = np.hstack(posterior)
    remover = PassiveVariableRemover(criterion="variance").fit(X)
    before = results(remover, X)
    remover.set_params(**parameters)
    assert results(remover, X) == before
    assert results(pickle.loads(pickle.dumps(remover)), X) == before
    with pytest.raises(ValueError, match=r"under criterion=.variance. with threshold=0\.1,"):
        PassiveVariableRemover(criterion="variance").partial_fit(X[:, [1, 7]]).set_params(
            **parameters
        ).get_support()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"criterion": "variance"}, {"threshold": 0.5}),
        ({"criterion": "variance"}, {"drop": ["passive", "mixed"]}),
        ({"criterion": "variance"}, {"criterion": "kl", "threshold": 0.02}),
        ({"criterion": "kl"}, {"criterion": "variance", "drop": ("passive", "mixed")}),
        ({"criterion": "active_units"}, {"threshold": 0}),
    ],
)
def test_partial_fit_takes_what_can_change(first, then, posterior):
    X = columns_for(first["criterion"], posterior)
    stream = PassiveVariableRemover(**first).partial_fit(X[:300])
    stream.set_params(**then).partial_fit(X[300:])
    whole = PassiveVariableRemover(**{**first, **then}).fit(X)
    np.testing.assert_array_equal(stream.variable_types_, whole.variable_types_)
    np.testing.assert_array_equal(stream.get_support(), whole.get_support())
    assert (stream.threshold_, stream.criterion_, stream.drop_) == (
        then.get("threshold", 0.1),
        stream.criterion,
        tuple(stream.drop),
    )


def test_partial_fit_after_entropy_goes_on_with_active_units(posterior):
    stream = PassiveVariableRemover(criterion="entropy").fit(posterior.mean[:300])
    stream.set_params(criterion="active_units").partial_fit(posterior.mean[300:])
    whole = PassiveVariableRemover().fit(posterior.mean)
    np.testing.assert_array_equal(stream.variable_types_, whole.variable_types_)


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ("active_units", "variance", "criterion='variance', as .* by 'active_units'"),
        ("kl", "active_units", "criterion='active_units', as .* by 'kl'"),
        ("active_units", "entropy", "entropy needs the mean codes of all rows at once"),
    ],
)
def test_partial_fit_refuses_what_cannot_change_by_name(first, then, message, posterior):
    X = columns_for(first, posterior)
    remover = PassiveVariableRemover(criterion=first).partial_fit(X)
    before = results(remover, X)
    remover.set_params(criterion=then)
    with pytest.raises(ValueError, match=message):
        remover.partial_fit(X)
    assert results(remover, X) == before


def test_states_without_fitted_parameters_are_read_by_their_parameters(posterior):
    remover = PassiveVariableRemover(threshold=0.2, drop=["passive"]).fit(posterior.mean)
    state = remover.__getstate__()
    for name in ("threshold_", "criterion_", "drop_"):
        del state[name]
    older = PassiveVariableRemover.__new__(PassiveVariableRemover)
    older.__setstate__(state)
    assert results(older, posterior.mean) == results(remover, posterior.mean)
