"""The reference model: a slow, obvious interpreter of a settings file, and the engine held against it."""
