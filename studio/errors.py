"""The error tree. Every error a person can meet has a stable code, a remedy and an HTTP status.

    LikenessError
    ├─ who you are      AUTH_MISSING · AUTH_INVALID · AUTH_EXPIRED · ORIGIN_REFUSED · RATE_LIMITED
    ├─ what you asked   MISSING_REQUIRED_FIELD · INVALID_FIELD_TYPE · INVALID_FIELD_VALUE · CONTRACT_MISMATCH ·
    │                   NOT_FOUND · CONFLICT · SAFETY_FILTER · CONSENT_MISSING · IMAGE_INVALID · FILE_TOO_LARGE
    ├─ models           MODEL_INVALID · MODEL_UNSAFE · MODEL_GATED · LORA_MISMATCH · LICENSE_UNKNOWN
    ├─ downloads        DOWNLOAD_FAILED · CHECKSUM_MISMATCH · CHECKSUM_MISSING
    ├─ engines          ENGINE_OFFLINE · ENGINE_TIMEOUT · ENGINE_FAILED · OUT_OF_MEMORY · TRAINING_DIVERGED · JOB_POISONED ·
    │                   INSUFFICIENT_FUNDS
    └─ the machine      DEPENDENCY_MISSING · DB_UNAVAILABLE · DB_TOO_NEW · DATA_ROOT_LOCKED · DATA_ROOT_READ_ONLY ·
                        SECRETS_UNREADABLE · DISK_FULL · PORT_IN_USE · UNKNOWN_ERROR

docs/errors.md is generated from this module: `python launch.py docs`.
"""

from __future__ import annotations

import errno
import re
from typing import ClassVar

from pydantic import ValidationError


class LikenessError(Exception):
    """An error a person can act on.

    `field` names the request field at fault, if one is. A subclass is a code; its docstring says when it is raised.
    """

    code: ClassVar[str] = "UNKNOWN_ERROR"
    status: ClassVar[int] = 500
    default_message: ClassVar[str] = "Something went wrong."
    default_remedy: ClassVar[str] = "Try again. If it happens again, run `python launch.py diagnose` and report it."

    def __init__(self, message: str = "", *, remedy: str = "", field: str | None = None) -> None:
        self.message = message or self.default_message
        self.remedy = remedy or self.default_remedy
        self.field = field
        super().__init__(self.message)


class UnknownError(LikenessError):
    """A fault in Likeness itself: nothing a request did explains it. The log has the details."""


# Who you are


class AuthMissing(LikenessError):
    """A request from outside this computer came without a session or a token."""

    code = "AUTH_MISSING"
    status = 401
    default_message = "You are not signed in."
    default_remedy = "Sign in with the studio's password, or send `Authorization: Bearer` with an API token."


class AuthInvalid(LikenessError):
    """The password, token or session is wrong or was revoked."""

    code = "AUTH_INVALID"
    status = 401
    default_message = "That password or token is not right."
    default_remedy = "Check it, or make a new one with `python launch.py token create`."


class AuthExpired(LikenessError):
    """The session or token was right once and is too old now."""

    code = "AUTH_EXPIRED"
    status = 401
    default_message = "Your session has expired."
    default_remedy = "Sign in again, or make a new API token."


class OriginRefused(LikenessError):
    """A page of another site tried to act in the studio on a visitor's behalf."""

    code = "ORIGIN_REFUSED"
    status = 403
    default_message = "This request came from another site."
    default_remedy = "Open the studio at its own address and try there."


class RateLimited(LikenessError):
    """Too many wrong passwords or tokens in a short time. `retry_after` is in seconds, 0 when it isn't known."""

    retry_after: int = 0
    code = "RATE_LIMITED"
    status = 429
    default_message = "Too many tries."
    default_remedy = "Wait a minute and try again."


# What you asked


class MissingRequiredField(LikenessError):
    """A field that must be there is absent or empty."""

    code = "MISSING_REQUIRED_FIELD"
    status = 422
    default_message = "Something is missing."
    default_remedy = "Fill in the field that is named and send it again."


