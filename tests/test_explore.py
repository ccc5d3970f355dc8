"""Truths about the explorer: its numbers are the remover's, and nothing leaves this machine."""

import json
import pickle
import re
import shutil
import socket
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_regression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, VAEEncoder
from passive_pruner.datasets import make_posterior
from passive_pruner.explore import Explorer, _explorer, _values, explore
from passive_pruner.explore import __main__ as command
from passive_pruner.explore.__main__ import load_data, load_model, main
from passive_pruner.explore._page import make_page
from passive_pruner.explore._values import MAX_ROWS, compute_values
from passive_pruner.metrics import gaussian_total_correlation
from passive_pruner.regime import CRITERIA, Criterion

pytest.importorskip("plotly", reason="the extra explore is not installed")
skops_io = pytest.importorskip("skops.io", reason="the extra persistence is not installed")

THRESHOLDS = [0.02, 0.1, 0.5, 2.0]


@pytest.fixture(scope="module")
def table(cancer):
    X, y = cancer
    return pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])]).assign(y=y)


@pytest.fixture(scope="module")
def pipe(table, fitted_encoder):
    """Scaler, encoder, remover and classifier, fitted on columns with names."""
    X, y = table.drop(columns="y"), table["y"]
    remover = PassiveVariableRemover(criterion="variance", threshold=0.15)
    codes = fitted_encoder.transform(X.to_numpy())
    steps = [
        ("scale", StandardScaler().fit(X)),
        ("enc", fitted_encoder),
        ("prune", remover.fit(codes)),
        ("clf", LogisticRegression().fit(remover.transform(codes), y)),
    ]
    return Pipeline(steps)


@pytest.fixture(scope="module")
def values(pipe, table):
    return compute_values(pipe, table.drop(columns="y"), table["y"], thresholds=THRESHOLDS, cv=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory, pipe, table):
    folder = tmp_path_factory.mktemp("explore")
    skops_io.dump(pipe, folder / "model.skops")
    table.to_parquet(folder / "data.parquet")
    table.to_csv(folder / "data.csv", index=False)
    return folder


@pytest.mark.parametrize("criterion", sorted(CRITERIA))
def test_values_are_those_of_a_remover_fitted_at_the_threshold(values, pipe, table, criterion):
    columns = pipe[:2].transform(table.drop(columns="y"))
    means = columns[:, :8]
    assert values["thresholds"] == sorted([0, 0.15, *THRESHOLDS])
    of_criterion = values["criteria"][criterion]
    for i, threshold in enumerate(values["thresholds"]):
        remover = PassiveVariableRemover(criterion=criterion, threshold=threshold)
        given = means if criterion in ("active_units", "entropy") else columns
        if criterion == "explained_variance":
            given = means * pipe[1].code_scale_
        kept = np.array(of_criterion["kept"][i])
        if not kept.any():
            with pytest.raises(ValueError, match="none is left"):
                remover.fit(given)
            assert of_criterion["score"][i] is of_criterion["total_correlation_mean"][i] is None
            continue
        remover.fit(given)
        assert of_criterion["types"][i] == remover.variable_types_.tolist()
        assert kept.tolist() == remover.get_support()[:8].tolist()
        total = gaussian_total_correlation(np.cov(means[:, kept], rowvar=False, ddof=0))
        assert of_criterion["total_correlation_mean"][i] == pytest.approx(total, rel=1e-4)
        scores = cross_val_score(LogisticRegression(), means[:, kept], table["y"], cv=3)
        assert of_criterion["score"][i] == pytest.approx(scores.mean())
        assert of_criterion["standard_error"][i] == pytest.approx(scores.std() / np.sqrt(2))


def test_the_page_starts_with_the_remover_of_the_model(values):
    assert values["start"] == {"criterion": "variance", "threshold": 0.15}
    assert values["drop"] == ["passive"]
    assert values["score"] == {
        "name": "accuracy",
        "predictor": "LogisticRegression",
        "n_folds": 3,
    }


