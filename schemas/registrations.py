"""What a registration over HTTP may be, for those who send it and those who take it."""

LARGEST_FIELD = 32 * 1024 * 1024  # bytes of one field beside the model's file
