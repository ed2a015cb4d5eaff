"""The zip of a release, as somebody gets it who downloads it.

RELEASE names the folder with the zip.
"""

import ast
import difflib
import hashlib
import io
import json
import os
import pathlib
import platform
import posixpath
import re
import subprocess
import sys
import zipfile

import hcl2
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / ".ci"))

import release

[RELEASE] = (ROOT / os.environ["RELEASE"]).glob("tracebit-lake-*.zip")
# The number of each processor in the header of an ELF file.
PROCESSORS = {"x86_64": 62, "arm64": 183}
DEPLOY = (ROOT / "docs" / "install.md").read_text()


@pytest.fixture(scope="module")
def files():
    """The content of every file, by its name in the folder that the zip unpacks to."""
    with zipfile.ZipFile(RELEASE) as archive:
        return {name.removeprefix(f"{RELEASE.stem}/"): archive.read(name) for name in archive.namelist()}


def architectures(files):
    return sorted({name.split("/")[1] for name in files if name.startswith("functions/")})


def templates(files):
    """Each architecture with its template. That of an architecture which this zip lacks is made here."""
    source = (ROOT / "template.yaml").read_text()
    made = {each: files.get(release.template_name(each)) or release.released(source, each) for each in PROCESSORS}
    return [(architecture, template.decode()) for architecture, template in made.items()]


def test_no_link_is_dead_and_no_command_builds_the_tool(files):
    folders = {str(parent) for name in files for parent in pathlib.PurePosixPath(name).parents}
    for name in [name for name in files if name.endswith(".md")]:
        page = files[name].decode()
        assert "cargo run --package" not in page, name
        for target in re.findall(r"\]\(([^)#\s:]+)[^):]*\)", page):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            assert path in files or path in folders, f"{name}: {target}"


