"""What the edges keep of a phone's password (RFC 2617 section 3.2.2.2): never the password itself."""

import hashlib

REALM = "voicemail"
"""Said in every challenge, by both nodes and for good: a password is kept for one realm only."""


def ha1(extension: str, password: str, realm: str = REALM) -> str:
    """MD5 of name, realm and password as 32 hexadecimal digits. It opens as much as the password does,
    at this cluster: keep it as secret."""
    return hashlib.md5(f"{extension}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()
