"""The Dockerfile and the Kubernetes manifest of a server agree with the command and its addresses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient
from typer.main import get_command

from resnets.cli import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())


def instruction(name: str) -> str:
    """Return what the last instruction of a name in the Dockerfile says."""
    return re.findall(rf"^{name} (.*)", DOCKERFILE, re.MULTILINE)[-1]


@pytest.fixture
def container() -> dict[str, Any]:
    """The container of the Deployment."""
    documents = {one["kind"]: one for one in yaml.safe_load_all((ROOT / "docs" / "kubernetes-serve.yaml").read_text())}
    (found,) = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    return found | {"pod": documents["Deployment"]["spec"]["template"], "service": documents["Service"]["spec"]}


def known_options() -> set[str]:
    """Return the options of `resnets serve`."""
    command: Any = get_command(app)
    return {option for parameter in command.commands["serve"].params for option in parameter.opts}


def test_the_image_runs_the_command_without_rights() -> None:
    """As a user that is not root, in the exec form, so that the command itself is sent SIGTERM."""
    assert instruction("USER") not in ("root", "0")
    entry = json.loads(instruction("ENTRYPOINT"))
    assert entry[:2] == ["resnets", "serve"]
    assert {word for word in entry if word.startswith("--")} <= known_options()
    copied = " ".join(re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE)).split()
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == kept and all((ROOT / name).exists() for name in copied)


def test_health_checks_are_addresses_of_the_server(client: TestClient, container: dict[str, Any]) -> None:
    """Of the image and of the pod, at the port that the command listens on by default."""
    port, path = re.findall(r"127\.0\.0\.1:(\d+)(/\w+)", instruction("HEALTHCHECK"))[0]
    assert port == instruction("EXPOSE") == "8000"
    assert container["ports"] == [{"name": "http", "containerPort": 8000}]
    probes = [container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert {probe["port"] for probe in probes} == {"http"}
    for address in (path, *(probe["path"] for probe in probes)):
        assert client.get(address).status_code == 200


def test_the_pod_has_time_to_stop(container: dict[str, Any]) -> None:
    """More than a request's and the sleep before it; its options are known, and the Service selects it."""
    options = container["args"]
    assert {word for word in options if word.startswith("--")} <= known_options()
    timeout = int(options[options.index("--timeout") + 1])
    sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert container["pod"]["spec"]["terminationGracePeriodSeconds"] > timeout + sleep + 6
    assert container["service"]["selector"].items() <= container["pod"]["metadata"]["labels"].items()
    assert container["pod"]["spec"]["securityContext"]["runAsNonRoot"]
