from pathlib import Path

import pytest

from voicemail import programs
from voicemail.cluster.keeper import NotYet
from voicemail.config import Config, parse
from voicemail.secrets import Member, NodeFiles, Secrets

PEER = Member(2, "vm2", "192.0.2.12", 5065, 5432, 5070)


def config(folder: Path, more: str = "") -> Config:
    return parse(
        f'[node]\nname = "vm1"\naddress = "192.0.2.11"\ndirectory = "{folder}"\n'
        f'[[trunk]]\nname = "pbx"\naddresses = ["192.0.2.5"]\n{more}'
    )


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    files = NodeFiles(config(tmp_path))
    files.write_secrets(Secrets("pg-secret", "vm-secret", "repl-secret", "edge-secret", "cluster-secret"))
    return files


def test_the_edge_knows_workers_peer_and_trunks(tmp_path: Path, files: NodeFiles) -> None:
    settings = programs.edge_settings(
        config(tmp_path, "[sip]\nworkers = 3\nworker_port = 7000\n"), files, PEER, True
    )
    assert [f"{at.host}:{at.port}" for at in settings.workers] == [f"127.0.0.1:{7000 + n}" for n in range(3)]
    assert settings.peer and (settings.peer.host, settings.peer.port) == ("192.0.2.12", 5070)
    assert [(trunk.name, tuple(trunk.addresses)) for trunk in settings.trunks] == [("pbx", ("192.0.2.5",))]
    assert settings.serving and settings.database == "postgres://edge:edge-secret@127.0.0.1:5432/edge"


def test_a_node_alone_has_no_peers_edge(tmp_path: Path, files: NodeFiles) -> None:
    assert programs.edge_settings(config(tmp_path), files, None, False).peer is None


def test_the_primarys_own_requests_come_from_a_member_above_all_workers(
    tmp_path: Path, files: NodeFiles
) -> None:
    settings = programs.edge_settings(config(tmp_path, "[sip]\nworkers = 28\n"), files, None, True)
    [member] = settings.members
    assert member.port > max(worker.port for worker in settings.workers)


def test_on_an_external_database_the_edge_has_none(tmp_path: Path, files: NodeFiles) -> None:
    external = config(tmp_path, '[store]\ndsn = "host=db"\n')
    assert programs.edge_settings(external, files, None, True).database == ""


def test_challenges_of_both_nodes_are_made_with_one_secret_that_gives_no_other_away(
    tmp_path: Path, files: NodeFiles
) -> None:
    one, two = (programs.edge_settings(config(tmp_path), files, peer, True) for peer in (None, PEER))
    assert one.digest_secret == two.digest_secret
    assert "edge-secret" not in one.digest_secret and one.digest_secret not in repr(one)


def test_the_presence_server_waits_for_its_database(tmp_path: Path) -> None:
    ready = False
    program = programs.presence_program(config(tmp_path), lambda: ready)
    with pytest.raises(NotYet, match="its database is not up yet"):
        program.prepare()
    ready = True
    program.prepare()


def test_no_program_outlives_its_supervisor_and_none_shows_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    made = config(tmp_path)
    for program in (
        programs.edge_program(made, lambda: None),
        programs.presence_program(made, lambda: True),
        programs.workers_program(path),
        programs.primary_program(path),
        programs.smtp_program(path),
    ):
        command = program.argv()
        assert command[:2] == ["setpriv", "--pdeathsig"], program.name
        assert "secret" not in " ".join(command)


def test_leftovers_are_marked_by_what_the_programs_are_started_with(tmp_path: Path) -> None:
    made = config(tmp_path)
    started = [
        *programs.edge_program(made, lambda: None).argv(),
        *programs.presence_program(made, lambda: True).argv(),
    ]
    assert set(programs.leftover_marks(made)) <= set(started)


@pytest.mark.parametrize(
    "more, there", [("", False), ('[smtp]\nport = 25\ndomains = ["vm.example.com"]\n', True)]
)
def test_mails_are_received_where_a_port_is_given(tmp_path: Path, more: str, there: bool) -> None:
    made = config(tmp_path, more)
    runs = programs.of_node(made, tmp_path / "node.toml", None, lambda: None, lambda: True)
    assert ("smtp" in [program.name for program in runs]) is there
