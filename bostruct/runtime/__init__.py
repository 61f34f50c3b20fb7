"""Device, random generators, executors and durable files."""
