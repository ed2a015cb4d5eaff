"""EventBridge's event patterns and input transformers, as far as its documentation says what they do and as the
documented ones need them.

Where it does not say what a transformer makes of an event, this takes the worse case: a value is not escaped, and one
that is missing leaves nothing. So a template whose outcome is JSON here does not depend on what AWS does there.
"""

import ipaddress
import json
import re

MISSING = object()


def matches(pattern, event):
    """Whether an event matches. Of an array of objects, one element must match everything below the array."""
    return all(matches_member(name, wanted, event) for name, wanted in pattern.items())


def matches_member(name, wanted, event):
    if name == "$or":
        return any(matches(alternative, event) for alternative in wanted)
    value = event.get(name, MISSING) if isinstance(event, dict) else MISSING
    if isinstance(wanted, dict):
        elements = value if isinstance(value, list) else [{} if value in (MISSING, None) else value]
        return any(matches(wanted, element) for element in elements)
    values = value if isinstance(value, list) else [value]
    return any(accepts(rule, each) for rule in wanted for each in values)


def accepts(rule, value):
    if not isinstance(rule, dict):
        return value is not MISSING and rule == value
    ((kind, argument),) = rule.items()
    if kind == "exists":
        return (value is not MISSING) == argument
    if value is MISSING:
        return False
    if kind == "anything-but" and isinstance(argument, dict):
        return not accepts(argument, value)
    if kind == "anything-but":
        return value not in argument
    if kind == "equals-ignore-case":
        texts = argument if isinstance(argument, list) else [argument]
        return isinstance(value, str) and value.lower() in [text.lower() for text in texts]
    if kind == "prefix":
        return isinstance(value, str) and value.startswith(argument)
    if kind == "suffix":
        return isinstance(value, str) and value.endswith(argument)
    if kind == "cidr":
        return isinstance(value, str) and ipaddress.ip_address(value) in ipaddress.ip_network(argument)
    raise NotImplementedError(kind)


def transformed(transformer, event):
    """What the target gets, as JSON. It fails if that is not JSON."""
    paths = transformer["InputPathsMap"]
    values = {name: found(path, event) for name, path in paths.items()}
    template = transformer["InputTemplate"]
    assert set(re.findall(r"<([^<>]*)>", template)) == paths.keys()
    # A string with its variables, or a variable alone.
    rendered = re.sub(r'"(?:\\.|[^"\\])*"|<[^<>]*>', lambda part: render(part[0], values), template)
    return json.loads(rendered)


def found(path, event):
    """The value at a path such as $.detail.object.key, or None."""
    assert path.startswith("$.")
    for name in path[2:].split("."):
        event = event.get(name) if isinstance(event, dict) else None
    return event


def render(part, values):
    if part.startswith("<"):
        value = values[part[1:-1]]
        if isinstance(value, str):
            return f'"{value}"'
        return "" if value is None else json.dumps(value)
    return re.sub(r"<([^<>]*)>", lambda variable: inside_string(values[variable[1]]), part)


def inside_string(value):
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")