def test_an_encoder_without_decoder_remover_or_target_is_enough():
    posterior, types = make_posterior(["active", "passive", "mixed"], random_state=0)
    encoder = PretrainedEncoder(second_output="variance").fit(np.hstack(posterior))
    values = compute_values(encoder, np.hstack(posterior))
    start = values["thresholds"].index(0.1)
    assert values["criteria"]["variance"]["types"][start] == list(types)
    assert values["start"] == {"criterion": "active_units", "threshold": 0.1}
    assert values["score"] is values["traversal"] is None


def test_a_search_and_a_continuous_target(cancer, fitted_encoder):
    X, _ = cancer
    y = make_regression(len(X), 2, random_state=0)[1]
    search = GridSearchCV(fitted_encoder, {})
    search.best_estimator_ = fitted_encoder
    values = compute_values(search, X, y, thresholds=[0.1], cv=2)
    assert values["score"]["predictor"] == "StandardScaler, Ridge"
    assert values["score"]["name"] == "R²"


def test_of_many_rows_some_are_drawn():
    posterior, _ = make_posterior(["active", "passive"], MAX_ROWS + 1, random_state=0)
    X = np.hstack(posterior)
    encoder = PretrainedEncoder(second_output="variance").fit(X)
    y = X[:, 0] > 0
    values = compute_values(encoder, X, y, thresholds=[0.1], cv=2)
    assert (values["n_rows"], values["n_rows_given"]) == (MAX_ROWS, MAX_ROWS + 1)
    # Rows of the target were drawn along with those of the data.
    assert values["criteria"]["active_units"]["score"][0] > 0.99


@pytest.fixture
def of_known_types():
    """An encoder that passes means and variances on, rows for it, and classes of these rows."""
    posterior, _ = make_posterior(["active", "passive", "mixed"], 300, random_state=0)
    X = np.hstack(posterior)
    return PretrainedEncoder(second_output="variance").fit(X), X, X[:, 0] > 0


def scores_of(values):
    return {name: criterion["score"] for name, criterion in values["criteria"].items()}


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_the_container_of_the_codes_makes_no_difference(container, cancer):
    pytest.importorskip(container)
    X, y = cancer
    pipe = make_pipeline(
        StandardScaler(),
        VAEEncoder(3, max_steps=20, random_state=0),
        PassiveVariableRemover(threshold=0),
        StandardScaler(),
        LogisticRegression(),
    ).fit(X, y)
    expected = scores_of(compute_values(pipe, X, y, thresholds=[0.1], cv=2))
    pipe.set_output(transform=container).fit(X, y)
    assert scores_of(compute_values(pipe, X, y, thresholds=[0.1], cv=2)) == expected


def test_folds_are_drawn_once_whatever_gives_them(of_known_types):
    encoder, X, y = of_known_types
    folds = KFold(3)
    expected = scores_of(compute_values(encoder, X, y, cv=folds))
    assert scores_of(compute_values(encoder, X, y, cv=folds.split(X))) == expected
    # A splitter without a seed: thresholds that keep the same variables have the same score,
    # and on other folds they would not.
    random = ShuffleSplit(2, test_size=0.1)
    split, calls = random.split, []
    random.split = lambda *a, **k: calls.append(1) or split(*a, **k)
    compute_values(encoder, X, y, cv=random)
    assert calls == [1]
    with pytest.raises(ValueError, match="at least 2 folds, got 1"):
        compute_values(encoder, X, y, cv=ShuffleSplit(1))


