"""Models in use: pictures -> emotions, as fast as the machine can."""
