"""What can go wrong in the store beside the request itself.

CosyError
+-- StorageError            the disk, bucket or database does not work
|   +-- DatabaseError       the database; whether a change was made may be unknown
+-- InputError
    +-- UnknownRecordError  no consent or key has this id (for voices: cosy.errors.UnknownVoiceError)
"""

from __future__ import annotations

from cosy.errors import CosyError, InputError


class StorageError(CosyError):
    """The object store or the database does not work; the request itself is in order."""


class DatabaseError(StorageError):
    """The database cannot be reached, is locked or full, or was made by a newer version."""


class UnknownRecordError(InputError):
    """No consent or key has this id."""
