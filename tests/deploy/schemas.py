# SPDX-License-Identifier: Apache-2.0
"""Schemas of what deploy/ holds: the documented fields that are used there and no others, with what they may be.

A schema is a type, a compiled pattern (of a string), a set (of allowed values), [schema] (a list of at least one),
{str: schema} (a map of any keys), or a dict of fields; "!field" is required. problems() names what does not fit.
"""
import re

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?")
IMAGE = re.compile(r"[a-z0-9./:_-]+")
PATH = re.compile(r"/[\x21-\x7e]*")
STRINGS = {str: str}

LABELS = {str: re.compile(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")}
METADATA = {"!name": NAME, "namespace": NAME, "labels": LABELS, "annotations": STRINGS}
PROBE = {"!httpGet": {"path": PATH, "!port": (int, PORT_NAME), "scheme": {"HTTP", "HTTPS"}}, "initialDelaySeconds": int,
         "periodSeconds": int, "timeoutSeconds": int, "failureThreshold": int, "successThreshold": int}
RESOURCES = {"cpu": QUANTITY, "memory": QUANTITY}
CONTAINER = {
    "!name": NAME, "!image": IMAGE, "command": [str], "args": [str],
    "env": [{"!name": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"), "value": str}],
    "ports": [{"name": PORT_NAME, "!containerPort": int, "protocol": {"TCP", "UDP"}}],
    "resources": {"requests": RESOURCES, "limits": RESOURCES},
    "startupProbe": PROBE, "readinessProbe": PROBE, "livenessProbe": PROBE,
    "lifecycle": {"preStop": {"exec": {"!command": [str]}}},
    "securityContext": {"allowPrivilegeEscalation": bool, "readOnlyRootFilesystem": bool, "runAsNonRoot": bool,
                        "runAsUser": int, "capabilities": {"drop": [str], "add": [str]}},
    "volumeMounts": [{"!name": NAME, "!mountPath": PATH, "readOnly": bool}]}
POD_FIELDS = {
    "!containers": [CONTAINER], "terminationGracePeriodSeconds": int, "automountServiceAccountToken": bool,
    "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "seccompProfile": {"!type": {"RuntimeDefault"}}},
    "volumes": [{"!name": NAME, "persistentVolumeClaim": {"!claimName": NAME, "readOnly": bool}}]}
PERCENT_OR_NUMBER = (int, re.compile(r"[0-9]+%"))
RULES = {"stabilizationWindowSeconds": int, "selectPolicy": {"Max", "Min", "Disabled"},
         "policies": [{"!type": {"Pods", "Percent"}, "!value": int, "!periodSeconds": int}]}

KINDS = {
    ("apps/v1", "Deployment"): {
        "!apiVersion": str, "!kind": str, "!metadata": METADATA,
        "!spec": {"replicas": int, "revisionHistoryLimit": int, "!selector": {"matchLabels": LABELS},
                  "strategy": {"type": {"RollingUpdate", "Recreate"},
                               "rollingUpdate": {"maxUnavailable": PERCENT_OR_NUMBER, "maxSurge": PERCENT_OR_NUMBER}},
                  "!template": {"metadata": {"labels": LABELS, "annotations": STRINGS}, "!spec": POD_FIELDS}}},
    ("v1", "Service"): {
        "!apiVersion": str, "!kind": str, "!metadata": METADATA,
        "!spec": {"selector": LABELS, "type": {"ClusterIP", "NodePort", "LoadBalancer"},
                  "ports": [{"name": PORT_NAME, "!port": int, "targetPort": (int, PORT_NAME), "protocol": {"TCP", "UDP"}}]}},
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {
        "!apiVersion": str, "!kind": str, "!metadata": METADATA,
        "!spec": {"!scaleTargetRef": {"!apiVersion": str, "!kind": str, "!name": NAME}, "minReplicas": int,
                  "!maxReplicas": int,
                  "metrics": [{"!type": {"Pods"}, "!pods": {"!metric": {"!name": str}, "!target": {
                      "!type": {"AverageValue"}, "!averageValue": QUANTITY}}}],
                  "behavior": {"scaleUp": RULES, "scaleDown": RULES}}},
    ("serving.kserve.io/v1beta1", "InferenceService"): {
        "!apiVersion": str, "!kind": str, "!metadata": METADATA,
        "!spec": {"!predictor": dict(
            POD_FIELDS, minReplicas=int, maxReplicas=int, timeout=int, containerConcurrency=int, annotations=STRINGS,
            labels=LABELS, scaleMetric={"cpu", "memory", "concurrency", "rps"}, scaleTarget=int)}},
}
PROMETHEUS_ADAPTER = {"!rules": {"!custom": [{
    "!seriesQuery": str, "!resources": {"overrides": {str: {"!resource": str, "group": str}}, "template": str},
    "name": {"matches": str, "as": str}, "!metricsQuery": str, "seriesFilters": [{"is": str, "isNot": str}]}]}}


def problems(value, schema, where=""):
    if isinstance(schema, tuple):
        every = [problems(value, one, where) for one in schema]
        return [] if not all(every) else every[0]
    if isinstance(schema, re.Pattern):
        return [] if isinstance(value, str) and schema.fullmatch(value) else ["%s: %r" % (where, value)]
    if isinstance(schema, set):
        return [] if value in schema else ["%s: %r is none of %s" % (where, value, sorted(schema))]
    if isinstance(schema, list):
        if not isinstance(value, list) or not value:
            return ["%s: no list of something" % where]
        return [p for i, one in enumerate(value) for p in problems(one, schema[0], "%s[%d]" % (where, i))]
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return ["%s: no map" % where]
        if str in schema:
            return [p for key, one in value.items() for p in
                    ([] if isinstance(key, str) else [where + ": a key that is no text"]) +
                    problems(one, schema[str], "%s.%s" % (where, key))]
        fields = {key.lstrip("!"): one for key, one in schema.items()}
        missing = ["%s.%s is missing" % (where, key[1:]) for key in schema if key[0] == "!" and key[1:] not in value]
        unknown = ["%s.%s is no field" % (where, key) for key in value if key not in fields]
        return missing + unknown + [p for key, one in value.items() if key in fields
                                    for p in problems(one, fields[key], "%s.%s" % (where, key))]
    good = isinstance(value, schema) and not (schema is int and isinstance(value, bool))
    return [] if good else ["%s: %r is no %s" % (where, value, schema.__name__)]
