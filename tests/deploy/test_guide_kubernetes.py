"""docs/guide-kubernetes.md: its values are taken, its commands do what it says."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from schemas.settings import Settings
from tests.deploy.test_chart import DEVELOPMENT
from tests.deploy.test_chart_policies import policies_of, ports_out
from tests.support.helm import CHART, KUBERNETES, ROOT, rendered, run
from tests.support.manifests import named, pods, policy_problems, schema_problems
from workers.cli import main as cli
from workers.cli.main import build_app

GUIDE = (ROOT / "docs" / "guide-kubernetes.md").read_text()
BLOCKS = re.findall(r"```yaml\n# ([^\n]+)\n(.*?)```", GUIDE, re.DOTALL)
FILES = {title: text for title, text in BLOCKS if re.fullmatch(r"[\w-]+\.yaml", title)}

HELM_WORDS = [["helm", verb] for verb in ("install", "upgrade", "template")]


def commands() -> list[list[str]]:
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL))
    return [shlex.split(line) for line in re.findall(r"^\$ (.+)$", blocks, re.MULTILINE)]


def releases() -> list[list[str]]:
    """Each `helm install`, `upgrade` or `template` of the guide."""
    return [words for words in commands() if words[:2] in HELM_WORDS]


@cache
def printed() -> dict[str, str]:
    """Files that commands of the guide print: `vigie ... > FILE`."""
    found = {}
    for words in commands():
        if words[0] == "vigie" and ">" in words:
            with contextlib.redirect_stdout(io.StringIO()) as output:
                assert cli.main(words[1 : words.index(">")]) == 0
            found[words[-1]] = output.getvalue()
    return found


def rendered_as_in(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command of the guide as `helm template`, its files where it looks for them."""
    files = FILES | printed()
    for name, text in files.items():
        (folder / name).write_text(text)
    words = words[2 : words.index(">")] if ">" in words else words[2:]
    words = [str(folder / w) if w in files else str(ROOT / w) if "/" in w else w for w in words]
    version = [] if "--kube-version" in words else ["--kube-version", KUBERNETES]
    return run("template", *words, *version)


@pytest.mark.parametrize("words", releases(), ids=" ".join)
def test_every_release_of_the_guide_comes_out_as_it_says(words, tmp_path):
    done = rendered_as_in(words, tmp_path)

    if "config.topics.partitons=8" in words:
        (shown,) = re.findall(r"^(Error: values.*?)```", GUIDE, re.DOTALL | re.MULTILINE)
        assert done.returncode != 0
        assert done.stderr.split() == shown.split()
    else:
        assert done.returncode == 0, done.stderr


OTHERS = {"kustomization.yaml", "sender.yaml", "an outside listener"}
VALUES = {title: text for title, text in BLOCKS if title not in OTHERS}


@pytest.mark.parametrize("text", VALUES.values(), ids=VALUES.keys())
def test_every_piece_of_values_is_taken(text, tmp_path):
    (tmp_path / "values.yaml").write_text(text)
    files = [CHART / "values-production.yaml", tmp_path / "values.yaml"]

    done = run("template", CHART, "--kube-version", KUBERNETES, *(f"-f={file}" for file in files))

    assert done.returncode == 0, done.stderr


def test_the_mail_server_and_the_registry_of_the_guide_are_reached(tmp_path):
    (tmp_path / "values.yaml").write_text(VALUES["Kafka with SCRAM, a registry, and e-mail"])
    files = [CHART / "values-production.yaml", tmp_path / "values.yaml"]
    done = run("template", CHART, "--kube-version", KUBERNETES, *(f"-f={file}" for file in files))
    manifests = [one for one in yaml.safe_load_all(done.stdout) if one]

    out = {name: {*ports_out(policies_of(pod, manifests))} for name, pod in pods(manifests)}
    assert Settings().smtp.port in out["release-name-vigie-gateway"]
    assert 8081 in out["release-name-vigie-driver"] & out["ray-cpu"]


