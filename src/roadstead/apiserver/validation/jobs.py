"""Jobs and CronJobs (kubernetes pkg/apis/batch/validation)."""

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from roadstead.api.objects import Object, ReadOnlyObject, metadata_of
from roadstead.api.schedules import schedule_problem
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, immutable, not_negative, one_of
from roadstead.apiserver.validation.pods import pod_template

_NUMBERS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_MODES = ("NonIndexed", "Indexed")
_MOST_PARALLEL = 100_000
_LONGEST_MANAGER = 63
_LONGEST_CRON_JOB = 52
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_MOST_RULES, _MOST_CODES = 20, 255


def validate_job(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a Job; its template can change only while it is suspended."""
    spec = new.get("spec") or {}
    found = _job_spec(spec, "spec")
    if old is None:
        return _index_name(new) + found
    before = old.get("spec") or {}
    if not _is_elastic(before, spec):
        found += immutable(spec.get("completions"), before.get("completions"), "spec.completions")
    found += _same(spec, before, "selector")
    if not (before.get("suspend") or spec.get("suspend")):
        found += _same(spec, before, "template")
    return found + _same(
        spec, before, "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"
    )


def _index_name(job: ReadOnlyObject) -> Causes:
    """Return a cause for a name that pods of an indexed Job could not be called after."""
    spec, name = job.get("spec") or {}, metadata_of(job).get("name", "")
    if spec.get("completionMode") != "Indexed" or not spec.get("completions") or spec["completions"] < 1:
        return []
    last = f"{name}-{spec['completions'] - 1}"
    if not names.label_complaints(last):
        return []
    return [causes.invalid("metadata.name", name, f"will not able to create pod with invalid DNS label: {last}")]


def _is_elastic(before: ReadOnlyObject, after: ReadOnlyObject) -> bool:
    """Say whether a Job's completions may follow its parallelism."""
    return (
        before.get("completionMode") == "Indexed"
        and after.get("completions") is not None
        and after.get("completions") == after.get("parallelism")
    )


def _same(after: ReadOnlyObject, before: ReadOnlyObject, *fields: str) -> Causes:
    return [cause for key in fields for cause in immutable(after.get(key), before.get(key), f"spec.{key}")]


def _job_spec(spec: ReadOnlyObject, path: str) -> Causes:
    found = not_negative(spec, path, *_NUMBERS)
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        found.append(causes.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if (manager := spec.get("managedBy")) is not None:
        found += _manager(manager, f"{path}.managedBy")
    found += one_of(f"{path}.completionMode", spec.get("completionMode"), _MODES)
    found += _indexed(spec, path) if spec.get("completionMode") == "Indexed" else _not_indexed(spec, path)
    if (policy := spec.get("podFailurePolicy")) is not None:
        found += _failure_policy(policy, spec, f"{path}.podFailurePolicy")
    replacement = ("Failed",) if policy is not None else ("Failed", "TerminatingOrFailed")
    found += one_of(f"{path}.podReplacementPolicy", spec.get("podReplacementPolicy"), replacement)
    template = spec.get("template") or {}
    found += pod_template(template, f"{path}.template", None)
    return found + _restart(spec, template.get("spec") or {}, f"{path}.template.spec.restartPolicy")


def _manager(value: str, path: str) -> Causes:
    found = [causes.too_long(path, _LONGEST_MANAGER)] if len(value) > _LONGEST_MANAGER else []
    domain, slash, rest = value.partition("/")
    if not value:
        return [causes.required(path)]
    if not slash or not domain or not rest:
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [causes.invalid(path, value, detail), *found]
    return complain(path, domain, names.subdomain_complaints(domain)) + found


def _indexed(spec: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    completions, parallel, failed = (spec.get(key) for key in ("completions", "parallelism", "maxFailedIndexes"))
    if completions is None:
        found.append(causes.required(f"{path}.completions", "when completion mode is Indexed"))
    if parallel is not None and parallel > _MOST_PARALLEL:
        detail = f"must be less than or equal to {_MOST_PARALLEL} when completion mode is Indexed"
        found.append(causes.invalid(f"{path}.parallelism", parallel, detail))
    if completions is not None and failed is not None and failed > completions:
        found.append(causes.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"))
    return found


def _not_indexed(spec: ReadOnlyObject, path: str) -> Causes:
    detail = "requires indexed completion mode"
    indexed = ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy")
    given = [field for field in indexed if spec.get(field) is not None]
    return [causes.invalid(f"{path}.{field}", spec[field], detail) for field in given]


def _failure_policy(policy: ReadOnlyObject, spec: ReadOnlyObject, path: str) -> Causes:
    rules = policy.get("rules") or ()
    found: Causes = []
    if len(rules) > _MOST_RULES:
        found.append(causes.too_many(f"{path}.rules", len(rules), _MOST_RULES))
    containers = [
        each.get("name")
        for kind in ("containers", "initContainers")
        for each in ((spec.get("template") or {}).get("spec") or {}).get(kind) or ()
    ]
    for at, rule in enumerate(rules):
        found += _failure_rule(rule, spec, f"{path}.rules[{at}]", containers)
    return found


def _failure_rule(rule: ReadOnlyObject, spec: ReadOnlyObject, path: str, containers: list[str]) -> Causes:
    action, codes, conditions = rule.get("action", ""), rule.get("onExitCodes"), rule.get("onPodConditions")
    found: Causes = []
    if not action:
        shown = " ".join(f'"{each}"' for each in _ACTIONS)
        found.append(causes.required(f"{path}.action", f"valid values: [{shown}]"))
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        detail = "requires the backoffLimitPerIndex to be set"
        found.append(causes.invalid(f"{path}.action", action, detail))
    elif action not in _ACTIONS:
        found.append(causes.not_supported(f"{path}.action", action, _ACTIONS))
    if codes is not None:
        found += _exit_codes(codes, f"{path}.onExitCodes", containers)
    for at, condition in enumerate(conditions or ()):
        kind, where = condition.get("type", ""), f"{path}.onPodConditions[{at}]"
        found += complain(f"{where}.type", kind, names.qualified_name_complaints(kind))
        found += one_of(f"{where}.status", condition.get("status"), ("False", "True", "Unknown"))
    if codes is not None and conditions:
        found.append(_bare(path, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if codes is None and not conditions:
        found.append(_bare(path, "specifying one of OnExitCodes and OnPodConditions is required"))
    return found


def _bare(path: str, detail: str) -> causes.Cause:
    """Say that something is invalid without repeating what it is."""
    return ("FieldValueInvalid", path, f"Invalid value: {detail}")


def _exit_codes(codes: ReadOnlyObject, path: str, containers: list[str]) -> Causes:
    found = one_of(f"{path}.operator", codes.get("operator"), ("In", "NotIn"), required=True)
    name, values = codes.get("containerName"), codes.get("values") or []
    if name is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        found.append(causes.invalid(f"{path}.containerName", name, detail))
    if not values:
        found.append(causes.invalid(f"{path}.values", values, "at least one value is required"))
    elif len(values) > _MOST_CODES:
        found.append(causes.too_many(f"{path}.values", len(values), _MOST_CODES))
    for at, value in enumerate(values):
        if value == 0 and codes.get("operator") == "In":
            found.append(causes.invalid(f"{path}.values[{at}]", value, "must not be 0 for the In operator"))
        elif value in values[:at]:
            found.append(causes.duplicate(f"{path}.values[{at}]", value))
    if list(values) != sorted(values):
        found.append(causes.invalid(f"{path}.values", values, "must be ordered"))
    return found


def _restart(spec: ReadOnlyObject, pod: ReadOnlyObject, path: str) -> Causes:
    policy = pod.get("restartPolicy")
    if policy in (None, "", "Always"):
        return [causes.required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [causes.not_supported(path, policy, ("OnFailure", "Never"))]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        return [causes.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def validate_cron_job(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a CronJob."""
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    found = _schedule(spec, before) + not_negative(spec, "spec", "startingDeadlineSeconds")
    if spec.get("timeZone") is not None and spec["timeZone"] != before.get("timeZone"):
        found += _time_zone(spec["timeZone"], "spec.timeZone")
    found += one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    found += _job_spec((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")
    found += not_negative(spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    name = metadata_of(new).get("name", "")
    if old is None and len(name) > _LONGEST_CRON_JOB:
        found.append(causes.invalid("metadata.name", name, f"must be no more than {_LONGEST_CRON_JOB} characters"))
    return found


def _schedule(spec: ReadOnlyObject, before: ReadOnlyObject) -> Causes:
    schedule, path = spec.get("schedule", ""), "spec.schedule"
    if not schedule:
        return [causes.required(path)]
    problem = schedule_problem(schedule)
    found = [causes.invalid(path, schedule, problem)] if problem else []
    if "TZ" not in schedule:
        return found
    if "TZ" not in before.get("schedule", ""):
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        found.append(causes.invalid(path, schedule, detail))
    elif spec.get("timeZone") is not None:
        detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        found.append(causes.invalid(path, schedule, detail))
    return found


def _time_zone(zone: str, path: str) -> Causes:
    if not zone:
        return [causes.invalid(path, zone, "timeZone must be nil or non-empty string")]
    unknown = causes.invalid(path, zone, f"unknown time zone {zone}")
    parts = zone.split("/")
    if any(part in (".", "..") or not re.fullmatch("[A-Za-z0-9_.+][-A-Za-z0-9_.+]*", part) for part in parts):
        return [unknown]
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [causes.invalid(path, zone, detail)]
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return [unknown]
    return []


VALIDATORS = {("batch", "CronJob"): validate_cron_job, ("batch", "Job"): validate_job}
