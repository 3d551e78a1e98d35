"""What goes into an image: the files that .dockerignore lets in, and the distributions that its extras name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement

from recsys.cli import COMMANDS

ROOT = Path(__file__).parents[3]
OURS = ("recsys", "stream", "serving", "batch", "infra")
DISTRIBUTION = "course-stream-recommender"


def in_the_build(path: str) -> bool:
    """Docker's rule: of all patterns that match a path or a folder above it, the last decides."""
    ancestors = {path, *map(str, Path(path).parents)}
    taken = True
    for line in (ROOT / ".dockerignore").read_text().split():
        pattern = line.removeprefix("!")
        if pattern == "*" or pattern in ancestors or (pattern.startswith("**/") and Path(path).match(pattern[3:])):
            taken = line.startswith("!")
    return taken


NEEDED = [
    "recsys/cli.py",
    "stream/command.py",
    "batch/commands.py",
    "serving/commands.py",
    "infra/operator/topics.py",
    "pyproject.toml",
    "requirements/lock.txt",
    "LICENSE",
    "NOTICE",
    "README.md",
    "infra/docker/lock-subset",
]
DEVELOPERS = ["infra/devtools/demo.py", "tests/conftest.py", "benchmarks/soak.py", "docs/faults.md"]


@pytest.mark.parametrize("path", NEEDED)
def test_what_a_process_needs_is_in_the_build(path: str) -> None:
    assert (ROOT / path).is_file()
    assert in_the_build(path)


@pytest.mark.parametrize("path", DEVELOPERS)
def test_what_only_developers_need_is_not(path: str) -> None:
    assert (ROOT / path).is_file()
    assert not in_the_build(path)


IMAGES = {
    "recsys-stream": ("stream infra", ("topics", "stream", "monitor", "rebuild", "status", "doctor")),
    "recsys-serving": ("serving", ("serve", "recommend")),
    "recsys-batch": ("batch infra", ("retrain", "evaluate")),
    "recsys-finetune": ("stream batch", ("finetune",)),
}
"""Image → the extras that docker-compose.yml gives it, and the commands it is for."""

ELSEWHERE = {
    ("recsys-serving", "pandas"): "recsys.files: the events of a platform's files, not those of a request",
    ("recsys-serving", "faust"): "recsys.kafka.clients.faust_options, of the workers",
    ("recsys-serving", "kafka"): "recsys.kafka.clients, of the batch layer; the API has aiokafka",
    ("recsys-batch", "aiokafka"): "recsys.kafka.clients.aiokafka_options and faust_options, of workers and API",
    ("recsys-batch", "faust"): "recsys.kafka.clients.faust_options, of the workers",
    ("recsys-batch", "sentence_transformers"): "batch.text_encoders: the extra `transformer`, asked for by name",
}
"""What modules of an image import inside of functions that nothing there calls, and which."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*OURS, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(extras: Iterable[str]) -> set[str]:
    """The distributions that our own brings with some extras, and what those bring."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(DISTRIBUTION, frozenset(extras))]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        for requirement in map(Requirement, metadata.requires(name) or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                waiting.append((normal(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in found}


@pytest.mark.parametrize("image", IMAGES)
def test_the_extras_of_an_image_name_all_that_its_commands_import(image: str, graph: grimp.ImportGraph) -> None:
    extras, commands = IMAGES[image]
    there, distributions = installed(extras.split()), metadata.packages_distributions()
    for command in commands:
        module = COMMANDS[command][0].partition(":")[0]
        imported = {name.partition(".")[0] for name in graph.find_upstream_modules(module)}
        others = imported - set(OURS) - set(sys.stdlib_module_names)
        missing = {name for name in others if not {normal(each) for each in distributions.get(name, ())} & there}
        assert missing <= {name for of_image, name in ELSEWHERE if of_image == image}, (command, missing)


def test_the_container_of_the_fine_tuner_gives_way_to_the_others() -> None:
    """Priorities of processes count within a container only."""
    services = re.split(r"\n  (?=\w+:\n)", (ROOT / "docker-compose.yml").read_text())
    assert [service.partition(":")[0] for service in services if "\n    cpu_shares: 2 " in service] == ["finetune"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_built_with_those_extras(image: str) -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    (built,) = re.findall(rf"image: {image}:local\n    build: .*EXTRAS: ([a-z ]+)}}", compose)
    assert built == IMAGES[image][0]
