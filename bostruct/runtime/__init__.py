"""Services for every folder: device, random generators, executors, atomic writes, JSON."""