def test_the_tool_runs_where_the_sources_are_not(files, tmp_path):
    tool = tmp_path / "tracebit-lake-tools"
    tool.write_bytes(files[f"bin/{platform.machine()}/tracebit-lake-tools"])
    tool.chmod(0o755)
    shown = subprocess.run([tool, "demo"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "tracebit_alert/" in shown, shown
    assert f"{ROOT}/tools/../".encode() not in tool.read_bytes()


def test_sam_local_has_its_settings(files):
    settings = json.loads(files["env.json"])
    assert settings and b'env_vars = "env.json"' in files["samconfig.toml"]


def test_the_same_commit_makes_the_same_zip(files, tmp_path):
    for path, content in files.items():
        if path.startswith("bin/"):
            (tmp_path / f"tools-{path.split('/')[1]}").write_bytes(content)
        if path.startswith("functions/"):
            built = tmp_path / path.removesuffix(".zip") / "bootstrap.zip"
            built.parent.mkdir(parents=True)
            built.write_bytes(content)
    command = [sys.executable, ROOT / ".ci" / "release.py", tmp_path, tmp_path / "functions"]
    environment = {**os.environ, "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    subprocess.run([*command, *architectures(files)], cwd=tmp_path, env=environment, check=True)
    for name in [RELEASE.name, f"{RELEASE.name}.sha256"]:
        assert (tmp_path / name).read_bytes() == (RELEASE.parent / name).read_bytes()


def test_entries_are_sorted_and_have_one_date():
    with zipfile.ZipFile(RELEASE) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert len({entry.date_time for entry in entries}) == 1


def test_checksums_cover_every_other_file(files):
    listed = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert listed == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != "SHA256SUMS"
    }
    beside = (RELEASE.parent / f"{RELEASE.name}.sha256").read_text()
    assert beside == f"{hashlib.sha256(RELEASE.read_bytes()).hexdigest()}  {RELEASE.name}\n"


def test_each_function_is_a_zip_for_its_architecture(files):
    for architecture in architectures(files):
        for binary in ["tracebit-lake", "tracebit-lake-drain", "tracebit-lake-notify", "tracebit-lake-watch"]:
            with zipfile.ZipFile(io.BytesIO(files[f"functions/{architecture}/{binary}.zip"])) as function:
                assert function.namelist() == ["bootstrap"]
                assert function.getinfo("bootstrap").external_attr >> 16 & 0o777 == 0o755
                header = function.read("bootstrap")[:20]
            assert header[:4] == b"\x7fELF"
            assert int.from_bytes(header[18:20], "little") == PROCESSORS[architecture]


def test_a_template_differs_from_the_source_in_the_code_alone(files):
    source = (ROOT / "template.yaml").read_text()
    for architecture, template in templates(files):
        changes = list(difflib.ndiff(source.splitlines(), template.splitlines()))
        gone = {line[2:].strip() for line in changes if line.startswith("- ") and not line[2:].startswith("#")}
        new = {line[2:].strip() for line in changes if line.startswith("+ ") and not line[2:].startswith("#")}
        binaries = re.findall(r"Binary: ([^}]+)\}", source)
        built = {f"BuildProperties: {{Binary: {binary}}}" for binary in binaries}
        processor = set() if architecture == "x86_64" else {"Architectures: [x86_64]"}
        assert gone == built | {"BuildMethod: rust-cargolambda", "CodeUri: ."} | processor
        code = {f"CodeUri: functions/{architecture}/{binary}.zip" for binary in binaries}
        assert new == code | {line.replace("x86_64", architecture) for line in processor}
        # Each function gets its own code.
        assert functions(template, r"CodeUri: (\S+)") == [
            (name, f"functions/{architecture}/{binary}.zip") for name, binary in functions(source, r"Binary: ([^}]+)\}")
        ]


def functions(template, pattern):
    """What a pattern finds in each function of a template, with the function's logical id."""
    resources = re.split(r"^  (?=\w+:$)", template, flags=re.MULTILINE)
    return [
        (resource.split(":")[0], re.search(pattern, resource)[1])
        for resource in resources
        if "Type: AWS::Serverless::Function" in resource
    ]


def test_the_sbom_is_valid_and_lists_what_is_shipped(files):
    text = files["sbom.cdx.json"].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = {component["name"]: component for component in json.loads(text)["components"]}
    assert {"tracebit-lake", "tracebit-lake-tools", "aws-sdk-s3", "hmac", "ring", "zstd-sys"} <= components.keys()
    # What only builds or tests the programs is not shipped. The harness has faults on demand.
    assert not {"proptest", "divan", "cc", "pkg-config", "tracebit-lake-harness"} & components.keys()
    for name, component in components.items():
        assert component["licenses"][0]["expression"], name
        # Our own packages come from no registry, which would have a checksum of them.
        assert "hashes" in component or name.startswith("tracebit-lake"), name


def test_every_dependency_has_its_licence(files):
    text = files["LICENSES-OF-DEPENDENCIES.txt"].decode()
    components = json.loads(files["sbom.cdx.json"])["components"]
    for component in components:
        if not component["name"].startswith("tracebit-lake"):
            package = re.escape(f"{component['name']} {component['version']}")
            # In the list, and above a text.
            assert len(re.findall(rf"^{package}(?::|$)", text, re.MULTILINE)) >= 2, package
    for words in ["Permission is hereby granted", "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"]:
        assert words in text


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the tool is for another processor")
def test_the_tool_signs_a_sample(files, tmp_path):
    with zipfile.ZipFile(RELEASE) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / RELEASE.stem
    tool = folder / "bin" / "x86_64" / "tracebit-lake-tools"
    tool.chmod(0o755)
    command = [tool, "sign", "--url", "https://lake.example/", "events/logs/alert-aws.json"]
    environment = {**os.environ, "TRACEBIT_SECRET": "tracebit-lake-development-secret"}
    printed = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    signature = json.loads((ROOT / "events" / "alert-aws.json").read_text())["headers"]["x-tracebit-signature-256"]
    assert signature in printed


# ---------------------------------------------------------------------------------------------- the page on deploying


def snippet(language, contains):
    """The one code block of docs/install.md in a language that contains a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DEPLOY, re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if contains in block]
    return found


def names(files):
    """The template's parameters, and its outputs."""
    template = templates(files)[0][1]
    section = lambda title: re.search(rf"^{title}:\n(.*?)(?=^\S|\Z)", template, re.MULTILINE | re.DOTALL)[1]
    return [set(re.findall(r"^  (\w+):$", section(title), re.MULTILINE)) for title in ("Parameters", "Outputs")]


def test_the_terraform_snippet_parses_and_names_what_exists(files):
    parameters, outputs = names(files)
    # The parser keeps the quotes of strings.
    parsed = json.loads(json.dumps(hcl2.loads(snippet("hcl", "aws_cloudformation_stack"))).replace('\\"', ""))
    resources = {kind: named for resource in parsed["resource"] for kind, named in resource.items()}
    assert resources.keys() == {"aws_s3_object", "aws_cloudformation_stack"}
    stack = resources["aws_cloudformation_stack"]["tracebit_lake"]
    # The template has roles, and SAM's transform.
    assert stack["capabilities"] == ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    assert stack["parameters"].keys() <= parameters
    [output] = re.findall(r"outputs\[(\w+)\]", json.dumps(parsed["output"]))
    assert output in outputs


def test_the_cdk_snippet_compiles_and_names_what_exists(files):
    parameters, outputs = names(files)
    tree = ast.parse(snippet("python", "aws_cdk"))
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    given = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "parameters"]
    assert {key.value for key in given[0].value.keys} <= parameters
    assert {text.removeprefix("Outputs.") for text in named if str(text).startswith("Outputs.")} <= outputs
