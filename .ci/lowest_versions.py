"""Prints a pip constraints file that holds every dependency at the lowest version allowed.

torch and torchvision are left out: each of their versions brings gigabytes of its own, so they are
tested as they are installed.
"""

from pathlib import Path

from packaging.requirements import Requirement

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

LEFT_OUT = {"torch", "torchvision"}

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for line in sum(project["optional-dependencies"].values(), project["dependencies"]):
    requirement = Requirement(line)
    for specifier in requirement.specifier:
        if specifier.operator == ">=" and requirement.name not in LEFT_OUT:
            print(f"{requirement.name}=={specifier.version}")
