"""EventBridge's input transformers, as far as its documentation says what they make of an event.

Where it does not say, this takes the worse case: a value is not escaped, and one that is missing leaves nothing. So a
template whose outcome is JSON here does not depend on what AWS does there.
"""

import json
import re


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
