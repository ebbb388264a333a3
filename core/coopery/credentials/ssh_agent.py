"""SSH agents for RUN steps: a socket that a step may ask for public keys and signatures, and for nothing else.

What stands behind it is the user's own agent, or keys that were given as files. Either way no private key and no
other request gets through: a step can't add, remove or lock keys, and can't use the agent's extensions. The protocol
is draft-ietf-sshm-ssh-agent; what is let through is what BuildKit lets through (session/sshforward/sshprovider).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator

from coopery.errors import CooperyError, EnvironmentUnsuitable
from coopery.request import SshAgent

FAILURE = b"\x05"
REQUEST_IDENTITIES = 11
SIGN_REQUEST = 13
_LARGEST = 256 << 10  # bytes of a message, as in OpenSSH's ssh-agent
_PATIENCE = 300  # seconds that an agent may take: it may ask its user

#: Answers one request; an agent for one connection.
Agent = Callable[[bytes], bytes]


@contextlib.contextmanager
def answering(agent: SshAgent, path: str, mode: int, uid: int, gid: int) -> Iterator[str]:
    """A socket at `path` at which `agent` answers as long as the block lasts. UsageError for keys that can't be read,
    EnvironmentUnsuitable for an owner that doesn't exist here."""
    opener = _opener(agent)
    listener = socket.socket(socket.AF_UNIX)
    server = _Server(listener, opener)
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # By a descriptor, because an address has room for 107 bytes only.
        listener.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        try:
            os.chown(path, uid, gid)
            os.chmod(path, mode)
        except OSError as error:
            raise EnvironmentUnsuitable(f"an SSH socket can't belong to {uid}:{gid} here: {error.strerror}") from error
        listener.listen(16)
        server.start()
        yield path
    finally:
        server.stop()
        os.close(directory)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _opener(agent: SshAgent) -> Callable[[], contextlib.AbstractContextManager[Agent]]:
    """Makes what answers the requests of one connection."""
    if agent.socket:
        return lambda: _forwarded(agent.socket)
    from coopery.credentials.ssh_keys import Keyring

    keyring = Keyring.read(agent.keys)
    return lambda: contextlib.nullcontext(keyring.answer)


@contextlib.contextmanager
def _forwarded(path: str) -> Iterator[Agent]:
    """The user's agent, by a connection of its own."""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(_PATIENCE)
        agent.connect(path)

        def ask(request: bytes) -> bytes:
            _send(agent, request)
            return _receive(agent) or FAILURE

        yield ask


class _Server:
    """Accepts connections and answers them, each in a thread of its own."""

    def __init__(self, listener: socket.socket, opener: Callable[[], contextlib.AbstractContextManager[Agent]]) -> None:
        self._listener = listener
        self._opener = opener
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._stopped = False

    def start(self) -> None:
        """Begin to accept."""
        threading.Thread(target=self._accept, name="ssh-agent", daemon=True).start()

    def stop(self) -> None:
        """End all connections."""
        with self._lock:
            self._stopped = True
            for connection in (self._listener, *self._connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._stopped:
                    connection.close()
                    return
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="ssh-agent", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError, CooperyError), self._opener() as agent:
                while request := _receive(connection):
                    harmless = request[0] in (REQUEST_IDENTITIES, SIGN_REQUEST)
                    _send(connection, agent(request) if harmless else FAILURE)
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(len(message).to_bytes(4, "big") + message)


def _receive(connection: socket.socket) -> bytes:
    """The next message; empty at the end of the connection, or if what comes is no message."""
    length = int.from_bytes(_exactly(connection, 4), "big")
    return _exactly(connection, length) if 0 < length <= _LARGEST else b""


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            return b""
        data += piece
    return data
