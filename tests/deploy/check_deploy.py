#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/ against schemas, and against the program that it deploys: check_deploy.py CFINE MODEL

Every file must fit its schema (tests/deploy/schemas.py; those of Kubernetes itself where a Python has the package
kubernetes-validate, see tests/oracle.py), the program must take the arguments, answer at the probes'
paths and have the metrics, and the container must hold every library that the program needs. Exits 77 (skipped)
without PyYAML.
"""
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, ".."), os.path.join(HERE, "..", "serve")]
import oracle  # noqa: E402
from schemas import KINDS, PROMETHEUS_ADAPTER, problems  # noqa: E402
from server import serving  # noqa: E402

try:
    import yaml
except ImportError:
    oracle.skip("no PyYAML (python3-yaml)")

CFINE, MODEL = sys.argv[1:3]
TOP = os.path.join(HERE, "..", "..")
DEPLOY = os.path.join(TOP, "deploy")
KUBERNETES = """import json, sys, kubernetes_validate as k
for one in json.load(sys.stdin):
    k.validate(one, k.latest_version(), strict=True)"""


class Strict(yaml.SafeLoader):
    """Refuses what YAML lets pass: a key that is there twice."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), "twice the same key: %s" % keys
        return super().construct_mapping(node, deep)


def documents(name):
    with open(os.path.join(DEPLOY, name)) as f:
        return list(yaml.load_all(f, Strict))


def check_schemas(everything):
    for one in everything:
        found = problems(one, KINDS[one["apiVersion"], one["kind"]], one["kind"])
        assert not found, found
    for name in ("prometheus-adapter.yaml",):
        for one in documents(name):
            assert not problems(one, PROMETHEUS_ADAPTER, name)
    # The schemas see what is wrong.
    deployment = next(one for one in everything if one["kind"] == "Deployment")
    for change in ('"replicas": "2"', '"replica": 2', '"selector": {}, "template": {}', '"replicas": true'):
        broken = dict(deployment, spec=dict(deployment["spec"], **json.loads("{%s}" % change)))
        assert problems(broken, KINDS["apps/v1", "Deployment"]), change


def pod_specs(everything):
    for one in everything:
        if one["kind"] == "Deployment":
            yield one["spec"]["template"]["spec"]
        if one["kind"] == "InferenceService":
            own = ("minReplicas", "maxReplicas", "timeout", "annotations")
            yield {key: value for key, value in one["spec"]["predictor"].items() if key not in own}


