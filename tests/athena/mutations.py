"""Logs that are almost like Tracebit's: each has one to three things changed at random.

`MUTATIONS` lists what can be changed. A log is written by hand rather than by a JSON library, because its names may be
escaped or repeated, and its syntax broken.
"""

import json

from servers import ROOT

ALERTS = ["alert-aws", "alert-azure", "alert-credential-used", "alert-google-cloud", "alert-okta"]
SAMPLES = [(ROOT / "events" / "logs" / f"{name}.json").read_text() for name in [*ALERTS, "health-check"]]

# Values of every kind, as JSON text.
VALUES = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-12.50",
    "1e999",
    "1E-400",
    "9" * 2000,
    "0." + "3" * 300,
    '""',
    '" "',
    '"text"',
    '"null"',
    '"2026-11-22T09:59:59Z"',
    r'"\u0000\u0001\b\f\n\r\t\"\\\/"',
    r'"\ud83d\udc26"',
    '"\N{BIRD} \N{LINE SEPARATOR}\N{NEXT LINE}\x7f\N{BYTE ORDER MARK}"',
    r'"\ud800"',
    r'"\udc00\ud800 half a pair"',
    '"' + "x" * 100_000 + '"',
    "[]",
    "[null]",
    '["text"]',
    "[[], [1, [true]], {}]",
    "{}",
    '{"": null}',
    '{"id": "x", "name": ["y"], "type": {}}',
    '[{"name": "a", "value": "b"}, null, {}]',
    "[" * 60 + "]" * 60,
]
NAMES = [
    "",
    " ",
    ".",
    "a.b",
    "$path",
    '\\"',
    "\\u0000",
    "\\ud800",
    "_col0",
    "_col1",
    "_col12",
    "day",
    "hour",
    "p",
    "__proto__",
    "\N{LATIN SMALL LETTER E WITH ACUTE}v\N{LATIN SMALL LETTER E WITH ACUTE}nement",
    "\N{BIRD}",
    "\N{LATIN SMALL LETTER LONG S}everity",
    "\N{FULLWIDTH LATIN SMALL LETTER I}d",
    "x" * 10_000,
    # Two bytes each, so 10,000 bytes.
    "\N{LATIN SMALL LETTER E WITH ACUTE}" * 5_000,
]
LONG_NAMES = ["x" * 10_001, "x" * 50_001, "x" * 60_000, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 30_000]
EVENT_TIMES = ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.9Z", "2023-12-31T23:59:59Z", "9999-12-31T23:59:59.9999Z"]


class Raw(str):
    """JSON text, to be written as it is."""


class Object(list):
    """Members as [name, value], the name as it is written between quotes."""


def tree(text):
    """A log whose objects are `Object`s."""
    return json.loads(text, object_pairs_hook=lambda pairs: Object([json.dumps(name)[1:-1], it] for name, it in pairs))


def written(node):
    if isinstance(node, Object):
        return "{" + ", ".join(f'"{name}": {written(value)}' for name, value in node) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(written, node)) + "]"
    return node if isinstance(node, Raw) else json.dumps(node, ensure_ascii=False)


def objects(node):
    """The object and every object in it."""
    if isinstance(node, Object):
        yield node
        node = [value for _, value in node]
    for value in node if isinstance(node, list) else []:
        yield from objects(value)


def some_object(random, log):
    return random.choice([each for each in objects(log) if each])


def some_member(random, log):
    return random.choice(some_object(random, log))


def some_value(random):
    return Raw(random.choice(VALUES))


def in_another_case(random, name):
    letters = [at for at, letter in enumerate(name) if letter.isalpha()]
    if not letters or "\\" in name:
        return name
    changed = set(random.sample(letters, random.choice([1, len(letters)])))
    # Lower case makes an ordinary k of the Kelvin sign as well.
    upper = lambda letter: random.choice("K\N{KELVIN SIGN}") if letter == "k" else letter.swapcase()
    return "".join(upper(letter) if at in changed else letter for at, letter in enumerate(name))


