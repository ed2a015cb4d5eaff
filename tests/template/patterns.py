"""EventBridge's event patterns, as far as its documentation says how they match and as the documented ones need them."""

import ipaddress

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