class InvalidFieldType(LikenessError):
    """A field holds another type than its contract says."""

    code = "INVALID_FIELD_TYPE"
    status = 422
    default_message = "A field has the wrong type."
    default_remedy = "Send the type that the field asks for; /api/docs lists them."


class InvalidFieldValue(LikenessError):
    """A field's type is right and its value is out of range or unknown."""

    code = "INVALID_FIELD_VALUE"
    status = 422
    default_message = "A value is out of range."
    default_remedy = "Choose another value."


class ContractMismatch(LikenessError):
    """The request does not fit its contract as a whole: an unknown field, or not JSON at all."""

    code = "CONTRACT_MISMATCH"
    status = 422
    default_message = "The request does not fit its contract."
    default_remedy = "Compare it with /api/docs; unknown fields are refused."


class NotFound(LikenessError):
    """No job, picture, preset or route has that name."""

    code = "NOT_FOUND"
    status = 404
    default_message = "There is nothing here."
    default_remedy = "Check the id; the list route shows what exists."


class Conflict(LikenessError):
    """What was asked does not fit the state the thing is in, such as retrying a running job."""

    code = "CONFLICT"
    status = 409
    default_message = "That can't be done in the state it is in."
    default_remedy = "Look at its state and try what fits it."


class SafetyFilter(LikenessError):
    """The request crosses a line that never moves: sexualised minors, or undressing a real person."""

    code = "SAFETY_FILTER"
    status = 403
    default_message = "Likeness doesn't make this."
    default_remedy = "Describe something else. These lines hold for everyone and can't be switched off."


class ConsentMissing(LikenessError):
    """A real person's likeness was asked for without a consent record, or their photo would leave this computer without anybody's yes."""

    code = "CONSENT_MISSING"
    status = 403
    default_message = "There is no consent record for this person."
    default_remedy = "Add a consent record to the character first."


class ImageInvalid(LikenessError):
    """A file that should be a picture can't be read as one."""

    code = "IMAGE_INVALID"
    status = 422
    default_message = "This file is not a picture that can be read."
    default_remedy = "Send a PNG, JPEG or WebP file that opens in an image viewer."


class FileTooLarge(LikenessError):
    """An upload is over the limit in bytes or in pixels."""

    code = "FILE_TOO_LARGE"
    status = 413
    default_message = "The file is too large."
    default_remedy = "Make it smaller, or raise LIKENESS_MAX_UPLOAD_MB."


# Models


class ModelInvalid(LikenessError):
    """A checkpoint or LoRA is missing parts, truncated or corrupt."""

    code = "MODEL_INVALID"
    status = 422
    default_message = "This model file can't be read."
    default_remedy = "Download it again; a broken download is the usual cause."


class ModelUnsafe(LikenessError):
    """A pickle checkpoint (.ckpt, .pt, .pth, .bin): opening one can run any code in it."""

    code = "MODEL_UNSAFE"
    status = 422
    default_message = "This is a pickle file, which can run code when it is opened."
    default_remedy = "Use the .safetensors version of it."


class ModelGated(LikenessError):
    """A model is given only to those who accepted its terms on its page, and asks for a token that says who they are."""

    code = "MODEL_GATED"
    status = 403
    default_message = "This model is given only to those who accepted its terms."
    default_remedy = "Accept the terms on the model's page, make a token at https://huggingface.co/settings/tokens and set HF_TOKEN."


class LoraMismatch(LikenessError):
    """A LoRA was made for another model architecture than the chosen model's."""

    code = "LORA_MISMATCH"
    status = 422
    default_message = "This LoRA was made for another kind of model."
    default_remedy = "Choose a LoRA made for this model, or the model it was made for."


class LicenseUnknown(LikenessError):
    """A model states no licence, so nobody can say what may be done with it."""

    code = "LICENSE_UNKNOWN"
    status = 422
    default_message = "The licence of this model is unknown."
    default_remedy = "Read its page and confirm that you may use it."


