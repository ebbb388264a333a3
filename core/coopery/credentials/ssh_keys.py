"""SSH keys from files, for signing only: what an agent does with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from coopery.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_FAILURE = b"\x05"
_IDENTITIES_ANSWER = b"\x0c"
_SIGN_RESPONSE = b"\x0e"
_IDENTITIES, _SIGN = 11, 13
#: Names of RSA signatures by the flags of a request (draft-ietf-sshm-ssh-agent, "Signature flags").
_RSA: Mapping[int, bytes] = {0: b"ssh-rsa", 2: b"rsa-sha2-256", 4: b"rsa-sha2-512", 6: b"rsa-sha2-512"}
_LARGEST_KEY = 100 << 10  # bytes of a file, as in BuildKit


class Keyring:
    """An agent that has some keys, by their public parts as SSH writes them (RFC 4253, 6.6)."""

    def __init__(self, keys: Mapping[bytes, tuple[PrivateKeyTypes, str]]) -> None:
        """Each key with a comment."""
        self._keys = dict(keys)

    @classmethod
    def read(cls, paths: Sequence[str]) -> Keyring:
        """The keys in files of OpenSSH's form or PEM. UsageError if one can't be read, has a passphrase or is of a
        kind that can't sign here, or without the library that it takes."""
        try:
            from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        except ImportError:
            hint = "install coopery[ssh], or start an ssh-agent, ssh-add the keys and pass its socket on"
            raise UsageError("SSH keys in files take the library `cryptography`", hint=hint) from None
        keys: dict[bytes, tuple[PrivateKeyTypes, str]] = {}
        for path in paths:
            private = _private_key(path)
            line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
            keys[_blob(line)] = private, path.rpartition("/")[2]
        return cls(keys)

    def answer(self, request: bytes) -> bytes:
        """The answer to a request for the public keys or for a signature; a failure to everything else."""
        try:
            if request[0] == _IDENTITIES:
                listed = b"".join(_string(blob) + _string(name.encode()) for blob, (_, name) in self._keys.items())
                return _IDENTITIES_ANSWER + len(self._keys).to_bytes(4, "big") + listed
            if request[0] == _SIGN:
                blob, rest = _take(request[1:])
                data, rest = _take(rest)
                flags = int.from_bytes(rest[:4], "big")
                return _SIGN_RESPONSE + _string(_signature(self._keys[blob][0], data, flags))
        except (KeyError, ValueError, IndexError):
            return _FAILURE
        return _FAILURE


def _private_key(path: str) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_KEY)
    except OSError as error:
        raise UsageError(f"can't read the SSH key {path}: {error.strerror}") from error
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        private: PrivateKeyTypes = load(data, None)
    except TypeError:
        hint = "ssh-add it to an agent and pass that on, or give a key without one"
        raise UsageError(f"the SSH key {path} has a passphrase", hint=hint) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        encrypted = "password" in str(error).lower() or "encrypted" in str(error).lower()
        message = "has a passphrase" if encrypted else "is not a private key that can be read"
        hint = "ssh-add it to an agent and pass that on; a .pub file is the public part"
        raise UsageError(f"the SSH key {path} {message}", hint=hint) from None
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise UsageError(f"the SSH key {path} is of a kind that isn't used any more", hint="use RSA, ECDSA or Ed25519")
    return private


def _signature(private: PrivateKeyTypes, data: bytes, flags: int) -> bytes:
    """A signature as SSH writes it (RFC 4253 6.6, RFC 5656 3.1.2, RFC 8332, RFC 8709)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

    if isinstance(private, ed25519.Ed25519PrivateKey):
        return _string(b"ssh-ed25519") + _string(private.sign(data))
    if isinstance(private, rsa.RSAPrivateKey):
        name = _RSA[flags]
        sizes: Mapping[bytes, hashes.HashAlgorithm] = {
            b"ssh-rsa": hashes.SHA1(),  # noqa: S303 - what a server that asks for it gets from every agent
            b"rsa-sha2-256": hashes.SHA256(),
            b"rsa-sha2-512": hashes.SHA512(),
        }
        return _string(name) + _string(private.sign(data, padding.PKCS1v15(), sizes[name]))
    assert isinstance(private, ec.EllipticCurvePrivateKey)  # which is all that is read
    curves: Mapping[str, tuple[bytes, hashes.HashAlgorithm]] = {
        "secp256r1": (b"ecdsa-sha2-nistp256", hashes.SHA256()),
        "secp384r1": (b"ecdsa-sha2-nistp384", hashes.SHA384()),
        "secp521r1": (b"ecdsa-sha2-nistp521", hashes.SHA512()),
    }
    name, algorithm = curves[private.curve.name]
    r, s = utils.decode_dss_signature(private.sign(data, ec.ECDSA(algorithm)))
    return _string(name) + _string(_mpint(r) + _mpint(s))


def _blob(line: bytes) -> bytes:
    """The public key in a line such as authorized_keys has."""
    import base64

    return base64.b64decode(line.split(b" ")[1])


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _mpint(number: int) -> bytes:
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _take(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[:4], "big")
    if len(data) < 4 + length:
        raise ValueError("the request breaks off")
    return data[4 : 4 + length], data[4 + length :]
