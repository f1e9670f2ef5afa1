# SPDX-License-Identifier: Apache-2.0
"""The Helm chart, linted and rendered by helm itself, and its configuration read by the registry.

No cluster is here. What is checked of the manifests is what would be noticed last in one: that
names fit together, and that a pod's end leaves time for what is under way.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from moorage.settings import Settings, load
from tests.deploy.places import DEPLOY, ROOT
from tests.support.tools import find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHART = DEPLOY / "helm" / "moorage"
S3 = {"s3": {"bucket": "registry", "region": "eu-central-1"}}
MINIMAL: dict[str, Any] = {
    "database": {"url": "postgresql://moorage@db.example.com/moorage"},
    "settings": {"storage": S3},
}
EVERYTHING: dict[str, Any] = {
    "replicas": 5,
    "image": {"repository": "registry.example.com/moorage", "digest": "sha256:" + "a" * 64},
    "imagePullSecrets": [{"name": "pull"}],
    "database": {
        "url": "postgresql://moorage@db.example.com:6432/moorage?sslmode=require",
        "passwordSecret": {"name": "postgres", "key": "moorage-password"},
    },
    "store": {"credentialsSecret": "keys"},
    "httpSecret": {"name": "secret", "key": "http"},
    "htpasswd": {"name": "users", "key": "users"},
    "tls": {"secretName": "registry-tls"},
    "drain": {"delay": 20, "timeout": 300},
    "workers": 2,
    "settings": {
        "storage": {
            "gcs": {"bucket": "registry", "rootdirectory": "images"},
            "redirect": {"exceptnetworks": ["10.0.0.0/8"]},
        },
        "http": {
            "host": "https://registry.example.com",
            "prefix": "/r",
            "trustedproxies": ["10.0.0.0/8"],
        },
        "log": {"level": "debug"},
        "auth": {"anonymous": "pull"},
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "hosts": ["registry.example.com", "images.example.com"],
        "tls": [{"secretName": "ingress-tls", "hosts": ["registry.example.com"]}],
    },
    "serviceAccount": {"annotations": {"iam.gke.io/gcp-service-account": "registry@example"}},
    "extraEnv": [{"name": "PGSSLMODE", "value": "require"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "podAnnotations": {"example.com/note": "one"},
    "podLabels": {"team": "images"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "registry", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}
AZURE: dict[str, Any] = {
    **MINIMAL,
    "settings": {"storage": {"azure": {"accountname": "registry", "container": "images"}}},
    "autoscaling": {"enabled": True, "maxReplicas": 20},
    "podDisruptionBudget": {"enabled": False},
    "serviceAccount": {"create": False, "name": "existing"},
    "spreadOverNodes": False,
}
VALUES = {"minimal": MINIMAL, "everything": EVERYTHING, "azure": AZURE}
Manifest = dict[str, Any]


def helm(*arguments: str, values: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run helm with these values, without reading anything of the person who runs the tests."""
    program = find("helm")
    if program is None:
        pytest.skip("helm is not installed (scripts/install-servers builds it where go is found)")
    file = folder / "values.json"
    file.write_text(json.dumps(values))
    return subprocess.run(
        [program, *arguments, "--values", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )


def render(values: dict[str, Any], folder: Path, chart: Path = CHART) -> dict[str, Manifest]:
    """The manifests by their kind; there is never more than one of a kind."""
    template = ("template", "shop", str(chart), "--namespace", "registry")
    # A helm that was built with `go install` takes every cluster for an old one.
    done = helm(*template, "--kube-version", "1.30", values=values, folder=folder)
    assert done.returncode == 0, done.stderr
    found = [each for each in yaml.safe_load_all(done.stdout) if each]
    assert len({each["kind"] for each in found}) == len(found)
    return {each["kind"]: each for each in found}


@pytest.fixture(params=VALUES, ids=str)
def values(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """One way to install the registry."""
    return VALUES[request.param]  # type: ignore[return-value]


@pytest.fixture
def manifests(values: dict[str, Any], tmp_path: Path) -> dict[str, Manifest]:
    """What it installs."""
    return render(values, tmp_path)


def pod_of(manifests: dict[str, Manifest]) -> Manifest:
    """The specification of the pods."""
    found: Manifest = manifests["Deployment"]["spec"]["template"]["spec"]
    return found


def settings_of(manifests: dict[str, Manifest], folder: Path) -> Settings:
    """The settings of the pods, as the registry reads them, without a warning."""
    file = folder / "config.yml"
    file.write_text(manifests["ConfigMap"]["data"]["config.yml"])
    loaded = load(file, {})
    assert loaded.warnings == ()
    return loaded.settings


def test_lint(values: dict[str, Any], tmp_path: Path) -> None:
    """Helm's linter has nothing to say but that there is no icon."""
    done = helm("lint", "--strict", str(CHART), values=values, folder=tmp_path)

    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


def test_version_of_the_chart() -> None:
    """The chart installs the version of the registry that it comes with."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert chart["appVersion"] == project["version"]


def test_settings(values: dict[str, Any], manifests: dict[str, Manifest], tmp_path: Path) -> None:
    """The registry accepts the settings that the chart writes, with what the values say."""
    settings = settings_of(manifests, tmp_path)
    (store,) = set(values["settings"]["storage"]) - {"redirect"}

    assert settings.storage.driver == store
    assert settings.database.postgres is not None
    assert settings.database.postgres.url == values["database"]["url"]
    assert settings.http.addr == ":5000"


def test_values_win(tmp_path: Path) -> None:
    """What stands below `settings` wins over what the chart says, key by key."""
    settings = settings_of(render(EVERYTHING, tmp_path), tmp_path)

    assert settings.http.prefix == "/r"
    assert settings.http.workers == 2
    assert settings.log.level == "debug"
    assert settings.auth.anonymous == "pull"
    assert settings.auth.htpasswd is not None
    assert settings.http.tls is not None


def test_time_to_end(manifests: dict[str, Manifest], tmp_path: Path) -> None:
    """A pod is killed only after the registry's own time for ending, and is found unready while it
    still takes requests.
    """
    pod, http = pod_of(manifests), settings_of(manifests, tmp_path).http
    probe = pod["containers"][0]["readinessProbe"]

    assert pod["terminationGracePeriodSeconds"] > http.draindelay + http.draintimeout
    assert probe["periodSeconds"] * probe["failureThreshold"] < http.draindelay
    assert probe["httpGet"]["path"] == f"{http.prefix}/readyz"
    assert probe["httpGet"]["scheme"] == ("HTTP" if http.tls is None else "HTTPS")


def test_update_without_a_gap(manifests: dict[str, Manifest]) -> None:
    """No pod ends before its successor is ready."""
    strategy = manifests["Deployment"]["spec"]["strategy"]

    assert strategy == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_names_fit_together(manifests: dict[str, Manifest]) -> None:
    """Selectors find the pods, ports have their names, and each mount has its volume."""
    deployment, service = manifests["Deployment"], manifests["Service"]
    pod = pod_of(manifests)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    selectors = [deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]]
    if "PodDisruptionBudget" in manifests:
        selectors.append(manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"])

    for selector in selectors:
        assert selector
        assert selector.items() <= labels.items()
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    assert {probe["httpGet"]["port"] for key, probe in container.items() if "Probe" in key} == ports
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    account = manifests.get("ServiceAccount", {"metadata": {"name": "existing"}})
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_secrets(tmp_path: Path) -> None:
    """Every secret is one that exists already, and none of its content is in a manifest."""
    manifests = render(EVERYTHING, tmp_path)
    pod = pod_of(manifests)
    (container,) = pod["containers"]
    files = {
        mount["mountPath"]
        + "/"
        + next((item["path"] for item in volume["secret"].get("items", [])), "tls.crt")
        for volume in pod["volumes"]
        for mount in container["volumeMounts"]
        if "secret" in volume and volume["name"] == mount["name"]
    }
    settings = settings_of(manifests, tmp_path)

    assert "Secret" not in manifests
    assert settings.database.postgres is not None
    assert settings.auth.htpasswd is not None
    assert settings.http.tls is not None
    assert files == {
        str(settings.database.postgres.passwordfile),
        str(settings.auth.htpasswd.path),
        str(settings.http.tls.certificate),
    }
    variable = next(each for each in container["env"] if each["name"] == "REGISTRY_HTTP_SECRET")
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "secret", "key": "http"}}
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]


def test_rights(manifests: dict[str, Manifest]) -> None:
    """The pods run as nobody, can become nobody else, and write only where they were given room."""
    pod = pod_of(manifests)
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["enableServiceLinks"] is False


def test_replicas(tmp_path: Path) -> None:
    """A fixed number, or that of the autoscaler, which must not be reset by each installation."""
    fixed, scaled = render(EVERYTHING, tmp_path), render(AZURE, tmp_path)

    assert fixed["Deployment"]["spec"]["replicas"] == 5
    assert "HorizontalPodAutoscaler" not in fixed
    assert "replicas" not in scaled["Deployment"]["spec"]
    target = scaled["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == scaled["Deployment"]["metadata"]["name"]


def test_ingress(tmp_path: Path) -> None:
    """The ingress lets layers of any size pass, to the service, under each of the names."""
    ingress = render(EVERYTHING, tmp_path)["Ingress"]
    service = render(EVERYTHING, tmp_path)["Service"]

    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == EVERYTHING["ingress"]["hosts"]
    for rule in ingress["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert path["backend"]["service"]["name"] == service["metadata"]["name"]
        assert path["backend"]["service"]["port"]["name"] == service["spec"]["ports"][0]["name"]


def test_other_settings_are_other_pods(tmp_path: Path) -> None:
    """A changed setting changes the pods' annotation, so that they are replaced."""
    key = "checksum/settings"
    one = render(MINIMAL, tmp_path)["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    same = render(MINIMAL, tmp_path)["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    other = render({**MINIMAL, "workers": 3}, tmp_path)["Deployment"]["spec"]["template"]

    assert one[key] == same[key] != other["metadata"]["annotations"][key]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"settings": {"storage": S3}}, "database.url is missing"),
        ({"database": MINIMAL["database"]}, "settings.storage needs s3, gcs or azure"),
        ({**MINIMAL, "replica": 2}, "replica"),
        ({**MINIMAL, "drain": {"delay": "10s"}}, "drain"),
        ({**MINIMAL, "ingress": {"enabled": True}}, "ingress.hosts is empty"),
        ({**MINIMAL, "image": {"digest": "latest"}}, "digest"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], words: str, tmp_path: Path) -> None:
    """What cannot work is said by helm, before anything is installed."""
    template = ("template", "shop", str(CHART), "--kube-version", "1.30")
    done = helm(*template, values=values, folder=tmp_path)

    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize("name", VALUES)
def test_notes(name: str, tmp_path: Path) -> None:
    """Whoever installs it reads how to push, and is warned when everybody may."""
    chart = tmp_path / "moorage"
    shutil.copytree(CHART, chart)
    # `helm template` leaves notes out, and installing wants a cluster: so they become a manifest.
    text = (chart / "templates" / "NOTES.txt").read_text()
    indented = "".join(f"  {line}" for line in text.splitlines(keepends=True))
    (chart / "templates" / "notes.yaml").write_text(f"kind: Notes\ntext: |\n{indented}")
    notes = render(VALUES[name], tmp_path, chart=chart)["Notes"]["text"]

    assert "docker push" in notes
    assert ("WARNING" in notes) == ("htpasswd" not in VALUES[name])
