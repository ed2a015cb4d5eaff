"""Packs a release, tracebit-lake-VERSION.zip, from the functions' zips and the command-line tools that `.ci/release`
built.

    release.py FOLDER FUNCTIONS ARCHITECTURE...

FOLDER holds the tools, as tools-ARCHITECTURE, and gets the zip and its checksum. FUNCTIONS holds a folder for each
architecture. The same input makes the same zip: SOURCE_DATE_EPOCH is the only time in it, and every list is sorted.
"""

import datetime
import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid
import zipfile

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

ROOT = pathlib.Path(__file__).resolve().parent.parent
EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
SHIPPED = ["tracebit-lake", "tracebit-lake-tools"]
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
# What a reader of the zip needs besides the programs: the pages and what they link to, and the settings of `sam local`.
PAGES = [":(glob)*.md", "LICENSE-*", "docs", "events", "schemas", "queries", "views", "env.json"]
PAGES += ["benches/README.md", "fuzz/README.md"]
BUILDS_TOOL = b"cargo run --package tracebit-lake-tools --"
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
NO_FILE = "The package has no licence file of its own. Its Cargo.toml names these authors: {}"


def run(*command):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout


# ------------------------------------------------------------------------------------------------------- dependencies


class Package:
    """A package whose code is in one of the programs."""

    def __init__(self, metadata, checksum):
        assert metadata["license"], f"{metadata['name']} names no licence"
        self.name, self.version = metadata["name"], metadata["version"]
        # Old packages write a slash for OR.
        self.licence = metadata["license"].replace("/", " OR ")
        self.folder = pathlib.Path(metadata["manifest_path"]).parent
        self.repository = metadata["repository"]
        self.authors = metadata["authors"]
        self.id = metadata["id"]
        self.checksum = checksum

    @property
    def is_ours(self):
        return self.checksum is None

    def texts(self):
        """Its licence files, by name."""
        files = [file for file in self.folder.iterdir() if LICENCE_FILE.match(file.name) and file.is_file()]
        return {file.name: file.read_text(encoding="utf-8", errors="replace") for file in sorted(files)}


def shipped_packages(architectures):
    """The packages of the programs, without those that only build or test them, and what depends on what."""
    names = set()
    for architecture in architectures:
        command = ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-dedupe"]
        command += [f"--package={name}" for name in SHIPPED] + ["--format", "{p}"]
        command += ["--target", f"{MACHINES[architecture]}-unknown-linux-gnu"]
        names |= {tuple(line.split()[:2]) for line in run(*command).splitlines() if line}
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1"))
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(each["name"], f"v{each['version']}"): each.get("checksum") for each in lock["package"]}
    packages = {}
    for each in metadata["packages"]:
        key = (each["name"], f"v{each['version']}")
        if key in names:
            packages[each["id"]] = Package(each, checksums[key])
    assert len(packages) == len(names), "two packages have one name and version"
    edges = {
        node["id"]: [each["pkg"] for each in node["deps"] if is_normal(each) and each["pkg"] in packages]
        for node in metadata["resolve"]["nodes"]
        if node["id"] in packages
    }
    return packages, edges


def is_normal(dependency):
    return any(kind["kind"] is None for kind in dependency["dep_kinds"])


def sbom(packages, edges, version):
    """The packages in the form of CycloneDX 1.6."""
    bom, components = Bom(), {}
    for package in packages.values():
        components[package.id] = Component(
            name=package.name,
            version=package.version,
            type=ComponentType.APPLICATION if package.name in SHIPPED else ComponentType.LIBRARY,
            bom_ref=f"pkg:cargo/{package.name}@{package.version}",
            purl=PackageURL("cargo", None, package.name, package.version),
            licenses=[LicenseExpression(package.licence)],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in [package.checksum] if each],
            external_references=[
                ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(repository))
                for repository in [package.repository]
                if repository
            ],
        )
        bom.components.add(components[package.id])
    for package, needed in edges.items():
        bom.register_dependency(components[package], [components[each] for each in needed])
    kind = ComponentType.APPLICATION
    release = Component(name="tracebit-lake-release", version=version, type=kind, bom_ref="release")
    bom.metadata.component = release
    bom.register_dependency(release, [component for component in components.values() if component.name in SHIPPED])
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc)
    lock = (ROOT / "Cargo.lock").read_text()
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"tracebit-lake {version} {EPOCH} {lock}")
    output = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    return output.encode() + b"\n"


def licences(packages):
    """One page with every licence text, each with the packages that it is of."""
    packages = [package for package in packages.values() if not package.is_ours]
    packages.sort(key=lambda package: (package.name, package.version))
    owners = {}
    for package in packages:
        texts = list(package.texts().values()) or [standard_text(package)]
        for text in texts:
            text = "\n".join(line.rstrip() for line in text.strip().splitlines())
            owners.setdefault(text, []).append(package)
    lines = [
        "The programs of tracebit-lake contain code of these packages, and of Rust's standard library, whose",
        "licence is MIT OR Apache-2.0. The texts follow the list.",
        "",
        *(f"{package.name} {package.version}: {package.licence}" for package in packages),
    ]
    for text, named in owners.items():
        lines += ["", "-" * 100, *(f"{package.name} {package.version}" for package in named), "-" * 100, "", text]
    return "\n".join(lines).encode() + b"\n"


