from voicemail.primary.lease import TTL, Lease


def test_a_lease_never_renewed_does_not_hold() -> None:
    assert not Lease().valid(0.0)


def test_a_renewal_holds_for_less_than_a_silent_peer_is_waited_for() -> None:
    lease = Lease().renew(1, 100.0)
    assert lease.valid(100.0) and lease.valid(100.0 + TTL - 0.01)
    assert not lease.valid(100.0 + TTL)
    assert TTL < 2.0


def test_a_renewal_read_long_after_it_was_written_brings_nothing_back() -> None:
    frozen = Lease().renew(1, 100.0)
    for written in (100.2, 100.4, 100.6):  # what lay in the pipe
        frozen = frozen.renew(1, written)
    assert not frozen.valid(130.0)
    assert frozen.renew(1, 130.0).valid(130.0)


def test_a_revoked_lease_comes_back_with_the_next_renewal() -> None:
    revoked = Lease().renew(1, 100.0).revoke()
    assert not revoked.valid(100.0)
    assert revoked.renew(1, 100.2).valid(100.3)


def test_after_the_store_refused_an_epoch_only_a_newer_one_holds() -> None:
    refused = Lease().renew(4, 100.0).refuse()
    assert not refused.renew(4, 101.0).valid(101.0)
    assert not refused.renew(3, 101.0).valid(101.0)
    assert refused.renew(5, 101.0).valid(101.0)


def test_an_older_epoch_never_replaces_a_newer_one() -> None:
    lease = Lease().renew(7, 100.0).renew(6, 200.0)
    assert (lease.epoch, lease.valid(100.5), lease.valid(200.0)) == (7, True, False)


def test_renewals_out_of_order_do_not_shorten_a_lease() -> None:
    assert Lease().renew(1, 101.0).renew(1, 100.0).valid(102.0)
