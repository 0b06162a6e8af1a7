"""What a registration over HTTP may be, for those who send it and those who take it."""

LARGEST_FIELD = 32 * 1024 * 1024  # bytes of one field beside the model's file
# Bytes of all fields beside the file, together: rows to prove it on, rows to compare with, and what describes it.
LARGEST_FIELDS = 2 * LARGEST_FIELD + 4 * 1024 * 1024