def standard_text(package):
    """The text of its licence for a package without a file, from the texts of this project: either of the two."""
    kinds = re.split(r"\s+(?:OR|AND)\s+", package.licence)
    file = "LICENSE-MIT" if "MIT" in kinds else "LICENSE-APACHE" if "Apache-2.0" in kinds else None
    assert file, f"{package.name} has no licence file, and its licence is {package.licence}"
    text = (ROOT / file).read_text()
    if file == "LICENSE-MIT":
        text = re.sub(r"^Copyright.*\n", "", text, flags=re.MULTILINE)
    return f"{NO_FILE.format(', '.join(package.authors) or 'nobody')}\n\n{text}"


# ----------------------------------------------------------------------------------------------------------- template


def released(template, architecture):
    """template.yaml with the code of each function in the zip beside it, in place of a Rust build."""
    lines, binary, functions = [], None, 0
    for line in template.splitlines():
        if match := re.fullmatch(r"      BuildProperties: \{Binary: (\S+)\}", line):
            binary = match[1]
        elif line == "      CodeUri: .":
            lines.append(f"      CodeUri: functions/{architecture}/{binary}.zip")
            binary, functions = None, functions + 1
        elif line != "      BuildMethod: rust-cargolambda":
            lines.append(line)
    text = "\n".join(lines) + "\n"
    assert functions == text.count("Type: AWS::Serverless::Function"), "a function has no binary"
    # The comment above is about a build.
    text, architectures = re.subn(
        r"(?:^#.*\n)*(^Globals:\n  Function:\n    Architectures: )\[x86_64\]",
        rf"# The functions' zips are for this architecture alone.\n\1[{architecture}]",
        text,
        flags=re.MULTILINE,
    )
    assert architectures == 1, "the template does not say for which architecture it is"
    return text.encode()


def template_name(architecture):
    return "template.yaml" if architecture == "x86_64" else f"template-{architecture}.yaml"


def samconfig():
    """The defaults of `sam deploy` and of local runs, without those of a build."""
    sections = (ROOT / "samconfig.toml").read_text().split("\n\n")
    kept = [section for section in sections if not re.search(r"^\[default\.build", section, re.MULTILINE)]
    return ("\n\n".join(kept).strip() + "\n").encode()


# ---------------------------------------------------------------------------------------------------------------- zip


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    """A zip of files, each a tuple of its bytes and its mode, by name."""
    date = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc).timetuple()[:6]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, (content, mode) in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date)
            entry.create_system = 3
            entry.external_attr = (0o100000 | mode) << 16
            # A zip in a zip becomes no smaller.
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".zip") else compression
            archive.writestr(entry, content, compresslevel=6)
    return packed.getvalue()


def function_zip(built):
    """A function as cargo-lambda built it, packed again without the time of the build."""
    with zipfile.ZipFile(built) as archive:
        return zipped({"bootstrap": (archive.read("bootstrap"), 0o755)})


def checksum(content):
    return hashlib.sha256(content).hexdigest()


def pages():
    return [name for name in run("git", "ls-files", "-z", "--", *PAGES).split("\0") if name]


def release(folder, functions, architectures):
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    packages, edges = shipped_packages(architectures)
    tool = f"bin/{architectures[0]}/tracebit-lake-tools".encode()
    files = {name: ((ROOT / name).read_bytes().replace(BUILDS_TOOL, tool), 0o644) for name in pages()}
    template = (ROOT / "template.yaml").read_text()
    for architecture in architectures:
        files[template_name(architecture)] = (released(template, architecture), 0o644)
        files[f"bin/{architecture}/tracebit-lake-tools"] = ((folder / f"tools-{architecture}").read_bytes(), 0o755)
        for built in sorted((functions / architecture).glob("*/bootstrap.zip")):
            name = f"functions/{architecture}/{built.parent.name}.zip"
            files[name] = (function_zip(built), 0o644)
    files["samconfig.toml"] = (samconfig(), 0o644)
    files["LICENSES-OF-DEPENDENCIES.txt"] = (licences(packages), 0o644)
    files["sbom.cdx.json"] = (sbom(packages, edges, version), 0o644)
    sums = "".join(f"{checksum(content)}  {name}\n" for name, (content, _) in sorted(files.items()))
    files["SHA256SUMS"] = (sums.encode(), 0o644)
    name = f"tracebit-lake-{version}"
    packed = zipped({f"{name}/{path}": file for path, file in files.items()})
    (folder / f"{name}.zip").write_bytes(packed)
    (folder / f"{name}.zip.sha256").write_text(f"{checksum(packed)}  {name}.zip\n")
    print(f"{folder / name}.zip: {len(files)} files, {len(packed) / 1e6:.1f} MB, {checksum(packed)}")


if __name__ == "__main__":
    release(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:])
