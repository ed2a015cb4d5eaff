"""An account that enforces IAM: LocalEmu deploys template.yaml, and every call needs the rights that the stack grants.

It listens on 127.0.0.1, on a port that is free, over TLS and without it. Everything is gone when it ends.
"""

import contextlib
import datetime
import http.client
import ipaddress
import json
import pathlib
import queue
import ssl
import sys
import urllib.parse

import boto3
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "stack"))

from cloud import PATIENCE_SECONDS, REGION, Cloud, Endpoint, emulator, free_port, with_references
from loopback import HOST, Quiet, serving

# The access key whose holder may do everything, as the root user may.
ROOT_KEY = "test"
# LocalEmu's S3 sends its events with this access key.
EVENTS_OF_S3 = "000000000000"
# What AWS and LocalEmu call a refusal.
REFUSALS = {"AccessDenied", "AccessDeniedException", "AuthorizationError"}

# ---------------------------------------------------------------------------------------------- LocalEmu and its faults


def for_localemu(template, pager):
    """The template without what LocalEmu 1.3.2 cannot create. Its policies stay as they are.

    It knows no Athena, Glue or dashboard in CloudFormation, and takes the `${!day}` of the tables for a reference. The
    analysts' policy names the workgroup and the database by what `!Ref` gives for them, which are their names. It looks
    up a number in a mapping and finds no key, where AWS makes text of each parameter. It wants a name where
    AWS makes one. `pager` is the address that takes the place of PagerDuty's.
    """
    missing = ("AWS::Athena::", "AWS::Glue::", "AWS::CloudWatch::Dashboard")
    resources = template["Resources"]
    kept = {name: resource for name, resource in resources.items() if not resource["Type"].startswith(missing)}
    kept["PagerConnection"]["Properties"]["Name"] = "pager"
    kept["PagerDestination"]["Properties"] |= {"Name": "pager", "InvocationEndpoint": pager}
    outputs = {name: output for name, output in template["Outputs"].items() if name != "DashboardConsole"}
    names = {"WorkGroup": "AWS::StackName", "Database": "DatabaseName"}
    minutes = {**template["Parameters"]["WatchMinutes"], "Type": "String", "Default": "5", "AllowedValues": ["5"]}
    parameters = {**template["Parameters"], "WatchMinutes": minutes}
    return with_references({**template, "Parameters": parameters, "Resources": kept, "Outputs": outputs}, names)


class TlsEndpoint(Endpoint):
    """A way in, over TLS."""

    def __init__(self, port, url, certificate):
        super().__init__(port, url)
        # LocalEmu knows a function by the host with the port.
        self.host = urllib.parse.urlsplit(url).netloc
        self.trust = ssl.create_default_context(cafile=certificate)

    def connection(self):
        return http.client.HTTPSConnection(HOST, self.port, timeout=PATIENCE_SECONDS, context=self.trust)


@contextlib.contextmanager
def localemu(folder):
    port = free_port()
    url, certificate = f"https://{HOST}:{port}", make_certificate(folder)
    settings = {
        "GATEWAY_LISTEN": f"{HOST}:{port}",
        # Its default server listens on every interface.
        "GATEWAY_SERVER": "hypercorn",
        "LOCALEMU_HOST": f"{HOST}:{port}",
        "SQS_ENDPOINT_STRATEGY": "path",
        "USE_SSL": "1",
        "CUSTOM_SSL_CERT_PATH": str(certificate),
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "IAM_ENFORCEMENT": "1",
        "ROOT_ACCESS_KEYS": f"{ROOT_KEY},{EVENTS_OF_S3}",
        # Where it unpacks the functions, and keeps what it remembers.
        "TMPDIR": str(folder),
        "FILESYSTEM_ROOT": str(folder / "root"),
        # In a container it would write to folders of the system instead.
        "OVERRIDE_IN_DOCKER": "0",
        # For emulator.py.
        "FUNCTIONS_ENDPOINT_URL": url,
    }
    command = [sys.executable, pathlib.Path(__file__).parent / "emulator.py"]
    with emulator(command, folder, port, settings):
        yield Account(url, port, certificate)


def make_certificate(folder):
    """A key and a certificate for 127.0.0.1 in one file, because the stack's policies refuse whoever uses no TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localemu")])
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "tls.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


# --------------------------------------------------------------------------------------------------------- the account


class Account(Cloud):
    """An account in which the tests are the root user."""

    def __init__(self, url, port, certificate):
        super().__init__(url, port)
        self.certificate = certificate
        self.pager = "https://pager.invalid"
        self.root = Caller(self, {"aws_access_key_id": ROOT_KEY, "aws_secret_access_key": ROOT_KEY})

    def client(self, service):
        return self.root.client(service)

    def adapt(self, template):
        return for_localemu(template, self.pager)

    def endpoint(self, url):
        return TlsEndpoint(self.port, url, self.certificate)

    def role(self, name):
        """Somebody with the credentials that Lambda gives to a function of this role."""
        iam = self.client("iam")
        role = iam.get_role(RoleName=name)["Role"]
        # For a moment the tests may take the role. Its credentials stay valid.
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        document = {"Version": "2012-10-17", "Statement": [trust]}
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(document))
        session = self.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
        own = json.dumps(role["AssumeRolePolicyDocument"])
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=own)
        return Caller(
            self,
            {
                "aws_access_key_id": session["AccessKeyId"],
                "aws_secret_access_key": session["SecretAccessKey"],
                "aws_session_token": session["SessionToken"],
            },
        )

    def user(self, name, policy=None, actions=None):
        """A new user with this policy, or these actions on everything, and no other right."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if policy:
            iam.attach_user_policy(UserName=name, PolicyArn=policy)
        if actions:
            statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        secret = {"aws_secret_access_key": key["SecretAccessKey"]}
        return Caller(self, {"aws_access_key_id": key["AccessKeyId"], **secret})

    def service(self, name, source, account="000000000000"):
        """A service of AWS that calls because of this resource, such as a rule, in this account."""
        credentials = {"aws_access_key_id": name, "aws_secret_access_key": name}
        return Caller(self, credentials, {"x-amz-source-arn": source, "x-amz-source-account": account})


@contextlib.contextmanager
def pager_duty():
    """PagerDuty's Events API on loopback. Yields its address, and a queue of what it was sent."""
    calls = queue.Queue()

    class Handler(Quiet):
        def do_POST(self):
            calls.put((self.path, json.loads(self.body())))
            self.answer(202)

    with serving(Handler) as url:
        yield f"{url}/v2/enqueue", calls


class Caller:
    """Whoever has these credentials."""

    def __init__(self, account, credentials, headers=None):
        self.account, self.credentials, self.headers = account, credentials, headers or {}
        self.clients = {}

    def client(self, service, scheme="https"):
        if (service, scheme) not in self.clients:
            self.clients[service, scheme] = boto3.client(
                service,
                endpoint_url=f"{scheme}://{HOST}:{self.account.port}",
                region_name=REGION,
                verify=str(self.account.certificate),
                **self.credentials,
            )
            add = lambda request, **_: [request.headers.add_header(*each) for each in self.headers.items()]
            self.clients[service, scheme].meta.events.register("before-sign", add)
        return self.clients[service, scheme]


def is_refused(call, *arguments, **request):
    """Whether IAM refuses a call. It does not matter what becomes of an allowed one."""
    try:
        call(*arguments, **request)
    except ClientError as error:
        # A fault of the emulator says nothing.
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] < 500, error
        return error.response["Error"]["Code"] in REFUSALS
    return False