def test_folds_of_all_rows_are_folds_of_those_that_are_drawn(of_known_types, monkeypatch):
    encoder, X, y = of_known_types
    monkeypatch.setattr(_values, "MAX_ROWS", 200)
    test = np.random.default_rng(0).random(len(X)) < 0.5
    numbers = [(np.flatnonzero(~t), np.flatnonzero(t)) for t in (test, ~test)]
    masks = [(~t, t) for t in (test, ~test)]
    values = [compute_values(encoder, X, y, cv=cv, thresholds=[]) for cv in (numbers, iter(masks))]
    assert scores_of(values[0]) == scores_of(values[1])
    rows = np.sort(np.random.default_rng(0).choice(len(X), 200, replace=False))
    drawn = compute_values(
        encoder, X[rows], y[rows], thresholds=[],
        cv=[(np.flatnonzero(~t[rows]), np.flatnonzero(t[rows])) for t in (test, ~test)],
    )  # fmt: skip
    assert scores_of(values[0]) == scores_of(drawn)


def test_the_page_starts_with_the_rule_that_the_remover_was_fitted_with(of_known_types):
    encoder, X, _ = of_known_types
    codes = encoder.set_params(add_variance=True).transform(X)
    remover = PassiveVariableRemover(criterion="kl", threshold=0.2).fit(codes)
    remover.set_params(criterion="variance", threshold=0.7)
    values = compute_values(Pipeline([("enc", encoder), ("prune", remover)]), X)
    assert values["start"] == {"criterion": "kl", "threshold": 0.2}


def test_a_criterion_that_is_added_is_on_the_page(of_known_types, monkeypatch):
    encoder, X, _ = of_known_types
    monkeypatch.setitem(
        CRITERIA,
        "share",
        Criterion(
            name="share",
            title="share of rows",
            statistics={"active_share": "share"},
            rule=lambda share, threshold: np.where(share <= threshold, "passive", "active"),
            words="passive if share <= {threshold}, else active",
            reads_variances=True,
        ),
    )
    values = compute_values(encoder, X, thresholds=[0.1])
    added = values["criteria"]["share"]
    assert (added["title"], added["symbol"]) == ("share of rows", "share")
    np.testing.assert_allclose(added["values"], encoder.moments(X).active_share, rtol=1e-6)
    assert added["types"][-1] == ["active", "passive", "active"]
    assert "share of rows" in make_page(values)


def test_traversals_are_decoded_codes(values, fitted_encoder, cancer):
    traversal = values["traversal"]
    codes = np.zeros((1, 8))
    codes[0, 3] = traversal["steps"][-1]
    decoded = fitted_encoder.inverse_transform(codes)[0]
    np.testing.assert_allclose(traversal["decoded"][3][-1], decoded, rtol=1e-4, atol=1e-6)
    assert traversal["features"][:2] == ["column 0", "column 1"]
    changes = np.ptp(np.array(traversal["decoded"]), axis=1).max(axis=1)
    np.testing.assert_allclose(traversal["largest_change"], changes, rtol=1e-5)
    images = compute_values(fitted_encoder, cancer[0], thresholds=[], image_shape=(5, 6))
    assert images["traversal"]["shape"] == [5, 6]
    with pytest.raises(ValueError, match="25 values, but rows have 30"):
        compute_values(fitted_encoder, cancer[0], thresholds=[], image_shape=(5, 5))


def test_wrong_input_is_named(fitted_encoder, cancer):
    with pytest.raises(ValueError, match="needs a fitted encoder with a posterior"):
        compute_values(StandardScaler().fit(cancer[0]), cancer[0])

    class Foreign:
        def posterior(self, X):
            return X, X

    with pytest.raises(ValueError, match="explore needs an encoder with moments"):
        compute_values(Foreign(), cancer[0])
    for threshold in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"at least 0, got {threshold}"):
            compute_values(fitted_encoder, cancer[0], thresholds=[threshold])
    for shape in [(30,), (5, 6, 1, 1), (-5, -6)]:
        with pytest.raises(ValueError, match=r"image_shape must be \(height, width\) or"):
            compute_values(fitted_encoder, cancer[0], thresholds=[], image_shape=shape)
    with pytest.raises(ValueError, match="X has 569 rows and y has 568"):
        compute_values(fitted_encoder, cancer[0], cancer[1][1:])


