"""Write the configuration that pip has on this machine as one file, for the build of an image.

    python3 docker/pip_config.py FOLDER

writes FOLDER/pip.conf and, where pip is told of a CA bundle, a copy of it as FOLDER/ca, which the
configuration names as it lies in the build (/run/secrets/ca). Prints the local folders of packages,
a line each. Both files may hold secrets: FOLDER should be private and be removed afterwards.
"""

import ast
import configparser
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CA = "/run/secrets/ca"
PLACES = ("find-links", "index-url", "extra-index-url")
LEFT_OUT = {"cache-dir", "config-file", "no-cache-dir", "disable-pip-version-check"}


def settings(listing: str) -> dict[str, dict[str, str]]:
    """The lines `section.key='value'` of `pip config list`, by section.

    Variables of the environment come as `:env:.key`; they count last, and for every command.
    """
    found: dict[str, dict[str, str]] = {}
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if key and key not in LEFT_OUT:
            section = "global" if section == ":env:" else section
            found.setdefault(section, {})[key] = str(ast.literal_eval(value))
    return found


def local_folders(found: dict[str, dict[str, str]]) -> Iterator[Path]:
    """Existing folders among the places where pip looks for packages.

    An index gives its parent: the files that it names lie beside it.
    """
    for section in found.values():
        for key in PLACES:
            for place in section.get(key, "").split():
                folder = Path(place.removeprefix("file://"))
                if folder.is_absolute() and folder.is_dir():
                    yield folder if key == "find-links" else folder.parent


def main() -> None:
    target = Path(sys.argv[1])
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    found = settings(listing.stdout)
    bundle = target / "ca"
    bundle.touch(mode=0o600)
    for section in found.values():
        if "cert" in section:
            shutil.copyfile(section["cert"], bundle)
            section["cert"] = CA
    parser = configparser.RawConfigParser()
    for name, section in found.items():
        parser[name] = {key: value.replace("\n", "\n\t") for key, value in section.items()}
    path = target / "pip.conf"
    path.touch(mode=0o600)
    with path.open("w") as file:
        parser.write(file)
    for folder in dict.fromkeys(local_folders(found)):
        print(folder)


if __name__ == "__main__":
    main()
