"""Brings the studio's third-party modules into the package: `python scripts/vendor_ui.py`, or `--check`.

Only whoever changes a version runs this, and only they need npm.  Each package is fetched by npm at the version below,
must match the integrity that npm records for it, and gives the files listed.  Browsers resolve no bare names
(`from "preact"`) without an inline import map, which the studio's Content-Security-Policy forbids, so those imports are
rewritten to neighbouring files; nothing else is changed.  `vendor/manifest.json` says what came from where, with the
SHA-256 of every file; `--check` compares without a network, as a test does.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MANIFEST = "manifest.json"
SOURCE_MAP = re.compile(rb"\n?//# sourceMappingURL=.*\s*$")


@dataclass(frozen=True)
class Package:
    """What is taken from one npm package: path inside it -> name here.  `LICENSE` is always taken."""

    name: str
    version: str
    integrity: str  # sha512 of the tarball, base64, as in npm's lock files
    files: dict[str, str]
    export: str = ""  # a global of a classic script that is made a module's default export


@dataclass(frozen=True)
class Target:
    """A folder of vendored files."""

    folder: Path
    packages: tuple[Package, ...]


STUDIO = Target(
    REPOSITORY / "src/cosy/server/ui/vendor",
    (
        Package(
            "preact",
            "11.2.0",
            "sha512-/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
            {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "preact-hooks.js"},
        ),
        Package(
            "@preact/signals",
            "2.11.4",
            "sha512-Rb+5RPo9gWSaHtzJeauhHxiC8KP/IF2DEPkHPEOGOnuy2wnJzRqyeLRankUCYd6ADqtxS6GnWGv6Ie343d8aYw==",
            {"dist/signals.mjs": "signals.js"},
        ),
        Package(
            "@preact/signals-core",
            "1.14.5",
            "sha512-vcRv7Ityz5JVmeiVqIluLFzT/PDS/AlhHUpw3/aUWqcVUs6bDGIPXE/6RSC4evBNWYvnniozg5Syfj33al3gkg==",
            {"dist/signals-core.mjs": "signals-core.js"},
        ),
        Package(
            "htm",
            "3.1.1",
            "sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
            {"dist/htm.mjs": "htm.js"},
        ),
        Package(
            "wavesurfer.js",
            "8.0.1",
            "sha512-h0OnRWSVTqIYLSw3/IVrBtsun/xw9L5u4FA3bjfSDTFMX/xswVWS1JwK4fFu3ulmxRUSHg8zQORl6zENG983eg==",
            {
                "dist/wavesurfer.esm.js": "wavesurfer.js",
                "dist/plugins/record.esm.js": "wavesurfer-record.js",
                "dist/plugins/regions.esm.js": "wavesurfer-regions.js",
                "dist/plugins/spectrogram.esm.js": "wavesurfer-spectrogram.js",
            },
        ),
        Package(
            "uplot",
            "1.6.32",
            "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
            {"dist/uPlot.iife.min.js": "uplot.js", "dist/uPlot.min.css": "uplot.css"},
            export="uPlot",
        ),
    ),
)
TESTS = Target(
    REPOSITORY / "tests/studio/vendor",
    (
        Package(
            "axe-core",
            "4.14.1",
            "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
            {"axe.min.js": "axe.min.js"},
        ),
    ),
)
BARE = {
    "preact": "./preact.js",
    "preact/hooks": "./preact-hooks.js",
    "@preact/signals-core": "./signals-core.js",
}


def vendor(target: Target) -> None:
    """Fetch every package, and write its files and the manifest."""
    target.folder.mkdir(parents=True, exist_ok=True)
    entries: dict[str, dict[str, str]] = {}
    for package in target.packages:
        with tempfile.TemporaryDirectory() as folder:
            members = _unpacked(_fetched(package, Path(folder)))
        wanted = {**package.files, "LICENSE": "LICENSE." + package.name.strip("@").replace("/", "-")}
        for source, name in wanted.items():
            data = _fitted(members[source], name, package.export)
            (target.folder / name).write_bytes(data)
            entries[name] = {"package": package.name, "version": package.version, "file": source, "sha256": _sha(data)}
    text = json.dumps(dict(sorted(entries.items())), indent=1) + "\n"
    (target.folder / MANIFEST).write_text(text, encoding="utf-8")


def differences(target: Target) -> list[str]:
    """Names of files that are missing, changed, or in no manifest."""
    entries = json.loads((target.folder / MANIFEST).read_text(encoding="utf-8"))
    here = {file.name for file in target.folder.iterdir()} - {MANIFEST}
    kept = here & entries.keys()
    changed = [name for name in kept if _sha((target.folder / name).read_bytes()) != entries[name]["sha256"]]
    return sorted([*changed, *(here ^ entries.keys())])


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _fetched(package: Package, folder: Path) -> bytes:
    """The tarball, by npm's own client.  Ends the program if it is not the one that was reviewed."""
    command = ["npm", "pack", "--silent", f"{package.name}@{package.version}", "--pack-destination", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    data = next(folder.glob("*.tgz")).read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != package.integrity:
        sys.exit(f"{package.name} {package.version} has integrity {found}, expected {package.integrity}")
    return data


def _unpacked(tarball: bytes) -> dict[str, bytes]:
    with tempfile.TemporaryFile() as file:
        file.write(tarball)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            files = [member for member in archive if member.isfile()]
            return {member.name.partition("/")[2]: archive.extractfile(member).read() for member in files}  # type: ignore[union-attr]


def _fitted(data: bytes, name: str, export: str) -> bytes:
    if not name.endswith((".js", ".css")) or name == "axe.min.js":
        return data
    data = SOURCE_MAP.sub(b"\n", data)  # the maps are not served
    for bare, neighbour in BARE.items():
        data = data.replace(f'from"{bare}"'.encode(), f'from"{neighbour}"'.encode())
    return data + f"export default {export};\n".encode() if export and name.endswith(".js") else data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the manifests instead of fetching")
    if not parser.parse_args().check:
        for target in (STUDIO, TESTS):
            vendor(target)
    wrong = [name for target in (STUDIO, TESTS) for name in differences(target)]
    sys.exit(f"not as the manifests say: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
