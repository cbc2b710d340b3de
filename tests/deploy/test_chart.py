"""The chart renders to what Kubernetes takes, runs without rights, and fits what the service does."""

import json
import re
from typing import Any, get_type_hints

import helm_python
import pytest
import yaml
from kubernetes_validate.utils import latest_version, validate

from service import supervisor
from service.cli import main
from service.settings import VARIABLES, Settings
from tests.deploy.charts import CHART, EVERYTHING, NOTHING, environment_of, pod_of, render

VARIANTS = {"default": {}, "everything": EVERYTHING, "nothing": NOTHING}
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
SECRET = {"DATABASE_URL", "REDIS_URL", "GOVERNANCE_ENCRYPTION_KEY", "GOVERNANCE_ADMIN_TOKEN"}
# Of the chart's settings, each field of the service's.
FIELDS = {
    "workers": "workers",
    "drainSeconds": "drain_seconds",
    "databasePoolSize": "database_pool_size",
    "redisPoolSize": "redis_pool_size",
    "treeCacheMb": "tree_cache_mb",
    "logLevel": "log_level",
    "metricsScope": "metrics_scope",
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_helm_finds_nothing_to_complain_of(variant: str) -> None:
    report = helm_python.lint(CHART, VARIANTS[variant], strict=True)
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    assert not report["errors"]


@pytest.mark.parametrize("version", ["1.27", latest_version()])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_is_one_kubernetes_takes(variant: str, version: str) -> None:
    for kind, document in render(VARIANTS[variant]).items():
        if kind != "ServiceMonitor":  # of an operator
            validate(document, version, strict=True)


def test_what_is_turned_on_and_off_is_there_or_not() -> None:
    always = {"Deployment", "Service"}
    assert render(NOTHING).keys() == always
    usual = always | {"Job", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount"}
    assert render().keys() == usual
    assert render(EVERYTHING).keys() == usual | {"HorizontalPodAutoscaler", "ServiceMonitor"}


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
@pytest.mark.parametrize("variant", ["default", "everything"])
def test_pods_run_without_any_right(variant: str, kind: str) -> None:
    pod = pod_of(render(VARIANTS[variant])[kind])
    user = int(re.findall(r"^USER (\d+)$", (CHART.parents[1] / "Dockerfile").read_text(), re.MULTILINE)[-1])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == user != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["args"][0] in main.commands


def test_secrets_are_only_named() -> None:
    for workload in (render()["Deployment"], render()["Job"]):
        for name, variable in environment_of(workload).items():
            assert ("valueFrom" in variable) == (name in SECRET), name
    reference = environment_of(render({"stores": {"existingSecret": "mine"}})["Deployment"])["DATABASE_URL"]
    assert reference["valueFrom"] == {"secretKeyRef": {"name": "mine", "key": "DATABASE_URL"}}


def test_the_environment_is_that_of_the_settings() -> None:
    environment = environment_of(render(EVERYTHING)["Deployment"])
    assert environment.keys() - {"OTEL_EXPORTER_OTLP_ENDPOINT"} <= set(VARIABLES.values())
    assert environment["WORKERS"]["value"] == "4"
    assert environment["GOVERNANCE_DRAIN_SECONDS"]["value"] == "25"
    assert environment["GOVERNANCE_METRICS_SCOPE"]["value"] == "read"


def test_values_of_settings_have_the_settings_defaults_and_bounds() -> None:
    defaults = dict(zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True))
    assert VALUES["settings"] == {value: defaults[field] for value, field in FIELDS.items()}
    hints = get_type_hints(Settings, include_extras=True)
    for value, field in FIELDS.items():
        schema = SCHEMA["properties"]["settings"]["properties"][value]
        kind, meta = hints[field].__origin__, hints[field].__metadata__[0]
        if kind is int:
            assert schema["maximum"] == meta.le
            assert schema["minimum"] == (3 if value == "drainSeconds" else meta.ge)
        else:
            assert tuple(schema["enum"]) == kind.__args__


def test_a_pod_has_the_time_its_workers_are_given_to_stop() -> None:
    assert pod_of(render()["Deployment"])["terminationGracePeriodSeconds"] > supervisor.STOP_TIMEOUT_SECONDS


def test_balancers_notice_that_a_pod_stops_while_it_still_serves() -> None:
    (container,) = pod_of(render()["Deployment"])["containers"]
    probe = container["readinessProbe"]
    longest = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert longest <= SCHEMA["properties"]["settings"]["properties"]["drainSeconds"]["minimum"]


def test_an_outage_of_a_store_restarts_nothing() -> None:
    (container,) = pod_of(render()["Deployment"])["containers"]
    asked = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert asked == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}


def test_all_that_select_the_pods_select_them_and_not_the_migration() -> None:
    objects = render(EVERYTHING)
    pods, job = (objects[kind]["spec"]["template"]["metadata"]["labels"] for kind in ("Deployment", "Job"))
    selectors = [
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= pods.items()
        assert not selector.items() <= job.items()
    monitored = objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= objects["Service"]["metadata"]["labels"].items()


def test_migrations_run_before_the_pods_of_a_version() -> None:
    job = render()["Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "serviceAccountName" not in pod_of(job)  # the release's is not there yet
    assert pod_of(job)["containers"][0]["image"] == pod_of(render()["Deployment"])["containers"][0]["image"]


def test_the_autoscaler_alone_says_how_many_replicas_there_are() -> None:
    objects = render(EVERYTHING)
    assert "replicas" not in objects["Deployment"]["spec"]
    target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == objects["Deployment"]["metadata"]["name"]
    assert render()["Deployment"]["spec"]["replicas"] == VALUES["replicas"]


def test_a_restricted_egress_still_resolves_names() -> None:
    egress = render(EVERYTHING)["NetworkPolicy"]["spec"]["egress"]
    assert {(port["port"], port["protocol"]) for port in egress[0]["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert egress[1:] == EVERYTHING["networkPolicy"]["egress"]
    assert render()["NetworkPolicy"]["spec"]["egress"] == [{}]


def test_names_stay_within_what_kubernetes_allows() -> None:
    for document in render(name="r" * 53).values():
        assert len(document["metadata"]["name"]) <= 63


@pytest.mark.parametrize(
    "values",
    [
        {"setings": {}},
        {"settings": {"drainSeconds": 1}},
        {"settings": {"drainSeconds": 26}},
        {"settings": {"workers": "4"}},
        {"image": {"digest": "latest"}},
        {"serviceMonitor": {"tokenSecret": {"name": "without a key"}}},
        {"replicas": 0},
    ],
    ids=str,
)
def test_a_value_that_would_not_work_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmError):
        render(values)


def test_every_value_is_in_the_schema() -> None:
    def names(values: dict[str, Any], schema: dict[str, Any]) -> None:
        for name, value in values.items():
            assert name in schema["properties"], name
            if isinstance(value, dict) and schema["properties"][name].get("properties"):
                names(value, schema["properties"][name])

    names(VALUES, SCHEMA)