# Downloads


class DownloadFailed(LikenessError):
    """A download stopped and could not be resumed."""

    code = "DOWNLOAD_FAILED"
    status = 502
    default_message = "The download failed."
    default_remedy = "Check the connection and press Resume; what arrived is kept."


class ChecksumMismatch(LikenessError):
    """A file's SHA-256 is not the published one."""

    code = "CHECKSUM_MISMATCH"
    status = 422
    default_message = "The file is not the one that was published."
    default_remedy = "Download it again. If it stays different, don't use it."


class ChecksumMissing(LikenessError):
    """No SHA-256 is published for a file, so it can't be checked."""

    code = "CHECKSUM_MISSING"
    status = 422
    default_message = "No checksum is known for this file."
    default_remedy = "Confirm that you trust the source, or give its SHA-256."


# Engines


class EngineOffline(LikenessError):
    """The engine is not answering."""

    code = "ENGINE_OFFLINE"
    status = 503
    default_message = "The engine is not answering."
    default_remedy = "Start it, or choose another engine."


class EngineTimeout(LikenessError):
    """An engine showed no progress for longer than LIKENESS_ENGINE_TIMEOUT_S."""

    code = "ENGINE_TIMEOUT"
    status = 504
    default_message = "The engine showed no progress for too long."
    default_remedy = "Retry the job. For a slow machine or a big model raise LIKENESS_ENGINE_TIMEOUT_S."


class EngineFailed(LikenessError):
    """An engine of its own, such as ComfyUI, stopped a job with an error of its own."""

    code = "ENGINE_FAILED"
    status = 502
    default_message = "The engine stopped with an error."
    default_remedy = "Look at the engine's own log, then retry the job."


class OutOfMemory(LikenessError):
    """The picture did not fit into the memory of the device."""

    code = "OUT_OF_MEMORY"
    status = 507
    default_message = "The device ran out of memory."
    default_remedy = "Make fewer pictures at once, choose a smaller size, or close other programs that use the device."


class TrainingDiverged(LikenessError):
    """A training's loss became infinite or no number: what was learned since the last checkpoint is worth nothing."""

    code = "TRAINING_DIVERGED"
    status = 422
    default_message = "The training ran away: its loss is no number any more."
    default_remedy = "Train with a smaller learning rate. The checkpoints saved before are good and stay."


class JobPoisoned(LikenessError):
    """The worker died three times while this job ran, so it is not started again by itself."""

    code = "JOB_POISONED"
    status = 500
    default_message = "The worker died three times while this job ran."
    default_remedy = "Try a smaller size or another model, then retry; the job's log says where it stopped."


class InsufficientFunds(LikenessError):
    """A paid engine refused the job: the account or the spend cap is used up."""

    code = "INSUFFICIENT_FUNDS"
    status = 402
    default_message = "There is no money left for this."
    default_remedy = "Top up the account or raise the spend cap."


# The machine


class DependencyMissing(LikenessError):
    """A program or package that this needs is not installed."""

    code = "DEPENDENCY_MISSING"
    status = 503
    default_message = "Something that this needs is not installed."
    default_remedy = "Run `python launch.py setup`."


class DatabaseUnavailable(LikenessError):
    """The database does not answer, is locked or is damaged."""

    code = "DB_UNAVAILABLE"
    status = 503
    default_message = "The database is not answering."
    default_remedy = "Check that DATABASE_URL is right and its server runs; for SQLite, that the data folder is on this computer."


class DatabaseTooNew(LikenessError):
    """The database was written by a newer version of Likeness."""

    code = "DB_TOO_NEW"
    status = 503
    default_message = "This library was opened by a newer version of Likeness."
    default_remedy = "Update Likeness (`git pull`), or choose another folder with --data."


class DataRootLocked(LikenessError):
    """Another studio or command is at work on this data folder."""

    code = "DATA_ROOT_LOCKED"
    status = 409
    default_message = "Another studio is running on this data folder."
    default_remedy = "Use that one, stop it, or choose another folder with --data."


