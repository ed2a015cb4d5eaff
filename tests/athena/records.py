"""What is stored, and what SQL must read of it.

The fields to expect come from schemas/, not from the template's columns, so a column that lacks one is found.
"""

import collections
import json
import re

import yaml
from servers import BUCKET, PREFIX, ROOT

FAILURES = "classification_failures"
SCHEMAS = {
    schema["schema"].lower().replace(".", "_"): schema
    for schema in (yaml.safe_load(path.read_text()) for path in (ROOT / "schemas").glob("*.yml"))
}
TABLES = [*SCHEMAS, FAILURES]


# ------------------------------------------------------------------------------------------------------------- stored


class Number(str):
    """A number of JSON, with its digits as they were sent."""


def parsed(line):
    """JSON with the digits of its numbers."""
    return json.loads(line, parse_int=Number, parse_float=Number)


def by_identity(records):
    """Records as (path, record), by path, row id, and how often both came before: a payload can hold a failure twice."""
    seen = collections.Counter()
    identified = {}
    for path, record in records:
        identity = path, record["p_row_id"]
        identified[*identity, seen[identity]] = record
        seen[identity] += 1
    return identified


def stored(s3, table):
    """The records of a table."""
    records = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}{table}/"):
        for item in page.get("Contents", []):
            key = item["Key"]
            # Not splitlines, which also splits at separators that JSON does not escape.
            for line in s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode().removesuffix("\n").split("\n"):
                records.append((f"s3://{BUCKET}/{key}", parsed(line)))
    return by_identity(records)


def day_of(path):
    return re.search(r"/day=([^/]*)/hour=\d\d/[^/]*$", path)[1]


# ----------------------------------------------------------------------------------------------------------- expected


def expected(table, path, record):
    """What each column must be."""
    own = {name: value(field_value) for name, field_value in record.items() if name.startswith("p_")}
    if table == FAILURES:
        return {name: value(member) for name, member in record.items()} | {"day": day_of(path)}
    return known(SCHEMAS[table]["fields"], record) | own | {"day": day_of(path)}


def known(fields, members):
    """What the schema knows of an object."""
    return {field["name"]: by_rule(field, members.get(field["name"])) for field in fields}


def by_rule(rule, member):
    if member is None:
        return None
    if rule["type"] == "object":
        return known(rule["fields"], member)
    if rule["type"] == "array":
        return [by_rule(rule["element"], element) for element in member]
    if rule["type"] in ("string", "timestamp"):
        return text(member)
    return value(member)


def value(member):
    """A value of a column that is not text."""
    if isinstance(member, Number):
        return json.loads(member)
    if isinstance(member, list):
        return [value(element) for element in member]
    return text(member) if isinstance(member, str) else member


def text(member):
    """A string column reads a number or a boolean as the text that was sent, and half a surrogate pair as `?`."""
    if isinstance(member, bool):
        return "true" if member else "false"
    return re.sub("[\ud800-\udfff]", "?", member)


# --------------------------------------------------------------------------------------------------------------- read


def named(hive_type, read):
    """What Trino answers for a column, with the names that its Hive type gives to the members of structs."""
    found, rest = named_and_rest(hive_type, [read])
    assert rest == "", f"{rest!r} is left of {hive_type!r}"
    return found[0]


def named_and_rest(hive_type, values):
    """The same for several values of one type, and what follows the type."""
    if hive_type.startswith("array<"):
        flat = [element for each in values if each is not None for element in each]
        elements, rest = named_and_rest(hive_type.removeprefix("array<"), flat)
        elements = iter(elements)
        return [None if each is None else [next(elements) for _ in each] for each in values], rest.removeprefix(">")
    if hive_type.startswith("struct<"):
        structs = [None if each is None else {} for each in values]
        rest, index = "," + hive_type.removeprefix("struct<"), 0
        while rest.startswith(","):
            name, rest = rest[1:].split(":", 1)
            members, rest = named_and_rest(rest, [None if each is None else each[index] for each in values])
            for struct, member in zip(structs, members):
                if struct is not None:
                    struct[name] = member
            index += 1
        return structs, rest.removeprefix(">")
    return values, re.sub("^[a-z]+", "", hive_type)


def differences(table, table_input, records, rows):
    """Where the rows that were read are not the records that are stored: one line for each."""
    types = {each["Name"]: each["Type"] for each in table_input["StorageDescriptor"]["Columns"]}
    types |= {each["Name"]: each["Type"] for each in table_input["PartitionKeys"]}
    read = by_identity((row["path"], row) for row in rows)
    found = [f"{path}: {row_id} is stored, but not read" for path, row_id, _ in records.keys() - read.keys()]
    found += [f"{path}: {row_id} is read, but not stored" for path, row_id, _ in read.keys() - records.keys()]
    for key in records.keys() & read.keys():
        wanted = expected(table, key[0], records[key])
        for name in types.keys() | wanted.keys():
            column = named(types[name], read[key][name]) if name in types else "no column"
            if column != wanted.get(name):
                found.append(f"{key[0]}: {name} is read as {column!r:.300}, but stored as {wanted.get(name)!r:.300}")
    return found
