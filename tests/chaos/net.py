"""A network of our own: two nodes and their callers, each in a network namespace, joined by a bridge.

`inside()` starts this program again in namespaces of its own (network, mounts, processes, shared memory),
where it is the callers' host and has the bridge. Nothing of it is seen outside, and the kernel takes
everything away, processes included, when the program ends in whatever way.

This kernel has no netem; packets are dropped by nftables on the bridge, each direction of each pair apart,
and passed on late by slow.py.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.slow import Slow

CALLERS = "10.77.0.9"
MARK = "TANDEM_CHAOS_INSIDE"
KNOCK = """import socket, sys, time
knock = lambda: socket.socket().connect_ex((sys.argv[1], 9))
knock()
began = time.monotonic()
assert knock() == 111
print(time.monotonic() - began)"""
"""The first asks for the hardware address, too."""
NEW = ("--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")


def inside(arguments: list[str]) -> int | None:
    """None when we are inside already; else the exit code of the run inside."""
    if os.environ.get(MARK):
        return None
    command = ["unshare", *NEW, sys.executable, *arguments]
    process = subprocess.Popen(command, env={**os.environ, MARK: "1"})
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the program inside got it too, and tidies up


def reap(main: int) -> int:
    """What the first process of a process namespace owes to the others: wait for those whose parents
    died, or a killed database would be a zombie that looks alive. The exit code of `main`."""
    while True:
        try:
            pid, status = os.wait()
        except KeyboardInterrupt:
            continue
        if pid == main:
            return os.waitstatus_to_exitcode(status)


def address(node: int) -> str:
    return f"10.77.0.{node}"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@dataclass
class Network:
    """Made once a run. `drop` and `heal` take effect at once, for packets already on their way too."""

    hosts: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _slow: Slow | None = None

    def make(self) -> None:
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "link", "set", "br0", "up")
        run("ip", "address", "add", f"{CALLERS}/24", "dev", "br0")
        for node in (1, 2):
            self._host(node)
        run("nft", "add", "table", "bridge", "cut")
        for hook in ("forward", "input", "output"):
            run("nft", f"add chain bridge cut on_{hook} {{ type filter hook {hook} priority 0; }}")

    def _host(self, node: int) -> None:
        ours = os.stat("/proc/self/ns/net").st_ino
        self.hosts[node] = holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        while Path(f"/proc/{holder.pid}/ns/net").stat().st_ino == ours:
            time.sleep(0.01)
        run("ip", "link", "add", f"v{node}", "type", "veth", "peer", "eth0", "netns", str(holder.pid))
        run("ip", "link", "set", f"v{node}", "master", "br0", "up")
        for words in ("link set lo up", "link set eth0 up", f"address add {address(node)}/24 dev eth0"):
            run(*self.on(node), "ip", *words.split())

    def on(self, node: int) -> tuple[str, ...]:
        """Put before a command to run it on the node's host."""
        return "nsenter", f"--net=/proc/{self.hosts[node].pid}/ns/net", "--"

    def drop(self, sender: int, receiver: int, percent: int = 100) -> None:
        """Packets from one node to the other."""
        chance = f"numgen random mod 100 < {percent} " if percent < 100 else ""
        run("nft", f"add rule bridge cut on_forward iifname v{sender} oifname v{receiver} {chance}drop")

    def cut(self) -> None:
        """The nodes cannot see each other; callers reach both."""
        self.drop(1, 2)
        self.drop(2, 1)

    def unplug(self, node: int) -> None:
        """Nobody reaches the node, and it reaches nobody."""
        self.drop(node, 3 - node)
        self.drop(3 - node, node)
        run("nft", f"add rule bridge cut on_input iifname v{node} drop")
        run("nft", f"add rule bridge cut on_output oifname v{node} drop")

    def lose(self, percent: int) -> None:
        """Of everything, to and from the callers too."""
        for hook in ("forward", "input", "output"):
            run("nft", f"add rule bridge cut on_{hook} numgen random mod 100 < {percent} drop")

    def slow(self, seconds: float) -> None:
        """Between the nodes, each way; callers are as near to both as before. Raises OSError when the way is
        not that slow."""
        self.cut()
        self._slow = Slow(("v1", "v2"), (self._hardware(1), self._hardware(2)), seconds)
        if not 2 * seconds <= (found := self.round_trip()) < 2 * seconds + 0.1:
            raise OSError(f"a round trip takes {found:.3f} s, not {2 * seconds:g} s")

    def round_trip(self) -> float:
        """Seconds from node 1 to node 2 and back, by a connection that is refused."""
        command = [*self.on(1), sys.executable, "-S", "-c", KNOCK, address(2)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def _hardware(self, node: int) -> bytes:
        command = [*self.on(node), "ip", "-brief", "link", "show", "eth0"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return bytes.fromhex(said[2].replace(":", ""))

    def heal(self) -> None:
        if self._slow:
            self._slow.end()
            self._slow = None
        for hook in ("forward", "input", "output"):
            run("nft", f"flush chain bridge cut on_{hook}")
