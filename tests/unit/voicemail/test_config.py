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