def escaped(random, name):
    escape = lambda letter: f"\\u{ord(letter):04x}" if letter.isascii() and random.random() < 0.5 else letter
    return name if "\\" in name else "".join(map(escape, name))


# ---------------------------------------------------------------------------------------------------------- mutations


def change_case(random, log):
    member = some_member(random, log)
    member[0] = in_another_case(random, member[0])


def add_in_another_case(random, log):
    within = some_object(random, log)
    name, value = random.choice(within)
    value = random.choice([value, some_value(random)])
    within.insert(random.randint(0, len(within)), [escaped(random, in_another_case(random, name)), value])


def escape_name(random, log):
    member = some_member(random, log)
    member[0] = escaped(random, member[0])


def repeat(random, log):
    within = some_object(random, log)
    name, value = random.choice(within)
    value = random.choice([value, some_value(random)])
    within.insert(random.randint(0, len(within)), [escaped(random, name), value])


def add_unknown_name(random, log):
    within = some_object(random, log)
    within.insert(random.randint(0, len(within)), [random.choice(NAMES), some_value(random)])


def add_long_name(random, log):
    within = some_object(random, log)
    within.insert(random.randint(0, len(within)), [random.choice(LONG_NAMES), some_value(random)])


def add_name_of_the_lake(random, log):
    log.append([random.choice(["p_row_id", "P_EVENT_TIME", "p_any_emails", "P_x", "p_"]), some_value(random)])


def change_value(random, log):
    some_member(random, log)[1] = some_value(random)


def change_known_value(random, log):
    """An optional field becomes a value that is not a struct or a list, and a list becomes null."""
    members = [each for within in objects(log) for each in within]
    required = ["type", "subtype", "timestamp", "discriminator"]
    optional = [each for each in members if each[0] not in required]
    optional = [each for each in optional if not each[0].endswith("_at")]
    if optional:
        member = random.choice(optional)
        scalars = [value for value in VALUES if value[0] not in "[{"]
        member[1] = None if isinstance(member[1], list) else Raw(random.choice(scalars))


def change_elements(random, log):
    arrays = [each for within in objects(log) for each in within if type(each[1]) is list]
    if arrays:
        array = random.choice(arrays)[1]
        array[:] = random.choices([*array, None, Object(), Object([["id", some_value(random)]])], k=random.randint(0, 5))


def remove_member(random, log):
    within = some_object(random, log)
    within.pop(random.randrange(len(within)))


def shuffle_members(random, log):
    for within in objects(log):
        random.shuffle(within)


def change_event_time(random, log):
    for member in log:
        if member[0] == "timestamp":
            member[1] = random.choice(EVENT_TIMES)


MUTATIONS = [
    change_case,
    add_in_another_case,
    escape_name,
    repeat,
    add_unknown_name,
    add_long_name,
    add_name_of_the_lake,
    change_value,
    change_known_value,
    change_elements,
    remove_member,
    shuffle_members,
    change_event_time,
]


def broken(random, text):
    """Bytes that are JSON no more, except by chance."""
    data = text.encode()
    at = random.randrange(len(data))
    return random.choice(
        [
            data[:at],
            data + b"]",
            data.replace(b'"', b"'"),
            data.replace(b": ", b": NaN, ", 1),
            data[:at] + b"\xff" + data[at:],
            data[:at] + b"\\" + data[at:],
            data[:at] + b"\x00" + data[at:],
        ]
    )


def mutated(random, index):
    """A log, and what was done to it."""
    log = tree(random.choice(SAMPLES))
    for member in log:
        if member[0] == "id":
            member[1] = f"mutated-{index}"
    changes = random.choices(MUTATIONS, k=random.choice([1, 1, 2, 3]))
    for change in changes:
        change(random, log)
    return written(log), [change.__name__ for change in changes]