def check_kubernetes(everything):
    """By Kubernetes' own schemas; the InferenceService's pod as a pod."""
    python = oracle.python_with("kubernetes_validate")
    if not python:
        print("left out: Kubernetes' own schemas (no kubernetes-validate)")
        return
    own = [one for one in everything if "kserve" not in one["apiVersion"]]
    own += [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec} for spec in pod_specs(everything)]
    done = subprocess.run([python, "-c", KUBERNETES], input=json.dumps(own), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check_names(everything):
    """What refers to something finds it."""
    deployments = {one["metadata"]["name"]: one for one in everything if one["kind"] == "Deployment"}
    inference = [one["metadata"]["name"] for one in everything if one["kind"] == "InferenceService"]
    for one in everything:
        if one["kind"] == "Service":
            chosen = [d for d in deployments.values() if one["spec"]["selector"].items() <=
                      d["spec"]["template"]["metadata"]["labels"].items()]
            ports = {p["name"] for d in chosen for c in d["spec"]["template"]["spec"]["containers"] for p in c["ports"]}
            assert chosen and all(p["targetPort"] in ports for p in one["spec"]["ports"])
        if one["kind"] == "HorizontalPodAutoscaler":
            target = one["spec"]["scaleTargetRef"]["name"]
            assert target in deployments or target in [name + "-predictor" for name in inference]
    for one in deployments.values():
        assert one["spec"]["selector"]["matchLabels"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
    for spec in pod_specs(everything):
        drain = [float(a.split("=")[1]) for c in spec["containers"] for a in c["args"] if a.startswith("--drain=")]
        sleep = [float(c["lifecycle"]["preStop"]["exec"]["command"][1]) for c in spec["containers"]]
        assert sum(drain) + sum(sleep) < spec["terminationGracePeriodSeconds"]


def check_program(everything):
    """The arguments, probes, ports and metrics are those of the program."""
    for spec in pod_specs(everything):
        for container in spec["containers"]:
            args = dict(word.lstrip("-").split("=", 1) for word in container["args"][1:])
            assert container["args"][0] == "serve" and args["host"] == "0.0.0.0"
            assert [p["containerPort"] for p in container["ports"]] == [int(args["port"])]
            assert args["threads"] == container["resources"]["limits"]["cpu"]
            mounts = [m["mountPath"] for m in container.get("volumeMounts", [])]
            assert args["model"] in mounts + ["/mnt/models"], args["model"]
            kept = [w for w in container["args"][1:] if not re.match(r"--(host|port|model|access-log)=", w)]
            with serving(CFINE, MODEL, *kept) as server:
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    assert server.ask("GET", container[probe]["httpGet"]["path"])[0] == 200, probe
                metrics = server.ask("GET", "/metrics")[2].decode()
    adapter = documents("prometheus-adapter.yaml")[0]["rules"]["custom"]
    for rule in adapter:
        for name in re.findall(r"\bcfine_\w+", rule["seriesQuery"] + rule["metricsQuery"]):
            assert re.search("^%s " % name, metrics, re.M), name
        assert rule["metricsQuery"].count("(") == rule["metricsQuery"].count(")")
    given = {rule["name"]["as"] for rule in adapter}
    for one in everything:
        if one["kind"] == "HorizontalPodAutoscaler":
            assert {m["pods"]["metric"]["name"] for m in one["spec"]["metrics"]} <= given


def instructions(text):
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def check_container():
    with open(os.path.join(DEPLOY, "Containerfile")) as f:
        lines = instructions(f.read())
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD", "ENV", "LABEL", "ARG"}
    last, stages = 0, []
    for i, line in enumerate(lines):
        word, rest = line.split(None, 1)
        assert word in known, line
        if word == "FROM":
            assert re.fullmatch(r"[a-z0-9/.:-]+( AS [a-z]+)?", rest), line
            last = i
            stages += rest.split(" AS ")[1:]
        if word == "COPY":
            words = rest.split()
            if words[0].startswith("--from="):
                assert words[0][7:] in stages, line
            else:
                assert all(os.path.exists(os.path.join(TOP, source)) for source in words[:-1]), line
        if word in ("ENTRYPOINT", "CMD"):
            assert all(isinstance(one, str) for one in json.loads(rest)), line
        if word == "RUN" and "||" not in rest:
            subprocess.run(["bash", "-n", "-c", rest], check=True)
    final = lines[last:]
    assert any(line.startswith("USER ") and line != "USER root" for line in final)
    words = json.loads(next(line for line in final if line.startswith("CMD ")).split(None, 1)[1])
    assert words[0] == "serve"
    installed = set(re.search(r"apt-get install(.*?)&&", " ".join(final)).group(1).split())
    assert {"libmicrohttpd12", "libcairo2", "libcurl4"} <= installed  # those that are opened late
    if not (shutil.which("dpkg") and shutil.which("ldd") and "bookworm" in open("/etc/os-release").read()):
        print("left out: packages of linked libraries (this is not the container's Debian)")
        return
    linked = {}
    for path in re.findall(r"=> (/\S+)", subprocess.run(["ldd", CFINE], capture_output=True, text=True).stdout):
        owner = ""
        for name in (path, os.path.realpath(path), "*/" + os.path.basename(os.path.realpath(path))):
            owner = owner or subprocess.run(["dpkg", "-S", name], capture_output=True, text=True).stdout
        linked[path] = owner.split(":")[0]
    allowed = installed | {"libc6", "zlib1g", "libgcc-s1", "libgcc1"}  # in every Debian
    sanitizers = {package for package in linked.values() if "san" in package}
    if sanitizers:
        allowed |= sanitizers | {"libstdc++6"}  # which their runtimes link
    for path, package in linked.items():
        assert package in allowed, (path, package)


def main():
    everything = [one for name in ("kubernetes.yaml", "kserve.yaml") for one in documents(name)]
    check_schemas(everything)
    check_kubernetes(everything)
    check_names(everything)
    check_program(everything)
    check_container()


main()
