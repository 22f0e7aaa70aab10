"""A real Redis Cluster of three masters and three replicas on loopback."""

import contextlib
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import redis

from service_runtime.redis import slot_of
from tests.waiting import wait_for

NODE_TIMEOUT = 1000  # milliseconds; replicas are promoted after about twice this time
SLOTS = 16384
PASSWORD = secrets.token_urlsafe(16)


class Server:
    """A node in a child process, which tests can suspend, kill and restart."""

    def __init__(
        self, program: str, folder: Path, port: int, bus_port: int, node_timeout: int
    ) -> None:
        folder.mkdir()
        self.port, self.address = port, ("127.0.0.1", port, bus_port)
        self.client = redis.Redis(port=port, password=PASSWORD, socket_timeout=5, protocol=2)
        self._log = folder / "redis.log"
        configuration = folder / "redis.conf"
        configuration.write_text(f"""
            bind 127.0.0.1
            port {port}
            cluster-port {bus_port}
            cluster-enabled yes
            cluster-node-timeout {node_timeout}
            cluster-require-full-coverage no
            cluster-replica-validity-factor 0
            requirepass {PASSWORD}
            masterauth {PASSWORD}
            repl-diskless-sync-delay 0
            repl-ping-replica-period 1
            dir "{folder}"
            save ""
        """)
        self._command = [program, str(configuration)]
        self.start()

    def start(self) -> None:
        """Start the process with the node's saved view of the cluster."""
        with self._log.open("a") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def stop(self) -> None:
        """Kill the process, even if it is suspended."""
        self.process.kill()
        self.process.wait()

    def cluster(self, command: str, *arguments: Any) -> Any:
        """Return the reply to a CLUSTER command."""
        return self.client.execute_command(f"CLUSTER {command}", *arguments)

    @property
    def id(self) -> str:
        """The node's ID in the cluster."""
        return str(self.cluster("MYID").decode())

    @property
    def role(self) -> str:
        """`master` or `slave`."""
        return str(self.client.role()[0].decode())


class LocalCluster:
    """Six nodes. Roles change during tests, so tests look a key's master up."""

    def __init__(self, program: str, folder: Path, node_timeout: int) -> None:
        ports = free_ports(12)
        self.servers = [
            Server(program, folder / str(port), port, bus_port, node_timeout)
            for port, bus_port in zip(ports[:6], ports[6:], strict=True)
        ]
        self.url = f"redis+cluster://:{PASSWORD}@" + ",".join(
            f"127.0.0.1:{server.port}" for server in self.servers[:3]
        )

    def create(self) -> None:
        """Form a cluster of the nodes."""
        masters, replicas = self.servers[:3], self.servers[3:]
        wait_for(self._all_respond)
        bounds = [number * SLOTS // 3 for number in range(4)]
        for number, server in enumerate(masters):
            server.cluster("SET-CONFIG-EPOCH", number + 1)
            server.cluster("ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for server in self.servers[1:]:
            masters[0].cluster("MEET", *server.address)
        for master, replica in zip(masters, replicas, strict=True):
            wait_for(partial(is_attached, replica, master.id))
        self.heal()

    def _all_respond(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return all(server.client.ping() for server in self.servers)
        return False

    def heal(self) -> None:
        """Restart and resume all nodes; wait until every shard has a master and a replica."""
        for server in self.servers:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGCONT)
            else:
                server.start()
        wait_for(self._all_respond)
        for server in self.servers:
            server.client.config_set("cluster-replica-no-failover", "no")
        wait_for(self._is_healthy, 60)

    def _is_healthy(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            views = [server.cluster("SLOTS") for server in self.servers]
            return (
                all(server.cluster("INFO")["cluster_state"] == "ok" for server in self.servers)
                and all(owners(view) == owners(views[0]) for view in views)
                and all(len(replicas) == 1 for _, _, _, *replicas in views[0])
                and all(
                    server.client.info("replication")["master_link_status"] == "up"
                    for server in self.servers
                    if server.role == "slave"
                )
            )
        return False

    def master_of(self, key: str) -> Server:
        """Return the node that serves a key, by the view of the nodes that respond."""
        slot = slot_of(key)
        for server in self.servers:
            with contextlib.suppress(redis.RedisError):
                for first, last, (_, port, *_), *_ in server.cluster("SLOTS"):
                    if first <= slot <= last:
                        return self._by_port(port)
        raise AssertionError(f"no node serves {key}")

    def replica_of(self, master: Server) -> Server:
        """Return the master's replica."""
        (replica,) = master.client.role()[2]
        return self._by_port(int(replica[1]))

    def oldest_key(self, keys: list[str]) -> str:
        """Return the key whose master was promoted first; masters vote once per two timeouts."""
        return min(
            keys, key=lambda key: int(self.master_of(key).cluster("INFO")["cluster_my_epoch"])
        )

    def _by_port(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)

    def keep_roles(self) -> None:
        """Promote no replica until the cluster is healed."""
        for server in self.servers:
            server.client.config_set("cluster-replica-no-failover", "yes")

    def move_slot(self, key: str, target: Server) -> None:
        """Move a key's slot, with its keys, to another master."""
        source, slot = self.master_of(key), slot_of(key)
        self.start_move(key, target)
        while names := source.cluster("GETKEYSINSLOT", slot, 100):
            self.migrate(source, target, *names)
        for server in (target, source):
            server.cluster("SETSLOT", slot, "NODE", target.id)

    def start_move(self, key: str, target: Server) -> None:
        """Let two masters share a key's slot: one migrates it, the other imports it."""
        source, slot = self.master_of(key), slot_of(key)
        target.cluster("SETSLOT", slot, "IMPORTING", source.id)
        source.cluster("SETSLOT", slot, "MIGRATING", target.id)

    def migrate(self, source: Server, target: Server, *keys: Any) -> None:
        """Move keys between two masters."""
        arguments = ["127.0.0.1", target.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys]
        source.client.execute_command("MIGRATE", *arguments)

    def stop(self) -> None:
        """Kill all nodes."""
        for server in self.servers:
            server.client.close()
            server.stop()


def owners(view: Any) -> Any:
    """Return the master of each range of slots."""
    return sorted((first, last, port) for first, last, (_, port, *_), *_ in view)


def is_attached(replica: Server, master_id: str) -> bool:
    """Attach a replica to a master, and return whether it knew the master."""
    try:
        replica.cluster("REPLICATE", master_id)
    except redis.ResponseError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Return free TCP ports of the loopback interface."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextlib.contextmanager
def local_cluster(program: str, node_timeout: int = NODE_TIMEOUT) -> Iterator[LocalCluster]:
    """Yield a healthy cluster, and stop it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        created = LocalCluster(program, Path(folder), node_timeout)
        try:
            created.create()
            yield created
        finally:
            created.stop()
