"""The stack that CloudFormation would make of template.yaml, as far as that follows without AWS.

SAM's own translator turns the template into plain CloudFormation (`translated`); `stack` then resolves parameters,
conditions and references as CloudFormation does. What AWS itself makes up reads `<LogicalId>` or `<LogicalId.Attribute>`.

Run as a script, this prints the translated template as JSON.
"""

import base64
import copy
import functools
import json
import os
import pathlib
import re

# The translator asks for a Region to know its partition, and for no credentials.
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).parents[2]
PSEUDO_PARAMETERS = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "lake",
    "AWS::URLSuffix": "amazonaws.com",
}
# The tables of the log types in the order of their schemas, and that of what fits none.
SCHEMAS = [yaml_parse(path.read_text()) for path in sorted((ROOT / "schemas").glob("*.yml"))]
TABLES = [schema["schema"].lower().replace(".", "_") for schema in SCHEMAS] + ["classification_failures"]
NO_VALUE = object()


class NoManagedPolicies:
    """The template names none of AWS's managed policies, so there is nothing to look up."""

    @staticmethod
    def load():
        return {}


@functools.cache
def source():
    """template.yaml as it is written."""
    return yaml_parse((ROOT / "template.yaml").read_text())


@functools.cache
def translated():
    """Plain CloudFormation, as after `sam package`, which puts the code into a bucket."""
    template = copy.deepcopy(source())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://packages/code.zip"
    return transform(template, {}, NoManagedPolicies, passthrough_metadata=True)


def stack(place=None, **parameters):
    """Resources and outputs of a stack with these parameters, the template's defaults for the others.

    `place` replaces pseudo parameters such as AWS::Region."""
    resolver = resolver_of(place, parameters)
    return {
        "Resources": resolver.present(translated()["Resources"]),
        "Outputs": resolver.present(translated()["Outputs"]),
    }


def properties(logical_id, **parameters):
    return stack(**parameters)["Resources"][logical_id]["Properties"]


def of_type(kind, **parameters):
    resources = stack(**parameters)["Resources"]
    return {name: resource["Properties"] for name, resource in resources.items() if resource["Type"] == kind}


def statements(role="WebhookRole", **parameters):
    role = properties(role, **parameters)
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    return policy["PolicyDocument"]["Statement"]


def tables(**parameters):
    """The tables of records, without the view and the table of records as text."""
    declared = {each["TableInput"]["Name"]: each for each in of_type("AWS::Glue::Table", **parameters).values()}
    return {name: each for name, each in declared.items() if "PartitionKeys" in each["TableInput"]}


def queries(**parameters):
    """The saved queries by name."""
    return {each["Name"]: each["QueryString"] for each in of_type("AWS::Athena::NamedQuery", **parameters).values()}


def alarms(**parameters):
    return {
        each["AlarmName"].removeprefix("lake-"): each
        for each in of_type("AWS::CloudWatch::Alarm", **parameters).values()
    }


def refusals(place=None, **parameters):
    """What CloudFormation says of parameters that contradict each other, or the place."""
    resolver = resolver_of(place, parameters)
    rules = [rule for rule in translated()["Rules"].values() if resolver.value(rule.get("RuleCondition", True))]
    return [
        each["AssertDescription"] for rule in rules for each in rule["Assertions"] if not resolver.value(each["Assert"])
    ]


def example(name, **parameters):
    """The resources of a stack of docs/examples/NAME.yaml."""
    resolver = resolver_of(None, parameters, {"Mappings": {}, **example_source(name)})
    return resolver.present(resolver.resources)


def example_source(name):
    """A template of docs/examples as it is written."""
    return yaml_parse((ROOT / f"docs/examples/{name}.yaml").read_text())


def resolver_of(place, parameters, template=None):
    template = template or translated()
    declared = template["Parameters"]
    unknown = parameters.keys() - declared.keys()
    assert not unknown, f"no such parameters: {unknown}"
    defaults = {name: parameter["Default"] for name, parameter in declared.items() if "Default" in parameter}
    return Resolver(template, {**PSEUDO_PARAMETERS, **(place or {}), **defaults, **parameters})


class Resolver:
    """CloudFormation's intrinsic functions, those that the template uses."""

    def __init__(self, template, parameters):
        self.conditions = template["Conditions"]
        self.mappings = template["Mappings"]
        self.resources = template["Resources"]
        self.parameters = parameters

    def present(self, items):
        """Those whose condition holds, resolved."""
        kept = {name: item for name, item in items.items() if "Condition" not in item or self.holds(item["Condition"])}
        return {name: self.value(item) for name, item in kept.items()}

    def holds(self, name):
        return self.value(self.conditions[name])

    def value(self, node):
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Condition" and isinstance(argument, str):
                return self.holds(argument)
            if function == "Ref":
                return self.ref(argument)
            if function.startswith("Fn::"):
                return self.function(function.removeprefix("Fn::"), argument)
        resolved = {key: self.value(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NO_VALUE}

    def function(self, name, argument):
        if name == "If":
            condition, then, otherwise = argument
            return self.value(then if self.holds(condition) else otherwise)
        if name == "Equals":
            left, right = map(self.value, argument)
            return str(left) == str(right)
        if name == "Not":
            return not self.value(argument[0])
        if name in ("And", "Or"):
            return {"And": all, "Or": any}[name](map(self.value, argument))
        if name == "Join":
            separator, texts = argument
            return separator.join(self.value(texts))
        if name == "Split":
            separator, text = argument
            return self.value(text).split(separator)
        if name == "Contains":
            texts, text = map(self.value, argument)
            return text in texts
        if name == "FindInMap":
            mapping, first, second = map(self.value, argument)
            return self.mappings[mapping][str(first)][second]
        if name == "Base64":
            return base64.b64encode(self.value(argument).encode()).decode()
        if name == "Sub":
            return self.sub(*argument) if isinstance(argument, list) else self.sub(argument)
        if name == "ImportValue":
            return f"<{self.value(argument)}>"
        if name == "GetAtt":
            return self.ref(argument if isinstance(argument, str) else ".".join(argument))
        raise NotImplementedError(name)

    def sub(self, text, variables=None):
        variables = {name: self.value(value) for name, value in (variables or {}).items()}
        replace = lambda match: str(variables[match[1]] if match[1] in variables else self.ref(match[1]))
        return re.sub(r"\$\{([^!}][^}]*)\}", replace, text).replace("${!", "${")

    def ref(self, name):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.parameters:
            return self.parameters[name]
        resource = self.resources[name.split(".")[0]]
        assert "Condition" not in resource or self.holds(resource["Condition"]), f"{name} is not part of this stack"
        return f"<{name}>"


if __name__ == "__main__":
    print(json.dumps(translated(), indent=2))
