"""Datagrams that no phone should send: in the manner of RFC 4475, written anew, plus noise."""

import random
from collections.abc import Iterator

BASE = {
    "Via": "SIP/2.0/UDP {host}:{port};branch=z9hG4bKt{n}",
    "Max-Forwards": "70",
    "From": "<sip:a@{host}>;tag=t{n}",
    "To": "<sip:1001@edge>",
    "Call-ID": "torture-{n}",
    "CSeq": "{n} INVITE",
    "Contact": "<sip:a@{host}:{port}>",
    "Content-Length": "0",
}

STARTS = (
    "INVITE sip:1001@edge SIP/3.0",
    "INVITE sip:1001@edge",
    "INVITE  sip:1001@edge  SIP/2.0",
    "INVITE <sip:1001@edge> SIP/2.0",
    "INVITE sip:1001@edge; lr SIP/2.0",
    "INVITE nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0",
    "INVITE sip:%00%ff%zz@edge SIP/2.0",
    "INVITE sip:1001@edge:99999999 SIP/2.0",
    "INVITE sip:@:@: SIP/2.0",
    "INVITE sip:[::1 SIP/2.0",
    "INVITE sip:1001@[1:2:3:4:5:6:7:8:9] SIP/2.0",
    "!interesting-Method0123456789_*+`.%indeed'~ sip:1001@edge SIP/2.0",
    "RE%47IST%45R sip:edge SIP/2.0",
    "SIP/2.0 200 OK",
    "SIP/2.0 4294967301 better not break the receiver",
    "SIP/2.0 99 too low",
    "SIP/2.0 -1",
    "SIP/7.0 200 from the future",
    "GET / HTTP/1.1",
    "",
)

HEADERS = (
    {"Via": "SIP/2.0/UDP ;;,;,,"},
    {"Via": ", " * 500},
    {"Via": "SIP/2.0/XYZ [::ffff:1]:0;branch="},
    {"Via": "SIP/2.0/UDP 256.256.256.256:70000;branch=z9hG4bK;rport=-5;received=x"},
    {"Max-Forwards": "0"},
    {"Max-Forwards": "-1"},
    {"Max-Forwards": "999999999999999999999"},
    {"From": '"Bell, Alexander <sip:a.g.bell@bell-tel.com>;tag=43'},
    {"From": "<<>>;tag==;;"},
    {"To": "sip:1001@edge?Replaces=x&&Route=%3Csip:example.com%3E"},
    {"To": "\u00e9\u4e2d\u0000"},
    {"Call-ID": ""},
    {"CSeq": "4294967296 INVITE"},
    {"CSeq": "-1 INVITE"},
    {"CSeq": "8 NOTIFY"},
    {"CSeq": "INVITE"},
    {"Contact": "<sip:" + "a" * 4000 + "@edge>"},
    {"Contact": '<sip:a@b;x="' + "<" * 50},
    {"Contact": "*"},
    {"Content-Length": "-999"},
    {"Content-Length": "9999"},
    {"Content-Length": "99999999999999999999999"},
    {"Route": "<sip:edge;lr>" + ", <sip:a@b>" * 200},
    {"Route": "<;;lr"},
    {"Record-Route": ",,,,"},
    {"Diversion": ';;;reason="' + "\\" * 99},
    {"X-VM-Source": "x\r\n y\r\n\tz"},
    {"Require": "nothingSupportsThis, nothingSupportsThisEither"},
    {"Proxy-Require": "nothingSupportsThis"},
    {"Expires": "0 0ld"},
    {"Date": "Fri, 01 Jan 2010 16:00:00 EST"},
    {"": "a header without a name"},
    {"A" * 2000: "long name"},
)


def datagrams(host: str, port: int, seed: int = 4475) -> Iterator[bytes]:
    """All of them in a fixed order, the noise from `seed`."""
    number = 0
    for start in STARTS:
        number += 1
        yield built(start, {}, host, port, number)
    for method in ("INVITE", "SUBSCRIBE", "BYE"):
        for changes in HEADERS:
            number += 1
            cseq = {"CSeq": f"{number} {method}"}
            yield built(f"{method} sip:1001@edge SIP/2.0", cseq | changes, host, port, number)
    whole = built("INVITE sip:1001@edge SIP/2.0", {}, host, port, 9999)
    yield from truncated_and_without(whole)
    yield from noise(whole, random.Random(seed))


def built(start: str, changes: dict[str, str], host: str, port: int, n: int) -> bytes:
    lines = [f"{name}: {value}" for name, value in (BASE | changes).items()]
    text = "\r\n".join([start, *lines]) + "\r\n\r\n"
    return text.replace("{host}", host).replace("{port}", str(port)).replace("{n}", str(n)).encode()


def truncated_and_without(whole: bytes) -> Iterator[bytes]:
    """Cut off in each quarter; each header missing, and twice."""
    for part in range(1, 5):
        yield whole[: len(whole) * part // 5]
    for name in (b"Via", b"From", b"To", b"Call-ID", b"CSeq", b"Max-Forwards"):
        lines = whole.split(b"\r\n")
        chosen = next(line for line in lines if line.startswith(name + b":"))
        yield b"\r\n".join(line for line in lines if line != chosen)
        yield whole.replace(chosen, chosen + b"\r\n" + chosen)


def noise(whole: bytes, dice: random.Random) -> Iterator[bytes]:
    """Random bytes, and good requests with some bytes changed."""
    for size in (1, 33, 512, 1400, 9000, 65000):
        yield dice.randbytes(size)
    yield b"\0" * 64
    for _ in range(60):
        spoilt = bytearray(whole)
        for _ in range(dice.randint(1, 12)):
            spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
        yield bytes(spoilt)
