"""Defaults of pods and of the templates that controllers make pods from (kubernetes pkg/apis/core/v1/defaults.go)."""

from typing import Any

from roadstead.api.objects import Object

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_READ_BY_OTHERS = 0o644
_MODES = ("configMap", "downwardAPI", "projected", "secret")


def fill_in_pod(pod: Object) -> None:
    """Fill in a pod; beyond what a template gets, requests default to limits and ports to the host's."""
    spec = pod.setdefault("spec", {})
    fill_in_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    if (spec["terminationGracePeriodSeconds"]) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        requests_from_limits(container.get("resources") or {})
        if spec.get("hostNetwork"):
            for port in container.get("ports", ()):
                if not port.get("hostPort") and "containerPort" in port:
                    port["hostPort"] = port["containerPort"]
    _fill_in_addresses(pod.get("status") or {})


def requests_from_limits(resources: Object) -> None:
    """Ask for what a container may use at most, where it does not say how much it needs."""
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _fill_in_addresses(status: Object) -> None:
    address, addresses = status.get("podIP"), status.get("podIPs")
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses and not address and addresses[0].get("ip"):
        status["podIP"] = addresses[0]["ip"]


def fill_in_template(template: Object) -> None:
    """Fill in the template of pods that a controller makes."""
    fill_in_pod_spec(template.setdefault("spec", {}))


def fill_in_pod_spec(spec: Object) -> None:
    """Fill in what pods and templates have in common."""
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    set_if_empty(spec, "dnsPolicy", "ClusterFirst")
    set_if_empty(spec, "restartPolicy", "Always")
    set_if_empty(spec, "schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    for kind in _CONTAINERS:
        for container in spec.get(kind, ()):
            _fill_in_container(container)
    for volume in spec.get("volumes", ()):
        _fill_in_volume(volume)


def set_if_empty(obj: Object, name: str, value: Any) -> None:
    """Set a field that is absent or says nothing: Go's zero value of a field that is no pointer."""
    if not obj.get(name):
        obj[name] = value


def _fill_in_container(container: Object) -> None:
    set_if_empty(container, "imagePullPolicy", pull_policy(container.get("image") or ""))
    set_if_empty(container, "terminationMessagePath", "/dev/termination-log")
    set_if_empty(container, "terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports", ()):
        set_if_empty(port, "protocol", "TCP")
    for variable in container.get("env", ()):
        _fill_in_field_reference((variable.get("valueFrom") or {}).get("fieldRef"))
    for name in _PROBES:
        if name in container:
            _fill_in_probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _fill_in_http(hook.get("httpGet"))


def pull_policy(image: str) -> str:
    """Return when an image is pulled if the container does not say: always for `latest`, given or implied."""
    name, _, digest = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    implied_latest = not colon and not digest
    return "Always" if implied_latest or tag == "latest" else "IfNotPresent"


def _fill_in_probe(probe: Object) -> None:
    set_if_empty(probe, "timeoutSeconds", 1)
    set_if_empty(probe, "periodSeconds", 10)
    set_if_empty(probe, "successThreshold", 1)
    set_if_empty(probe, "failureThreshold", 3)
    _fill_in_http(probe.get("httpGet"))
    if isinstance(probe.get("grpc"), dict):
        probe["grpc"].setdefault("service", "")


def _fill_in_http(action: Object | None) -> None:
    if action is not None:
        set_if_empty(action, "path", "/")
        set_if_empty(action, "scheme", "HTTP")


def _fill_in_field_reference(reference: Object | None) -> None:
    if reference is not None:
        set_if_empty(reference, "apiVersion", "v1")


def _fill_in_volume(volume: Object) -> None:
    if not any(value is not None for name, value in volume.items() if name != "name"):
        volume["emptyDir"] = {}
    for name in _MODES:
        if isinstance(volume.get(name), dict):
            volume[name].setdefault("defaultMode", _READ_BY_OTHERS)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    for item in (volume.get("downwardAPI") or {}).get("items", ()):
        _fill_in_field_reference(item.get("fieldRef"))
    for source in (volume.get("projected") or {}).get("sources", ()):
        if isinstance(token := source.get("serviceAccountToken"), dict):
            token.setdefault("expirationSeconds", 3600)
        for item in (source.get("downwardAPI") or {}).get("items", ()):
            _fill_in_field_reference(item.get("fieldRef"))
