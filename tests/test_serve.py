"""The example service, asked over HTTP on localhost."""

import asyncio
import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

EXAMPLE = Path(__file__).parent.parent / "examples" / "serve.py"
X = load_breast_cancer().data


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("serve", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def served(example, tmp_path_factory):
    """The fitted pipeline, the file of its graph, and a client of the server that runs it."""
    path = tmp_path_factory.mktemp("serve") / "model.onnx"
    pipe = example.train(path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, EXAMPLE, "serve", path, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            for line in server.stderr:
                if "running on" in line:
                    break
            yield pipe, path, client
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_health(served):
    answer = served[2].get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "n_features": 30}


@pytest.mark.parametrize("n_rows", [1, 569])
def test_predictions_are_those_of_the_pipeline(n_rows, served):
    pipe, _, client = served
    answer = client.post("/predict", json={"rows": X[:n_rows].tolist()})
    assert answer.status_code == 200
    assert answer.json()["labels"] == pipe.predict(X[:n_rows]).tolist()
    expected = pipe.predict_proba(X[:n_rows])
    np.testing.assert_allclose(answer.json()["probabilities"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "Invalid JSON: EOF"),
        ("{", "Invalid JSON: EOF"),
        ("[" * 100_000, "recursion limit"),
        (b"\xff", "Invalid JSON"),
        ('{"rows": []}', "at least 1 item"),
        ('{"rows": [[1, 2]]}', "at least 30 items"),
        ('{"rows": [[' + "1," * 30 + "1]]}", "at most 30 items"),
        ('{"rows": [[' + "1," * 29 + "NaN]]}", "finite number"),
        ('{"rows": [[' + "1," * 29 + '"1"]]}', "valid number"),
        ('{"rows": [[' + "1," * 29 + "1e300]]}", "less than or equal to"),
        ('{"rows": [' + "[]," * 1000 + "[]]}", "at most 1000 items"),
        ('{"rows": [[' + "1," * 29 + '1]], "threshold": 0}', "Extra inputs"),
    ],
)
def test_bad_input_is_refused_with_a_reason(body, reason, served):
    answer = served[2].post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert any(reason in detail["msg"] for detail in answer.json()["detail"]), answer.json()
    assert served[2].get("/health").status_code == 200


def test_a_body_that_is_too_long_is_refused_before_it_is_kept(served):
    _, _, client = served
    longest = [[-1.2345678901234567e-100] * 30] * 1000  # the most digits, the most rows
    assert client.post("/predict", json={"rows": longest}).status_code == 200
    assert client.post("/predict", content=b" " * 1_000_000).status_code == 413

    def parts():  # without a length in the headers
        for _ in range(20):
            yield b" " * 50_000

    assert client.post("/predict", content=parts()).status_code == 413
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port), 5) as asking:
        asking.sendall(head)
        assert b" 413 " in asking.recv(100)  # nothing of the body was needed


def test_a_body_that_does_not_come_is_given_up(example, served, monkeypatch):
    monkeypatch.setattr(example, "BODY_SECONDS", 0.1)
    app = example.make_app(served[1])
    sent = []

    async def never():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [],
             "query_string": b"", "root_path": "", "scheme": "http"}  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, never, send), 10))
    assert sent[0]["status"] == 408


def test_nothing_but_the_two_paths_is_there(served):
    for path in ("/docs", "/openapi.json", "/redoc", "/"):
        assert served[2].get(path).status_code == 404


def test_the_server_loads_neither_torch_nor_scikit_learn(served):
    code = (
        f"import sys; sys.path.insert(0, {str(EXAMPLE.parent)!r}); import serve\n"
        f"serve.make_app({str(served[1])!r})\n"
        "print({'torch', 'sklearn', 'passive_pruner'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "set()", run.stderr