def test_a_second_release_takes_nothing_away_from_the_first(tmp_path):
    made = {}
    for words in releases():
        if words[1] == "install" and "my-values.yaml" in words:
            text = rendered_as_in(words, tmp_path).stdout
            made[words[2]] = {
                (one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(text) if one
            }

    assert ("Deployment", "next-vigie-driver") in made["next"]
    assert ("Deployment", "vigie-driver") in made["vigie"]
    assert not made["next"] & made["vigie"]


def test_the_overlay_builds_on_the_rendered_chart(tmp_path):
    kubectl = shutil.which("kubectl") or pytest.skip("kubectl is missing: kustomize is not tried")
    (template,) = (words for words in releases() if words[1] == "template")
    (tmp_path / "vigie.yaml").write_text(rendered_as_in(template, tmp_path).stdout)

    done = subprocess.run(
        [kubectl, "kustomize", tmp_path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    manifests = {
        (one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)
    }
    driver = manifests["Deployment", "vigie-driver"]
    assert driver["metadata"]["namespace"] == "plant-7"
    (container,) = driver["spec"]["template"]["spec"]["containers"]
    assert {"name": "VIGIE_LOG__LEVEL", "value": "debug"} in container["env"]
    groups = manifests["RayCluster", "vigie-ray"]["spec"]["workerGroupSpecs"]
    assert groups[0]["maxReplicas"] == 24


def test_the_sender_of_the_guide_is_the_producer_that_the_chart_makes():
    sender = yaml.safe_load(FILES["sender.yaml"])
    manifests = rendered(*DEVELOPMENT)
    assert schema_problems(sender) == policy_problems(sender) == []

    # As the one user with the rights of a producer, at the address that the driver has.
    (container,) = sender["spec"]["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    (driver,) = dict(pods(manifests))["vigie-driver"]["spec"]["containers"]
    told = {one["name"]: one["value"] for one in driver["env"]}
    user = named(manifests, "KafkaUser", env["VIGIE_KAFKA__CLIENT__SASL_PLAIN_USERNAME"])
    assert user["spec"]["authorization"]["acls"][0]["operations"] == ["Write"]
    for name in ("BOOTSTRAP", "CLIENT__SECURITY_PROTOCOL", "CLIENT__SASL_MECHANISM"):
        assert env[f"VIGIE_KAFKA__{name}"] == told[f"VIGIE_KAFKA__{name}"]
    # The files that it reads are keys of Secrets that Strimzi makes.
    volume = sender["spec"]["volumes"][-1]
    made = [
        user["metadata"]["name"],
        f"{named(manifests, 'Kafka')['metadata']['name']}-cluster-ca-cert",
    ]
    assert [one["secret"]["name"] for one in volume["projected"]["sources"]] == made
    app: Any = typer.main.get_command(build_app())
    command = app.commands[container["args"][0]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in container["args"] if word.startswith("--")} <= known


def test_each_image_is_built_before_it_is_used():
    lines = [" ".join(words) for words in commands()]
    tags = {tag for line in lines for tag in re.findall(r"^docker build .*-t (\S+)", line)}

    assert tags == {"vigie:0.1.0", "vigie:0.1.0-cuda"}
    assert lines.index("docker build -t vigie:0.1.0 .") < lines.index(
        "kind load docker-image vigie:0.1.0"
    )


def test_every_vigie_command_that_it_names_exists():
    app: Any = typer.main.get_command(build_app())
    named = set(re.findall(r"`vigie ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", GUIDE))

    assert {"run", "serve", "topics acls"} <= named
    for words in map(str.split, named):
        command = app.commands[words[0]]
        if hasattr(command, "commands"):
            assert words[1] in command.commands


def test_every_value_that_it_names_exists():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    paths = set(re.findall(rf"`((?:{'|'.join(values)})(?:\.\w+)+)`", GUIDE))

    assert len(paths) > 20
    missing = {path for path in paths if not _has(values, path.split("."))}
    assert missing == {"gateway.secret_key"}, "that one is a setting, named as a secret"


def _has(values: Any, keys: list[str]) -> bool:
    """Whether a path leads somewhere; what is below these three is the user's, or the settings'."""
    if not keys or keys[0] in {"secrets", "config", "tokens"}:
        return True
    return isinstance(values, dict) and keys[0] in values and _has(values[keys[0]], keys[1:])


RUNBOOKS = [*(ROOT / "docs" / "runbooks").glob("*.md")]


def test_commands_for_the_cluster_say_in_which_namespace_and_of_what():
    texts = {path.name: path.read_text() for path in RUNBOOKS} | {"guide": GUIDE}
    lines = [
        (name, line)
        for name, text in texts.items()
        for line in re.findall(r"\bkubectl (?:get|logs|describe|rollout|exec) [^`\n]+", text)
    ]

    assert len(lines) > 5
    assert [one for one in lines if " -n vigie" not in one[1]] == []
    assert [one for one in lines if re.search(r"(logs|status) -n vigie( -\S+)*$", one[1])] == []
