"""compare_pruning: the numbers are those of the pipelines that it saves fitting, and the verdicts
are true as often as they claim."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from conftest import small_encoder
from scipy.stats import ttest_rel
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.fixes import parse_version

from passive_pruner import PassiveVariableRemover, PretrainedEncoder
from passive_pruner.study import compare_pruning
from passive_pruner.study._comparison import FoldScores, compare_folds

CLASSES = np.repeat([0, 1, 2], 40)


def posteriors(seed=0, n_active=2, n_passive=8, signal_in_passive=False):
    """Rows [mean | variance] of active variables, then passive ones, and three classes.

    The classes are in the active variables, or in what is left of the means of passive ones.
    """
    rng = np.random.default_rng(seed)
    active = rng.standard_normal((len(CLASSES), n_active))
    passive = rng.standard_normal((len(CLASSES), n_passive))
    (passive if signal_in_passive else active)[:, 0] += 4 * CLASSES
    mean = np.hstack([active / active.std(axis=0), 0.1 * passive / passive.std(axis=0)])
    variance = np.broadcast_to(np.repeat([0.01, 0.99], [n_active, n_passive]), mean.shape)
    return np.hstack([mean, variance])


def pipeline(*steps, **params):
    encoder = PretrainedEncoder(second_output="variance", **params)
    return make_pipeline(encoder, PassiveVariableRemover(), *steps)


def at_threshold(pipe, threshold):
    return sklearn.clone(pipe).set_params(passivevariableremover__threshold=threshold)


@pytest.mark.parametrize(
    "model, scoring, y",
    [
        (LogisticRegression(), None, CLASSES),
        (Ridge(), None, CLASSES + 0.1 * np.arange(120)),
        (KMeans(3, n_init=2, random_state=0), "adjusted_rand_score", CLASSES),
        (KNeighborsClassifier(), "neg_log_loss", CLASSES.astype(str)),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("frame", [False, True])
def test_scores_are_those_of_the_pipelines(model, scoring, y, frame):
    X = posteriors()
    pipe = pipeline(StandardScaler(), model)
    if frame:
        X = pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
        pipe.set_output(transform="pandas")
    cv = KFold(4, shuffle=True, random_state=0)
    thresholds = (0.1, 0, 0.005)
    table = compare_pruning(pipe, X, y, cv=cv, scoring=scoring, thresholds=thresholds)
    assert type(table).__mro__[1] is pd.DataFrame
    assert table["threshold"].tolist() == list(thresholds)
    assert table["n_kept"].tolist() == [2, 10, 10]
    everything, *pruned = (
        cross_val_score(at_threshold(pipe, t), X, y, cv=cv, scoring=scoring)
        for t in (0, *thresholds)
    )
    for row, scores in zip(table.itertuples(), pruned, strict=True):
        assert row.score_all == pytest.approx(everything.mean(), rel=1e-6)
        assert row.score_pruned == pytest.approx(scores.mean(), rel=1e-6)
        assert row.difference == pytest.approx((scores - everything).mean(), abs=1e-6)
        # Independent folds of a paired t test, and the factor of Nadeau and Bengio.
        if np.ptp(scores - everything):
            independent = row.difference / ttest_rel(scores, everything).statistic
            assert row.standard_error == pytest.approx(
                independent * np.sqrt(1 + 4 * 30 / 90), rel=1e-3
            )
        else:
            assert row.standard_error == pytest.approx(0, abs=1e-12)
    assert (table["score_random"][1:] == table["score_all"][1:]).all()  # of all there is one


def test_an_encoder_is_trained_once_per_fold_and_models_once_per_choice(monkeypatch):
    fits = []
    for cls in (PretrainedEncoder, GaussianNB):

        def fit(self, X, y=None, fit=cls.fit, **params):
            fits.append(type(self).__name__)
            return fit(self, X, y, **params)

        monkeypatch.setattr(cls, "fit", fit)
    pipe = pipeline(GaussianNB())
    compare_pruning(
        pipe, posteriors(), CLASSES, cv=3, thresholds=(0.05, 0.1, 0.2, 0), random_state=0
    )
    # All variables, the two that every threshold keeps, and two at random.
    assert fits.count("PretrainedEncoder") == 3
    assert fits.count("GaussianNB") == 9
    assert not hasattr(pipe[0], "n_components_")


@pytest.mark.parametrize("seed", range(4))
def test_verdicts_name_what_is_built_in(seed):
    clusters = KMeans(3, n_init=3)
    helped = compare_pruning(
        pipeline(StandardScaler(), clusters), posteriors(seed, 1, 30), CLASSES,
        scoring="adjusted_rand_score", random_state=seed,
    )  # fmt: skip
    assert helped["verdict"].tolist() == ["helps"]
    assert helped.fewest == 0.1
    assert helped["score_random"][0] < helped["score_pruned"][0]
    hurt = compare_pruning(
        pipeline(StandardScaler(), LogisticRegression()),
        posteriors(seed, 2, 3, signal_in_passive=True), CLASSES, random_state=seed,
    )  # fmt: skip
    assert hurt["verdict"].tolist() == ["hurts"]
    assert hurt.fewest == 0


def scores_of_chance(seed, n=60, k=5):
    """Folds of a classifier by centroids, on noise: of 12 columns, and of fewer and fewer."""
    rng = np.random.default_rng(seed)
    X, y, fold = rng.standard_normal((n, 12)), rng.permutation(n) % 2, rng.permutation(n) % k
    for test in (fold == i for i in range(k)):
        centroids = np.array([X[~test & (y == c)].mean(axis=0) for c in (0, 1)])
        distances = (X[test, np.newaxis] - centroids) ** 2
        everything, *fewer = (
            (distances[..., :width].sum(axis=2).argmin(axis=1) == y[test]).mean()
            for width in (12, 9, 6, 3)
        )
        yield FoldScores(n - n // k, n // k, 12, [9, 6, 3], everything, fewer, fewer, [], {})


def test_chance_is_seldom_called_an_effect():
    """At most in 5 % of the tables, though each has three thresholds that could be."""
    n_tables, called, without_correction = 300, 0, 0
    for seed in range(n_tables):
        folds = list(scores_of_chance(seed))
        table = compare_folds(folds, np.array([0.02, 0.06, 0.15]), None)
        called += (table["verdict"] != "undecided").any()
        everything, fewest = np.transpose([(f.all_variables, f.pruned[-1]) for f in folds])
        if np.ptp(everything - fewest):
            without_correction += ttest_rel(fewest, everything).pvalue <= 0.05
    assert called <= 0.05 * n_tables
    assert without_correction > 1.5 * 0.05 * n_tables


def test_a_threshold_that_leaves_nothing_has_a_row():
    X = posteriors(n_active=1)
    # The only active variable has all its variance in rows that the first fold tests.
    X[:, 0] = np.repeat([1, 0.1], [40, 80]) * np.random.default_rng(0).standard_normal(120)
    cv = [(np.arange(40, 120), np.arange(40)), (np.arange(80), np.arange(80, 120))]
    pipe = pipeline(KNeighborsClassifier())
    table = compare_pruning(pipe, X, CLASSES % 2, cv=cv, thresholds=(0, 0.1, 9))
    assert table["n_kept"].tolist() == [9, 0.5, 0]
    assert table["score_pruned"].isna().tolist() == [False, True, True]
    assert table["verdict"].tolist() == ["undecided"] * 3
    assert np.isfinite(table["score_all"]).all()
    assert "Threshold 0.1 leaves no variable in 1 of 2 folds" in str(table)
    assert "Threshold 9 leaves no variable in 2 of 2 folds" in str(table)
    assert table.fewest == 0


def test_a_remover_is_put_behind_an_encoder_that_has_none():
    X, model = posteriors(), LogisticRegression()
    encoder = PretrainedEncoder(second_output="variance")
    options = {"thresholds": (0.05, 0.1), "random_state": 0}
    expected = compare_pruning(pipeline(model), X, CLASSES, **options)
    for same in (
        make_pipeline(encoder, model),
        make_pipeline(make_pipeline("passthrough", encoder), make_pipeline(model)),
        make_pipeline(encoder, "passthrough", PassiveVariableRemover(threshold=7), model),
        make_pipeline(PretrainedEncoder(second_output="variance", add_variance=True), model),
    ):
        found = compare_pruning(same, X, CLASSES, **options)
        pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(expected))


def test_criterion_and_drop_of_the_remover_decide():
    X = posteriors(n_active=3)
    X[::2, 10] = 1  # the second half of whose rows is sure: a mixed variable
    X[::2, -1], X[1::2, -1] = 0.05, 1
    remover = PassiveVariableRemover(criterion="variance", drop=("passive", "mixed"))
    encoder = PretrainedEncoder(second_output="variance", add_variance=True)
    table = compare_pruning(make_pipeline(encoder, remover, GaussianNB()), X, CLASSES)
    assert table["n_kept"].tolist() == [3]
    remover.set_params(drop=("passive",))
    table = compare_pruning(make_pipeline(encoder, remover, GaussianNB()), X, CLASSES)
    assert table["n_kept"].tolist() == [4]


def test_a_search_stands_for_its_choice():
    X = posteriors()
    pipe = pipeline(LogisticRegression())
    grid = {"logisticregression__C": [1e-4, 1.0], "passivevariableremover__threshold": [0, 0.1]}
    search = GridSearchCV(pipe, grid, cv=3)
    with pytest.raises(
        ValueError, match=r"not fitted, .* \['logisticregression__C'\] is not known"
    ):
        compare_pruning(search, X, CLASSES)
    chosen = sklearn.clone(pipe).set_params(logisticregression__C=1.0)
    expected = compare_pruning(chosen, X, CLASSES, random_state=0)
    for refit in (True, False):
        fitted = search.set_params(refit=refit).fit(X, CLASSES)
        found = compare_pruning(fitted, X, CLASSES, random_state=0)
        pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(expected))
    # All that an unfitted search would choose is the threshold, which is compared anyway.
    del grid["logisticregression__C"]
    found = compare_pruning(GridSearchCV(chosen, grid), X, CLASSES, random_state=0)
    pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(expected))


def test_a_search_at_the_end_chooses_for_every_subset():
    inner = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 5]}, cv=2)
    table = compare_pruning(pipeline(inner), posteriors(), CLASSES, cv=3)
    assert table["score_pruned"][0] > 0.9
    assert "KNeighborsClassifier" in table.notes[-1]


def test_encoders_that_are_frozen_are_not_trained(monkeypatch):
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    encoder = small_encoder(max_steps=20).fit(X)
    monkeypatch.setattr(type(encoder), "fit", None)
    pipe = make_pipeline(FrozenEstimator(encoder), PassiveVariableRemover(), GaussianNB())
    table = compare_pruning(pipe, X, y, random_state=0)
    expected = cross_val_score(GaussianNB(), encoder.transform(X), y).mean()
    assert table["score_all"][0] == pytest.approx(expected)


def test_seeds_repeat_a_comparison_and_are_paired():
    X, y = load_wine(return_X_y=True)
    pipe = make_pipeline(
        StandardScaler(),
        small_encoder(max_steps=20, random_state=None),
        KMeans(3, n_init=1),
    )
    options = {"cv": 3, "scoring": "adjusted_rand_score", "thresholds": (0, 0.1, 0.3)}
    first = compare_pruning(pipe, X, y, **options, random_state=0)
    again = compare_pruning(pipe, X, y, **options, random_state=0)
    pd.testing.assert_frame_equal(first, again)
    assert first["difference"][0] == first["standard_error"][0] == 0
    other = compare_pruning(pipe, X, y, **options, random_state=1)
    assert not first.equals(other)
    # What is asked besides changes nothing but the verdicts, which share their level.
    alone = compare_pruning(pipe, X, y, **{**options, "thresholds": (0.3,)}, random_state=0)
    same = ["n_kept", "score_all", "score_pruned", "score_random", "standard_error"]
    assert alone[same].iloc[0].tolist() == first[same].iloc[2].tolist()


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_metadata_goes_where_it_is_meant_to(routing, nested):
    X, rng = posteriors(), np.random.default_rng(0)
    y = rng.permutation(CLASSES)
    groups, weights = rng.integers(0, 6, len(y)), rng.integers(0, 2, len(y)).astype(float)
    # A variable that is active in rows without weight only.
    X[weights == 0, 2] *= 20
    with sklearn.config_context(enable_metadata_routing=routing):
        model, scaler, remover = GaussianNB(), StandardScaler(), PassiveVariableRemover()
        if routing:
            remover.set_fit_request(sample_weight=True)
            model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            scaler.set_fit_request(sample_weight=True)
        steps = [("scale", scaler), ("model", model)]
        steps = [("rest", Pipeline(steps))] if nested else steps
        encoder = PretrainedEncoder(second_output="variance")
        pipe = Pipeline([("enc", encoder), ("prune", remover), *steps])
        params = {"sample_weight": weights}
        if not routing:
            prefix = "rest__" if nested else ""
            params = {f"{prefix}{name}__sample_weight": weights for name in ("scale", "model")}
            params["prune__sample_weight"] = weights
        params["groups"] = groups
        # Before scikit-learn 1.8 the score of a pipeline itself asks for no metadata.
        scorer = "accuracy"
        if routing:
            scorer = get_scorer(scorer).set_score_request(sample_weight=True)
            if parse_version(sklearn.__version__) >= parse_version("1.8"):
                scorer = None
        table = compare_pruning(pipe, X, y, cv=GroupKFold(3), params=params, scoring=scorer)
        assert table["n_kept"][0] == 2
        for column, threshold in (("score_all", 0), ("score_pruned", 0.1)):
            pipe.set_params(prune__threshold=threshold)
            scores = []
            for train, test in GroupKFold(3).split(X, y, groups):
                fitted = pipe.fit(
                    X[train], y[train],
                    **{k: v[train] for k, v in params.items() if k != "groups"},
                )  # fmt: skip
                score = {"sample_weight": weights[test]} if routing else {}
                scores.append(fitted.score(X[test], y[test], **score))
            assert table[column][0] == pytest.approx(np.mean(scores))


def test_classes_are_stratified_for_clusters_too():
    """Labels that are sorted would leave test rows of a single class."""
    X = posteriors()
    pipe = pipeline(KMeans(3, n_init=2, random_state=0))
    found = compare_pruning(pipe, X, CLASSES, cv=3, scoring="adjusted_rand_score")
    scores = cross_val_score(
        at_threshold(pipe, 0), X, CLASSES, cv=StratifiedKFold(3), scoring="adjusted_rand_score"
    )
    assert found["score_all"][0] == pytest.approx(scores.mean())
    repeated = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)
    assert len(compare_pruning(pipe, X, CLASSES, cv=repeated, scoring="rand_score")) == 1
    single = compare_pruning(
        pipe, X, CLASSES, cv=[(np.arange(0, 120, 2), np.arange(1, 120, 2))], scoring="rand_score"
    )
    assert np.isnan(single["standard_error"][0])
    assert single["verdict"][0] == "undecided"


def test_random_variables_that_are_constant_are_no_matter_of_the_user():
    X = posteriors()
    X[:, 2:10] = 0  # exactly, as of variables that training has left at the prior
    table = compare_pruning(
        pipeline(KMeans(3, n_init=2, random_state=0)), X, CLASSES, cv=3, scoring="rand_score",
        random_state=0,
    )  # fmt: skip
    assert table["score_random"][0] < table["score_pruned"][0]


def test_fits_that_fail_cost_their_scores_only():
    def only_many(X):
        if X.shape[1] < 3:
            raise np.linalg.LinAlgError("singular")
        return X

    pipe = pipeline(FunctionTransformer(only_many), GaussianNB())
    with pytest.warns(FitFailedWarning, match=r"6 fits failed, .* LinAlgError: singular"):
        table = compare_pruning(pipe, posteriors(), CLASSES, cv=3, random_state=0)
    assert table[["score_pruned", "score_random", "difference"]].isna().all(axis=None)
    assert table["score_all"][0] > 0.9
    assert table["verdict"][0] == "undecided"
    with pytest.raises(ValueError, match="solver must be one of"):
        compare_pruning(pipeline(LogisticRegression(solver="newton")), posteriors(), CLASSES)


def test_a_cache_of_a_search_is_used(tmp_path, monkeypatch):
    X, y = load_wine(return_X_y=True)
    steps = [
        StandardScaler(),
        small_encoder(max_steps=20),
        PassiveVariableRemover(),
        GaussianNB(),
    ]
    pipe = make_pipeline(*steps, memory=str(tmp_path))
    GridSearchCV(pipe, {"passivevariableremover__threshold": [0, 0.1]}, cv=3, refit=False).fit(X, y)
    monkeypatch.setattr(type(steps[1]), "fit", None)
    assert len(compare_pruning(pipe, X, y, cv=3)) == 1


def test_callbacks_of_the_pipeline_see_every_training(capsys):
    callback = pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")
    X, y = load_wine(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), small_encoder(max_steps=20), GaussianNB())
    compare_pruning(pipe.set_callbacks(callback.ProgressBar()), X, y, cv=3)
    assert capsys.readouterr().out.count("VAEEncoder") >= 3


def test_scores_without_the_encoder_are_those_of_the_same_steps():
    X, y = load_wine(return_X_y=True)
    cv = StratifiedKFold(3)
    steps = [StandardScaler(), small_encoder(n_components=6, max_steps=10), GaussianNB()]
    table = compare_pruning(make_pipeline(*steps), X, y, cv=cv, random_state=0)
    for name, pipe in {
        "columns": make_pipeline(StandardScaler(), GaussianNB()),
        "PCA": make_pipeline(StandardScaler(), PCA(6, random_state=0), GaussianNB()),
    }.items():
        expected = cross_val_score(pipe, X, y, cv=cv).mean()
        assert table.without_encoder[name] == pytest.approx(expected)
        assert f"{expected:.4g}" in str(table)
    assert "Without the encoder" not in str(
        compare_pruning(pipeline(GaussianNB()), posteriors(), CLASSES)
    )


def test_what_is_shown_is_followed_by_notes():
    X = posteriors(n_active=1)
    options = {"scoring": "adjusted_rand_score", "thresholds": (0.05, 0.1)}
    raw = compare_pruning(pipeline(KMeans(3, n_init=1)), X, CLASSES, **options)
    scaled = compare_pruning(pipeline(StandardScaler(), KMeans(3, n_init=1)), X, CLASSES, **options)
    assert any("No scaler comes before KMeans" in note for note in raw.notes)
    assert not any("scaler" in note for note in scaled.notes)
    words = " ".join(str(raw).split())
    assert all(note in words for note in raw.notes)
    assert max(map(len, str(raw).splitlines())) <= 100
    assert all(note in raw._repr_html_() for note in raw.notes)
    loaded = pickle.loads(pickle.dumps(raw))
    assert (loaded.notes, loaded.fewest, str(loaded)) == (raw.notes, raw.fewest, str(raw))
    # What is made of it says nothing that holds for the whole table only.
    assert type(raw[raw["threshold"] > 0.05]) is type(raw.round(2)) is pd.DataFrame


@pytest.mark.parametrize(
    "pipe, options, message",
    [
        (make_pipeline(StandardScaler(), GaussianNB()), {}, "got StandardScaler, GaussianNB"),
        (GaussianNB(), {}, "needs a Pipeline .*, got GaussianNB"),
        (pipeline(), {}, "a model behind the codes, .* last step is PassiveVariableRemover"),
        (pipeline(KMeans(3)), {}, "scoring=None takes KMeans.score"),
        (pipeline(DBSCAN()), {"scoring": "rand_score"}, "DBSCAN has no method 'predict'"),
        (pipeline(PassiveVariableRemover(), GaussianNB()), {}, "one .*Remover, got 2"),
        (pipeline(GaussianNB()), {"thresholds": ()}, "at least one number"),
        (pipeline(GaussianNB()), {"thresholds": (0.1, -1)}, "at least 0, got"),
        (pipeline(GaussianNB()), {"thresholds": (None,)}, "finite and at least 0"),
        (pipeline(GaussianNB()), {"thresholds": 0.1}, "'thresholds' parameter"),
        (pipeline(GaussianNB()), {"scoring": ["accuracy"]}, "'scoring' parameter"),
        (pipeline(GaussianNB()), {"cv": []}, "makes no split"),
        (
            make_pipeline(FunctionTransformer(np.square), PassiveVariableRemover(), GaussianNB()),
            {},
            "compares mean codes with the prior",
        ),
    ],
)
def test_errors_name_what_to_do(pipe, options, message):
    with pytest.raises(ValueError, match=message):
        compare_pruning(pipe, 3 * posteriors(), CLASSES, **options)


@pytest.mark.parametrize("score", ["high", np.ones(1), None])
def test_a_score_that_is_no_number_is_named(score):
    with pytest.raises(ValueError, match="scoring must return a number, got"):
        compare_pruning(pipeline(GaussianNB()), posteriors(), CLASSES, scoring=lambda *_: score)


@pytest.mark.parametrize("name", ["clf__sample_weight", "sample_weight"])
def test_metadata_of_no_step_is_refused(name):
    X, y = load_iris(return_X_y=True)
    pipe = make_pipeline(PassiveVariableRemover(), LogisticRegression(max_iter=500))
    with pytest.raises(ValueError, match=f"params has '{name}'.*logisticregression"):
        compare_pruning(pipe, X - X.mean(axis=0), y, params={name: np.ones(len(y))})


def test_a_difference_that_is_the_same_in_all_folds_shows_nothing():
    rng = np.random.default_rng(149)
    X, y = rng.normal(size=(20, 6)) * [1, 1, 1, 0.1, 0.1, 0.1], np.arange(20) % 2
    pipe = make_pipeline(
        PassiveVariableRemover(), DecisionTreeClassifier(max_depth=2, random_state=0)
    )
    table = compare_pruning(pipe, X, y, cv=2, random_state=0)
    assert table["difference"][0] != 0
    assert table["standard_error"][0] == 0
    assert table["verdict"][0] == "undecided"
    assert "same difference in all folds" in str(table)


def test_a_frozen_remover_is_one():
    pipe, X = pipeline(GaussianNB()), posteriors()
    frozen = make_pipeline(pipe[0], FrozenEstimator(PassiveVariableRemover()), GaussianNB())
    tables = [compare_pruning(one, X, CLASSES, random_state=0) for one in (pipe, frozen)]
    pd.testing.assert_frame_equal(*tables)


def test_names_of_steps_do_not_matter():
    X, y = load_wine(return_X_y=True)
    pipes = [
        Pipeline([("encoder", small_encoder()), (name, StandardScaler()), ("nb", GaussianNB())])
        for name in ("scaler", "read")
    ]
    scores = [compare_pruning(p, X, y, cv=2, random_state=0).without_encoder for p in pipes]
    assert scores[0] == scores[1]
    assert np.isfinite(list(scores[0].values())).all()


@pytest.mark.parametrize("value, difference", [(True, 0), (np.float32(0.5), 0), (-np.inf, np.nan)])
def test_scores_of_any_kind_of_number(value, difference):
    table = compare_pruning(pipeline(GaussianNB()), posteriors(), CLASSES, scoring=lambda *_: value)
    np.testing.assert_array_equal(table["difference"], [difference])
    assert table["verdict"].tolist() == ["undecided"]
