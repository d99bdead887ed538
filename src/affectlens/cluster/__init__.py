"""The same jobs on many processes and machines, by Ray: the only folder that imports Ray."""