def test_the_package_has_the_explorer_without_its_extras():
    code = (
        "import sys, passive_pruner\n"
        "passive_pruner.explore.explore\n"
        "print({'plotly', 'skops', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "set()", run.stderr


def test_the_page_refers_to_nothing_outside_of_it(values):
    from plotly.offline import get_plotlyjs

    assert "</script" not in get_plotlyjs()
    names = ["</script><script src='http://example.org'>", *values["names"][1:]]
    page = make_page({**values, "names": names})
    own = page.replace(get_plotlyjs(), "")
    assert len(own) < len(page) - 1_000_000
    assert own.count("</script>") == 3
    data = re.search(r'id="values">(.*?)</script>', own, re.DOTALL)[1]
    assert json.loads(data)["names"] == names
    markup = own.replace(data, "")
    assert not re.search(r"https?:|//\w|\b(src|@import|fetch|XMLHttpRequest)\b\s*[=(]", markup)
    assert not re.findall(r'href="(?!data:,")', markup)
    # Nor can the library load anything, whatever is in it.
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', own)[1]
    assert policy.startswith("default-src 'none'") and "http" not in policy


def get(url, host=None):
    request = urllib.request.Request(url, headers={} if host is None else {"Host": host})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_the_server_answers_this_machine_only():
    with Explorer("a page — as text") as explorer:
        host, port = explorer._server.server_address
        assert host == "127.0.0.1"
        assert get(explorer.url) == (200, "a page — as text")
        assert get(explorer.url, f"localhost:{port}")[0] == 200
        # As browsers write it on port 80, and as names are compared.
        for own in ("127.0.0.1", "localhost", f"LocalHost:{port}"):
            assert get(explorer.url, own)[0] == 200
        for other in ("example.org", f"example.org:{port}", f"127.0.0.1.example.org:{port}",
                      "localhost.example.org", "127.0.0.1:80:80", "[::1]", ""):  # fmt: skip
            assert get(explorer.url, other)[0] == 403
        assert get(f"{explorer.url}other")[0] == 404
        assert explorer.url in repr(explorer) and explorer.url in explorer._repr_html_()
        with pytest.raises(OSError, match="in use"):
            Explorer("another", port=port)
    with pytest.raises(OSError), socket.create_connection((host, port), timeout=1):
        pass


def test_requests_that_end_early_print_nothing_and_block_nobody(capfd, monkeypatch):
    monkeypatch.setattr(_explorer, "_TIMEOUT", 0.3)
    with Explorer("x" * 20_000_000) as explorer:
        address = explorer._server.server_address
        silent = socket.create_connection(address, timeout=10)
        for _ in range(3):
            with socket.create_connection(address) as aborted:
                aborted.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                aborted.recv(10)
                # Closed by a reset, as by a browser whose tab is closed while the page loads.
                aborted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert get(explorer.url)[0] == 200
        with silent:
            assert silent.recv(10) == b""  # given up by the server
    assert capfd.readouterr().err == ""


def test_explore_opens_the_browser_when_it_may(fitted_encoder, cancer, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for may in (False, True):
        kwargs = {"thresholds": [0.1], "open_browser": may}
        with explore(fitted_encoder, cancer[0], **kwargs) as explorer:
            assert opened == [explorer.url] * may
    explorer.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == explorer.page


def test_skops_files_load_and_others_are_refused(files, pipe, table, tmp_path):
    X = table.drop(columns="y")
    loaded = load_model(files / "model.skops")
    np.testing.assert_array_equal(loaded.predict(X), pipe.predict(X))
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(pipe))
    with pytest.raises(ValueError, match="runs whatever code is in it"):
        load_model(tmp_path / "model.pkl")
    skops_io.dump(make_pipeline(PretrainedEncoder(shutil.which)), tmp_path / "other.skops")
    with pytest.raises(ValueError, match=r"neither of scikit-learn .* shutil\.which"):
        load_model(tmp_path / "other.skops")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "missing.skops")