class DataRootReadOnly(LikenessError):
    """The data folder can't be written."""

    code = "DATA_ROOT_READ_ONLY"
    status = 503
    default_message = "The data folder can't be written."
    default_remedy = "Give yourself write access to it, or choose another folder with --data."


class SecretsUnreadable(LikenessError):
    """A file of passwords, tokens or keys in the data folder is damaged or may not be read, so nobody can be checked by it."""

    code = "SECRETS_UNREADABLE"
    status = 503
    default_message = "The studio's own sign-in files can't be read."
    default_remedy = "At the studio's computer, look into the folder `secrets` of the data folder."


def _shown(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    # The values that are possible come in quotes.
    return str(value).replace("'", "")


class DiskFull(LikenessError):
    """No space is left on the drive of the data folder."""

    code = "DISK_FULL"
    status = 507
    default_message = "The disk is full."
    default_remedy = "Free some space on the drive of the data folder (emptying the trash helps), then retry."


class PortInUse(LikenessError):
    """Another program listens on the port."""

    code = "PORT_IN_USE"
    status = 409
    default_message = "Another program uses this port."
    default_remedy = "Choose another one with --port."


def all_errors() -> list[type[LikenessError]]:
    """Every error class in the order of this file, one per code."""
    return list(LikenessError.__subclasses__())


def from_os_error(error: OSError, what: str) -> LikenessError:
    """Translate a failed file operation; `what` names it in the user's words ("save the picture")."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"The disk is full: could not {what}.")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return DataRootReadOnly(f"The data folder can't be written: could not {what}.")
    return UnknownError(f"Could not {what}: {error.strerror or error}.")


_MISSING = {"missing", "string_too_short"}
_TYPES = {"enum", "json_invalid"}
# What is wrong with a value, said after the field's name as a person would; Pydantic's words stand for kinds that are not here.
_SAID = {
    "less_than_equal": "can be {le} at most",
    "less_than": "must be less than {lt}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_long": "can have {max_length} characters at most",
    "too_long": "can have {max_length} entries at most",
    "too_short": "must have at least {min_length} of them",
    "enum": "can be {expected}",
    "literal_error": "can be {expected}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "must be a list"),
    "string_type": "must be text",
    "dict_type": "must be an object",
    "string_pattern_mismatch": "is not written as it must be ({pattern})",
}
_SHOULD = re.compile(r"(Input|String|List|Tuple|Set|Dictionary|Value) should ")
_ATTEMPT = re.compile(r", (unable to|got a number|input is too short|invalid character).*| after validation|(?<=items), not \d+$")


def from_validation(error: ValidationError) -> LikenessError:
    """Translate the first fault Pydantic found into one of ours, naming the field as the contract spells it."""
    fault = error.errors()[0]
    kind = fault["type"]
    field = ".".join(str(part) for part in fault["loc"]) or None
    # Pydantic speaks of the input, of strings and of lists, and then of how it tried to read them.
    words = _ATTEMPT.sub("", fault["msg"].removeprefix("Value error, "))
    told = f"“{field}” {words[words.index('should ') :]}." if _SHOULD.match(words) else f"“{field}”: {words}."
    if kind in _SAID:
        told = f"“{field}” {_SAID[kind].format(**{name: _shown(value) for name, value in fault.get('ctx', {}).items()})}."
    if kind == "extra_forbidden":
        return ContractMismatch(f"There is no field called “{field}”.", field=field)
    if kind in _MISSING:
        return MissingRequiredField(f"“{field}” is empty or missing.", field=field)
    if kind.endswith(("_type", "_parsing")) or kind in _TYPES:
        return InvalidFieldType(told, field=field, remedy="Change it and try again." if kind in _SAID else "")
    if kind == "value_error":
        # Our own checks say themselves what would be right.
        return InvalidFieldValue(told, field=field, remedy="Change it and try again.")
    return InvalidFieldValue(told, field=field)
