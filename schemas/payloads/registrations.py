"""Limits of a registration over HTTP, for client and gateway."""

LARGEST_FIELD = 32 * 1024 * 1024  # bytes of one field other than the model's file
# Bytes of all fields except the file: sample rows, reference rows and metadata.
LARGEST_FIELDS = 2 * LARGEST_FIELD + 4 * 1024 * 1024
