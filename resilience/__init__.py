"""Decisions that keep a pipeline answering while its parts fail: plain objects, time is a parameter."""
