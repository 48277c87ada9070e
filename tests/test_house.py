"""The files around the library agree with one another and name no machine."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# conda-forge's names where they differ: matplotlib without a GUI toolkit, and the Python handler as a package.
CONDA_NAMES = {"matplotlib-base": "matplotlib"}
ONLY_CONDA = {"python", "pip", "mkdocstrings-python", "frozendict"}


def _requirements(extras):
    """Name -> bounds of the core and of some extras, following extras that name other extras."""
    found = {}
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            found |= _requirements(requirement.extras)
        else:
            found[requirement.name] = requirement.specifier
    return found


def _environment():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    plain = [line for line in dependencies if isinstance(line, str)]
    through_pip = [line for group in dependencies if isinstance(group, dict) for line in group["pip"]]
    requirements = map(Requirement, plain + through_pip)
    return {CONDA_NAMES.get(r.name, r.name): r.specifier for r in requirements}


def test_environment_asks_for_what_pyproject_asks_for():
    environment = _environment()
    assert str(environment["python"]) == PROJECT["requires-python"]
    assert {name: environment[name] for name in environment.keys() - ONLY_CONDA} == _requirements(["all"])


def test_every_bound_says_why():
    text = (ROOT / "pyproject.toml").read_text()
    lines = [line for line in text.splitlines() if re.match(r'^\s+"[A-Za-z0-9-]+(\[\w+\])?[><=]', line)]
    assert len(lines) >= len(_requirements(["all"]))
    assert [line for line in lines if "  # " not in line] == []


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_tested_versions_lie_within_the_bounds(python):
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if not requirement.marker or requirement.marker.evaluate({"python_version": python}):
                assert requirement.name.lower() not in pinned, line
                pinned[requirement.name.lower().replace("_", "-")] = str(requirement.specifier).removeprefix("==")
    for name, bounds in _requirements(["all"]).items():
        assert bounds.contains(pinned[name.lower()]), f"{name}=={pinned[name.lower()]} is not {bounds}"


def _texts():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file():
            try:
                yield name, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def test_no_machine_or_package_index_is_named():
    private = re.compile(
        r"(?<![\w.])/(?:home|Users|root|work|tmp|opt)/\w|(?:index|find.links|pypi)\S*https?://|\w\.internal\b|@ file:"
    )
    found = [
        f"{name}: {match[0]}"
        for name, text in _texts()
        if name != "tests/test_house.py"
        for match in [private.search(text)]
        if match
    ]
    assert found == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_of_documents_lead_somewhere(document):
    text = (ROOT / document).read_text()
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if not target.startswith("https://")]
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_folders_that_readme_lists_exist():
    names = re.findall(r"^\| `([\w/.]+)` \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    folders = [name for name in names if "/" in name]
    assert len(folders) >= 4
    assert [name for name in folders if not (ROOT / name).exists()] == []


def test_every_target_of_the_makefile_is_explained():
    text = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)[1].split())
    shown = subprocess.run(
        ["make", "--silent", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in shown.splitlines()} == phony
    assert {"serve", "test", "lint", "bench", "docs"} <= phony
