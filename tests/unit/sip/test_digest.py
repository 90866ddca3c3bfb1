"""RFC 2617's own example."""

from sip.digest import ha1


def test_it_is_the_a1_of_the_rfc() -> None:
    assert ha1("Mufasa", "Circle Of Life", "testrealm@host.com") == "939e7578ed9e3c518a452acee763bce9"
