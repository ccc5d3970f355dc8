"""Truths about what a notebook shows: parameters, fitted attributes and components, with links."""

import re
from html import escape

import numpy as np
import pytest
from conftest import small_encoder
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner._common import _documentation
from passive_pruner.datasets import make_posterior
from passive_pruner.vae import BetaVAE

pytest.importorskip("sklearn.utils._repr_html", reason="tables came with scikit-learn 1.7")
ADDRESS = "https://docs.example/stable"


@pytest.fixture
def documented(monkeypatch):
    monkeypatch.setattr(_documentation, "documentation_url", lambda: ADDRESS)


def titles(html):
    """Titles of the boxes."""
    return re.findall(r"<label[^>]*><div><div>(.*?)</div>", html)


def rows(html):
    """Names of the parameters and attributes in the tables."""
    cells = re.findall(r'<td class="param">(.*?)</td>', html, re.DOTALL)
    return {re.sub(r"<span.*</span>|<[^>]*>", "", cell, flags=re.DOTALL).strip() for cell in cells}


def test_unfitted_encoder_shows_its_parameters():
    html = VAEEncoder()._repr_html_()
    assert titles(html) == ["VAEEncoder"]
    assert rows(html) == VAEEncoder().get_params().keys()
    assert "Not fitted" in html


def test_components_are_shown_inside():
    html = VAEEncoder(objective=BetaVAE(beta=3.0), likelihood="bernoulli")._repr_html_()
    assert titles(html) == ["VAEEncoder", "objective: BetaVAE", "BetaVAE"]
    assert "beta" in rows(html)


def test_fitted_encoder_shows_attributes_and_the_components_in_use(fitted_encoder):
    html = fitted_encoder._repr_html_()
    assert titles(html)[::2] == ["VAEEncoder", "BetaVAE", "Gaussian", "MLP"]
    attributes = {name for name in vars(fitted_encoder) if name.endswith("_")}
    assert attributes <= rows(html)
    assert "vaeencoder0_variance" in html


def test_fitted_remover_shows_its_attributes(fitted_encoder, cancer):
    remover = PassiveVariableRemover(criterion="variance")
    html = remover.fit(fitted_encoder.transform(cancer[0]))._repr_html_()
    assert rows(html) >= {"threshold", "alpha", "alpha_", "variable_types_", "report_", "moments_"}


@pytest.mark.parametrize("params", [{}, {"alpha": 0.05}])
def test_fitted_remover_shows_all_types_and_its_summary(params):
    posterior, _ = make_posterior(["active", "passive", "active"] * 10, random_state=0)
    remover = PassiveVariableRemover(**params).fit(posterior.mean)
    html = remover._repr_html_()
    assert escape(remover.summary()) in html
    for type_ in set(remover.variable_types_):
        numbers = ", ".join(map(str, np.flatnonzero(remover.variable_types_ == type_)))
        assert f"{type_}: {numbers}" in html.replace("\n", " ")
        assert f"{np.sum(remover.variable_types_ == type_)} {type_}" in titles(html)[1]
    assert titles(PassiveVariableRemover()._repr_html_()) == ["PassiveVariableRemover"]


def test_fitted_encoder_shows_its_summary(fitted_encoder):
    assert escape(fitted_encoder.summary()) in fitted_encoder._repr_html_()
    keep = [0, 3]
    pruned = fitted_encoder.pruned(keep)
    assert [line.split()[0] for line in pruned.summary().splitlines()[-2:]] == ["0", "3"]


def test_the_summary_is_of_the_epoch_that_is_the_model(cancer):
    encoder = small_encoder(max_steps=300, n_iter_no_change=1).fit(cancer[0])
    (record,) = (r for r in encoder.history_ if r["epoch"] == encoder.best_epoch_)
    text = encoder.summary()
    assert f"the model is that of epoch {encoder.best_epoch_}." in text
    assert f"ELBO {record['elbo']:.4g} nats per row on held-out rows" in text
    assert f"{np.sum(record['variance_of_mean'] > 0.1)} with Var(mu) above 0.1" in text
    encoder.partial_fit(cancer[0])
    assert "on training rows" in encoder.summary()
    with pytest.raises(NotFittedError):
        VAEEncoder().summary()


def test_pipeline_shows_the_boxes_of_its_steps():
    pipe = make_pipeline(small_encoder(), PassiveVariableRemover(), LinearRegression())
    shown = titles(pipe._repr_html_())
    assert shown[0] == "Pipeline"
    assert shown[-2:] == ["PassiveVariableRemover", "LinearRegression"]
    assert {"vaeencoder: VAEEncoder", "architecture: MLP"} <= set(shown)


def test_links_lead_to_the_pages_of_the_reference(documented):
    html = VAEEncoder(objective=BetaVAE())._repr_html_()
    for page in ("passive_pruner.VAEEncoder", "passive_pruner.vae.BetaVAE"):
        assert f'href="{ADDRESS}/api/generated/{page}.html' in html
    assert f"{ADDRESS}/api/generated/passive_pruner.VAEEncoder.html#:~:text=max_steps" in html


def test_without_an_address_there_are_no_links(monkeypatch):
    monkeypatch.setattr(_documentation, "documentation_url", lambda: "")
    assert "href=" not in VAEEncoder(objective=BetaVAE())._repr_html_()


def test_classes_of_users_are_not_in_the_reference(documented):
    class Own(PassiveVariableRemover):
        pass

    assert Own()._get_doc_link() == ""


@pytest.mark.parametrize(
    ("urls", "address"),
    [
        (["Homepage, https://a.example", f"Documentation, {ADDRESS}/"], ADDRESS),
        (["Homepage, https://a.example"], ""),
        (None, ""),
    ],
)
def test_the_address_is_that_of_the_metadata(monkeypatch, urls, address):
    class Metadata:
        def get_all(self, name):
            return urls if name == "Project-URL" else None

    monkeypatch.setattr(_documentation, "metadata", lambda name: Metadata())
    assert _documentation.documentation_url.__wrapped__() == address