def test_archives_that_are_no_models_are_refused(files, tmp_path, monkeypatch):
    path = tmp_path / "model.skops"
    schemas = [b"", b"{}", b"[]", b"4", b"\xff", b'{"__class__": "dict"}', b'{"protocol": 99}']
    for schema in schemas:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("schema.json", schema)
        with pytest.raises(ValueError, match=r"model\.skops"):
            load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", b"")
    with pytest.raises(ValueError, match="not one that skops can read"):
        load_model(path)
    # Cut anywhere, and with bytes changed anywhere.
    content = (files / "model.skops").read_bytes()
    rng = np.random.default_rng(0)
    for cut in rng.integers(100, len(content), 20):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"model\.skops"):
            load_model(path)
    for place in rng.integers(0, len(content), 20):
        path.write_bytes(content[:place] + bytes(50) + content[place + 50 :])
        try:
            load_model(path)
        except ValueError as error:
            assert "model.skops" in str(error)
    monkeypatch.setattr(command, "_MOST_UNPACKED", 10**6)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", bytes(10**7))
    with pytest.raises(ValueError, match="would unpack to 10,000,000"):
        load_model(path)
    assert load_model(files / "model.skops")


@pytest.mark.parametrize("wrap", [
    lambda encoder: encoder,
    lambda encoder: Pipeline([("inner", make_pipeline(StandardScaler(), encoder))]),
    lambda encoder: GridSearchCV(make_pipeline(encoder), {}),
    lambda encoder: ColumnTransformer([("a", encoder, [0, 1])]),
    lambda encoder: GridSearchCV(make_pipeline(StandardScaler()), {"a": [encoder]}),
])  # fmt: skip
def test_models_that_run_a_torchscript_file_are_refused(tmp_path, wrap):
    path = tmp_path / "model.skops"
    skops_io.dump(wrap(PretrainedEncoder("a_program.pt")), path)
    with pytest.raises(ValueError, match=r"model file 'a_program\.pt', a program"):
        load_model(path)
    skops_io.dump(wrap(PretrainedEncoder("a_graph.onnx")), path)
    load_model(path)


@pytest.mark.parametrize("name", ["data.parquet", "data.csv"])
def test_data_is_read_by_the_columns_of_the_model(files, pipe, table, name):
    X, y = load_data(files / name, pipe, "y")
    pd.testing.assert_frame_equal(X, table.drop(columns="y"), check_dtype=False)
    pd.testing.assert_series_equal(y, table["y"])
    with pytest.raises(ValueError, match="no column 'Y'"):
        load_data(files / name, pipe, "Y")


def test_data_that_does_not_fit_is_named(files, pipe, fitted_encoder, table, tmp_path):
    with pytest.raises(ValueError, match="--target names the column"):
        load_data(files / "data.csv", fitted_encoder)
    table.drop(columns="column 4").to_csv(tmp_path / "less.csv")
    with pytest.raises(ValueError, match="lacks columns of the model: column 4"):
        load_data(tmp_path / "less.csv", pipe)
    with pytest.raises(ValueError, match=r"\.parquet or \.csv"):
        load_data(tmp_path / "data.xlsx", pipe)


