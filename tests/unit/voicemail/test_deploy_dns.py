"""The DNS records of a cluster, read back by another parser."""

import pytest
from dns import rdatatype, zone

from voicemail.deploy import dns
from voicemail.deploy.dns import Format, records, render
from voicemail.errors import VoicemailError
from voicemail.secrets import Member

ONE = Member(1, "vm1", "192.0.2.11", 5065, 5432, 5060)
TWO = Member(2, "vm2", "2001:db8::12", 5065, 5432, 5070)


def read(text: str) -> zone.Zone:
    return zone.from_text(text, origin="vm.example.", relativize=False, check_origin=False)


def found(of: zone.Zone, name: str, kind: str) -> list[str]:
    return sorted(str(record) for record in of.find_rdataset(name, kind))


@pytest.mark.parametrize("form", [Format.BIND, Format.KNOT])
def test_a_whole_zone_leads_from_the_domain_to_both_nodes_by_weight(form: Format) -> None:
    parsed = read(render(records([ONE, TWO], "VM.example.", (70, 30), 7), form, 42, ["ns1.example"]))
    parsed.check_origin()
    assert found(parsed, "vm.example.", "NAPTR") == [
        '10 10 "s" "SIP+D2U" "" _sip._udp.vm.example.',
        '10 20 "s" "SIP+D2T" "" _sip._tcp.vm.example.',
    ]
    for transport in ("_udp", "_tcp"):
        srvs = found(parsed, f"_sip.{transport}.vm.example.", "SRV")
        assert srvs == ["10 30 5070 vm2.vm.example.", "10 70 5060 vm1.vm.example."]
    assert found(parsed, "vm1.vm.example.", "A") == ["192.0.2.11"]
    assert found(parsed, "vm2.vm.example.", "AAAA") == ["2001:db8::12"]
    assert found(parsed, "vm.example.", "NS") == ["ns1.example."]
    assert found(parsed, "vm.example.", "SOA")[0].split()[2] == "42"
    assert {rdataset.ttl for _, rdataset in parsed.iterate_rdatasets()} == {7}


def test_without_a_name_server_there_are_only_records_to_include_in_a_zone() -> None:
    parsed = read(render(records([ONE, TWO], "vm.example"), Format.BIND))
    kinds = {rdataset.rdtype for _, rdataset in parsed.iterate_rdatasets()}
    assert kinds == {rdatatype.NAPTR, rdatatype.SRV, rdatatype.A, rdatatype.AAAA}
    assert [record.weight for record in parsed.find_rdataset("_sip._udp.vm.example.", "SRV")] == [50, 50]


def test_a_node_whose_name_lies_in_the_domain_keeps_it() -> None:
    here = Member(1, "A.vm.example", "192.0.2.1", 5065, 5432, 5060)
    assert dns.host_name(here, "vm.example") == "a.vm.example"
    assert dns.host_name(Member(1, "avm.example", "192.0.2.1", 1, 1, 1), "vm.example") == (
        "avm.example.vm.example"
    )


@pytest.mark.parametrize(
    ("domain", "weights", "ttl"),
    [
        ("", (), 5),
        ("vm..example", (), 5),
        ("vm example", (), 5),
        ("vm.example\nx", (), 5),
        ("-vm.example", (), 5),
        ("a." * 150 + "b", (), 5),
        ("vm.example", (70,), 5),
        ("vm.example", (70, 20, 10), 5),
        ("vm.example", (0, 0), 5),
        ("vm.example", (-1, 5), 5),
        ("vm.example", (65536, 5), 5),
        ("vm.example", (), -1),
    ],
)
def test_what_no_name_server_would_take_is_refused(domain: str, weights: tuple[int, ...], ttl: int) -> None:
    with pytest.raises(VoicemailError):
        records([ONE, TWO], domain, weights, ttl)
    if domain != "vm.example":
        with pytest.raises(VoicemailError):
            render(records([ONE], "vm.example"), Format.BIND, 1, [domain])


def test_dnsmasq_gets_the_same_facts() -> None:
    lines = render(records([ONE, TWO], "vm.example", (70, 30)), Format.DNSMASQ).splitlines()
    assert "srv-host=_sip._udp.vm.example,vm1.vm.example,5060,10,70" in lines
    assert "srv-host=_sip._tcp.vm.example,vm2.vm.example,5070,10,30" in lines
    assert "naptr-record=vm.example,10,10,s,SIP+D2U,,_sip._udp.vm.example" in lines
    assert "host-record=vm2.vm.example,2001:db8::12,5" in lines
    assert "local-ttl=5" in lines
