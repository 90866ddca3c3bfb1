import pytest

from voicemail.config import EXAMPLE, Config, Node, parse
from voicemail.errors import ConfigError

SMALL = '[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "/tmp/x"\n'


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "node.toml")
    return str(caught.value)


def test_the_commented_example_says_the_defaults():
    example = parse(EXAMPLE)
    assert example == Config(node=Node(name="vm1", address="192.0.2.11", directory="/var/lib/voicemail"))


def test_the_commented_trunk_of_the_example_is_valid():
    lines = [line.removeprefix("# ") for line in EXAMPLE.splitlines()]
    start = lines.index("[[trunk]]")
    trunk = parse(SMALL + "\n".join(lines[start : lines.index("[store]")])).trunk[0]
    assert trunk.lamp_headers == {"X-VM-Mailbox": "{extension}"}
    assert (trunk.redirecting, trunk.trust_identity) == ("first", False)


@pytest.mark.parametrize(
    "text, expected",
    [
        (SMALL + "[sip]\nport = 5060\npilto = '5'\n", "node.toml, line 7: sip.pilto: there is no such key"),
        (SMALL + "[sipp]\nport = 1\n", "node.toml, line 5: sipp: there is no such key"),
        (SMALL + "[sip]\nworkers = 99\n", "line 6: sip.workers"),
        (SMALL + "[sip]\nworkers = '9'\n", "line 6: sip.workers"),
        (SMALL + '[sip]\nallowed_networks = ["10.0.0.0/8", "10.0.0/8"]\n', "line 6: sip.allowed_networks.1"),
        (
            SMALL + "[[trunk]]\nname='a'\naddresses=['::1']\n[[trunk]]\nname='b'\nadress=[]\n",
            "line 10: trunk.1.adress",
        ),
        (
            SMALL + "[[trunk]]\nname='a'\naddresses=['::1']\nredirecting='middle'\n",
            "line 8: trunk.0.redirecting",
        ),
        (SMALL + "[smtp]\nport = 25\n", "line 5: smtp: Value error, domains: at least one"),
        (SMALL + "[smtp]\nport = 25\ndomains = ['vm.example.com', 'a b']\n", "line 7: smtp.domains.1"),
        (SMALL + "[smtp]\ncertificate = '/x.pem'\n", "certificate and key go together"),
        ("[node]\nname = 'x'\naddress = '::1'\n", "line 1: node.directory: it is missing"),
        ("[node\n", "line 1"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_line(text: str, expected: str):
    assert expected in refused(text)


TRUNK = SMALL + '[[trunk]]\nname = "pbx"\naddresses = ["192.0.2.5"]\n'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('lamp_uri = "mwi@192.0.2.5"', "lamp_uri: .*is no SIP URI"),
        ('lamp_uri = "sip:{extension}@192.0.2.5 >"', "lamp_uri: .*is no SIP URI"),
        ('lamp_uri = "sip:{number}@192.0.2.5"', "lamp_uri: .*only word in braces is {extension}"),
        ('lamp_uri = "sip:mwi@192.0.2.5"', "{extension} is missing in lamp_uri and lamp_headers"),
        ('lamp_headers = { "X A" = "1" }', "lamp_headers: .*'X A' is no name of a header"),
        ('lamp_headers = { "Call-ID" = "1" }', "lamp_headers: .*Call-ID cannot be set"),
        ('lamp_headers = { "X-A" = "1\\r\\nX-B: 2" }', "lamp_headers: .*contains control characters"),
        ('lamp_body_account = "sip:{extension}\\n"', "lamp_body_account: .*contains control characters"),
        ('lamp_body = "short"', "lamp_body: .*'full'"),
    ],
)
def test_a_template_of_a_lamp_that_cannot_work_is_told(line: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse(TRUNK + line)


def test_a_lamp_may_be_told_by_a_header_alone() -> None:
    lines = 'lamp_uri = "sip:mwi@192.0.2.5"\nlamp_headers = { "X-VM-Mailbox" = "{extension}" }\n'
    (trunk,) = parse(TRUNK + lines + 'lamp_body = "counts-lf"').trunk
    assert trunk.lamp_body == "counts-lf"


@pytest.mark.parametrize(
    "line, why",
    [
        ('link = "ftp://x/{id}"', "not an http(s) address"),
        ('link = "https://x/a b"', "not an http(s) address"),
        ('link = "javascript:alert(1)"', "not an http(s) address"),
        ('call_uri = "sip:0171@192.0.2.5"', "not a URI such as"),
        ('call_uri = "sip:{number}@pbx;x=y\\r\\nTo: z"', "not a URI such as"),
        ("calls_per_hour = -1", "greater than or equal to 0"),
    ],
)
def test_what_stands_in_mails_and_requests_is_nothing_else(line: str, why: str) -> None:
    said = refused(SMALL + f"[notify]\n{line}\n")
    assert "line 6" in said and why in said


def test_a_link_and_a_place_to_call_are_taken() -> None:
    lines = 'link = "https://vm.example.com/m/{id}"\ncall_uri = "sip:{number}@192.0.2.5:5060;transport=tcp"\n'
    notify = parse(SMALL + "[notify]\n" + lines).notify
    assert notify.link.endswith("{id}") and notify.call_uri.startswith("sip:{number}@")
