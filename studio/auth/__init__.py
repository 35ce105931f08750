"""Who gets in: the owner at this computer, whoever knows the password, whoever holds a token. Nobody else."""

from studio.auth.door import Door, Visitor, VisitorKind
from studio.auth.vault import Token, create_token, ensure_password, list_tokens, revoke_token, set_password

__all__ = [
    "Door",
    "Token",
    "Visitor",
    "VisitorKind",
    "create_token",
    "ensure_password",
    "list_tokens",
    "revoke_token",
    "set_password",
]