def test_the_command_says_where_it_listens(files, capsys, monkeypatch):
    def interrupt(self):
        assert get(self.url)[0] == 200
        raise KeyboardInterrupt

    monkeypatch.setattr(Explorer, "wait", interrupt)
    command = [str(files / "model.skops"), str(files / "data.parquet"), "--target", "y"]
    options = ["--no-browser", "--cv", "2", "--thresholds", "0.1"]
    assert main([*command, *options]) == 0
    assert re.search(r"http://127\.0\.0\.1:\d+/.*this machine only", capsys.readouterr().out)
    assert main([*command, *options, "--save", str(files / "page.html")]) == 0
    assert (files / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main([str(files / "data.parquet"), *command[1:]]) == 2
    assert "is not a skops file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser(values):
    """Headless Chromium, which shows the page."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("chromium and chromedriver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    # Root, as in containers, may not start it with a sandbox; it opens nothing but the page.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    with Explorer(make_page(values)) as explorer:
        driver.set_window_size(1280, 1400)
        driver.get(explorer.url)
        yield driver
        driver.quit()


def test_a_user_moves_the_slider_clicks_and_changes_the_criterion(browser, values):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait

    def text(name):
        return browser.find_element("id", name).text

    def assert_drawn(criterion, index):
        WebDriverWait(browser, 60).until(
            lambda b: (
                b.find_element("tag name", "body").get_attribute("data-drawn")
                == f"{criterion} {index}"
            )
        )
        kept = sum(values["criteria"][criterion]["kept"][index])
        assert text("kept") == f"{kept} of 8"
        removed = browser.find_elements("css selector", "#report tr.removed")
        assert len(removed) == 8 - kept

    thresholds = values["thresholds"]
    assert_drawn("variance", thresholds.index(0.15))
    slider = browser.find_element("id", "slider")
    slider.send_keys(Keys.HOME)
    assert_drawn("variance", 0)
    assert "removes nothing" in text("message")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert_drawn("variance", 1)
    Select(browser.find_element("id", "criterion")).select_by_value("active_units")
    assert_drawn("active_units", 1)
    points = browser.find_elements("css selector", "#plot-tc .scatterlayer .point")
    ActionChains(browser).move_to_element(points[3]).click().perform()
    assert_drawn("active_units", 3)
    slider.send_keys(Keys.END)
    assert_drawn("active_units", len(thresholds) - 1)
    assert "raises an error" in text("message")
    for article in browser.find_elements("css selector", "article"):
        type_ = article.get_attribute("data-type")
        types = np.array(values["criteria"]["active_units"]["types"][-1])
        numbers = article.find_element("class name", "numbers").text
        if not article.is_displayed():
            assert type_ == "undecided"  # which is a type with alpha only
            continue
        if type_ not in types:
            assert re.search("None|Unknown", numbers)
            continue
        # What is said of a type is what was measured.
        measured = {
            key: np.array(column)[types == type_] for key, column in values["report"].items()
        }
        variance = measured["mean_of_variance"]
        assert f"E[s²] is {variance.min():.3f} to {variance.max():.3f} here" in numbers
        assert f"{measured['max_correlation_mean'].max():.2f} in mean codes" in numbers
        assert f"{measured['max_correlation_sampled'].max():.2f} in sampled codes" in numbers
    loaded = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert browser.execute_script(loaded) == []
    assert browser.get_log("browser") == []


def test_the_page_takes_hundreds_of_variables_and_a_dark_screen(browser):
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    X = np.random.default_rng(0).standard_normal((100, 60)).cumsum(axis=1)
    encoder = VAEEncoder(256, max_steps=2, random_state=0).fit(X)
    here = browser.current_url
    with Explorer(make_page(compute_values(encoder, X, thresholds=[]))) as explorer:
        browser.get(explorer.url)
        drawn = browser.find_element("tag name", "body").get_attribute("data-drawn")
        assert drawn == "active_units 1"
        assert browser.get_log("browser") == []
        ground = "return getComputedStyle(document.body).backgroundColor"
        assert max(map(int, re.findall(r"\d+", browser.execute_script(ground)))) < 64
        plot = "return document.querySelector('#plot-kept').layout.paper_bgcolor"
        assert browser.execute_script(plot) == "#1c232a"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get(here)


def test_the_page_fits_a_phone(browser):
    from selenium.webdriver.support.ui import WebDriverWait

    device = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    # The charts take their new width when the browser comes to it.
    WebDriverWait(browser, 60).until(
        lambda page: page.execute_script("return document.documentElement.scrollWidth") == 390
    )
    assert browser.execute_script("return controls.offsetHeight / innerHeight") < 1 / 3
