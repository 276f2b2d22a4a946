"""Prints a pip constraints file that holds every dependency at the lowest version allowed.

torch and torchvision are held at what is installed: any other version is gigabytes to download.
"""

from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

HELD = ("torch", "torchvision")

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for line in sum(project["optional-dependencies"].values(), project["dependencies"]):
    requirement = Requirement(line)
    for specifier in requirement.specifier:
        if specifier.operator == ">=" and requirement.name not in HELD:
            print(f"{requirement.name}=={specifier.version}")
for name in HELD:
    print(f"{name}=={version(name)}")
